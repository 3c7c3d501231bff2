// When batches close and how requests are laid into them (batch/policy.h), as tables.
#include <string>

#include "batch/policy.h"
#include "check.h"
#include "core/error.h"

namespace sanderling {
namespace {

constexpr BatchPolicy kNoDelay{.max_batch_size = 4, .max_queue_delay_us = 0, .max_queue_size = 8};
constexpr BatchPolicy kDelay{.max_batch_size = 4, .max_queue_delay_us = 500, .max_queue_size = 8};

std::string text(const Decision& decision) {
  if (decision.close) return std::string(name_of(*decision.close));
  return decision.wait_us ? cat("wait ", *decision.wait_us) : "wait";
}

void test_decide() {
  struct Row {
    BatchPolicy policy;
    BatchState state;
    const char* expected;
  };
  const Row rows[] = {
      // Full closes at once, whatever else holds.
      {kNoDelay, {.rows = 4, .executor_idle = false}, "full"},
      {kNoDelay, {.rows = 4, .executor_idle = true}, "full"},
      {kDelay, {.rows = 4, .waited_us = 9999, .executor_idle = true, .draining = true}, "full"},
      {kDelay, {.rows = 2, .sealed = true}, "full"},
      // A busy executor could not take it.
      {kNoDelay, {.rows = 3, .executor_idle = false}, "wait"},
      {kDelay, {.rows = 3, .waited_us = 9999, .executor_idle = false, .draining = true}, "wait"},
      // No delay: what is there runs as soon as something can run it.
      {kNoDelay, {.rows = 1, .executor_idle = true}, "idle"},
      // A delay is kept even if the executor is idle, and not a microsecond longer.
      {kDelay, {.rows = 1, .waited_us = 0, .executor_idle = true}, "wait 500"},
      {kDelay, {.rows = 3, .waited_us = 499, .executor_idle = true}, "wait 1"},
      {kDelay, {.rows = 1, .waited_us = 500, .executor_idle = true}, "delay"},
      {kDelay, {.rows = 1, .waited_us = 501, .executor_idle = true}, "delay"},
      // Nobody else will come.
      {kNoDelay, {.rows = 1, .executor_idle = true, .draining = true}, "drain"},
      {kDelay, {.rows = 1, .executor_idle = true, .draining = true}, "drain"},
  };
  for (const Row& row : rows)
    CHECK(text(decide(row.policy, row.state)) == row.expected, "row ", &row - rows, ", got ",
          text(decide(row.policy, row.state)));
}

void test_rows_to_add() {
  struct Row {
    int64_t batch_rows, request_rows, rows, expected;
  };
  const Row rows[] = {
      {0, 1, 1, 1}, {3, 1, 1, 1}, {0, 4, 4, 4}, {1, 4, 4, 0},  // fits whole or waits for the next
      {2, 3, 3, 0}, {4, 1, 1, 0},                              // no room
      {0, 9, 9, 4}, {3, 9, 9, 1}, {0, 9, 5, 4}, {0, 9, 1, 1},  // larger than a batch: is cut
  };
  for (const Row& row : rows) {
    const int64_t added = rows_to_add(kNoDelay, row.batch_rows, row.request_rows, row.rows);
    CHECK(added == row.expected, "row ", &row - rows, ", got ", added);
  }
}

void test_check_policy() {
  const auto error_of = [](const BatchPolicy& policy) -> std::string {
    try {
      check_policy(policy);
      return "";
    } catch (const Error& error) {
      return error.code() == ErrorCode::kInput ? error.what() : "another code";
    }
  };
  CHECK(error_of(BatchPolicy{}) == "", error_of(BatchPolicy{}));
  CHECK(error_of({.max_batch_size = 0}) == "[batcher] max_batch_size is 0, expected 1 to 1048576",
        error_of({.max_batch_size = 0}));
  CHECK(error_of({.max_queue_delay_us = -1}) ==
            "[batcher] max_queue_delay_us is -1, expected 0 to 60000000",
        error_of({.max_queue_delay_us = -1}));
  CHECK(error_of({.max_queue_size = 0}) == "[batcher] max_queue_size is 0, expected 1 to 1048576",
        error_of({.max_queue_size = 0}));
}

}  // namespace
}  // namespace sanderling

int main() {
  using sanderling::test::run;
  run("decide", sanderling::test_decide);
  run("rows_to_add", sanderling::test_rows_to_add);
  run("check_policy", sanderling::test_check_policy);
  return sanderling::test::finish();
}
