// The batcher's threads without Python: many submitters, ends in the middle. Meant for the thread
// sanitizer as well; tests/api/test_batcher.py tests what batches are made of.
#include "batch/batcher.h"

#include <atomic>
#include <thread>

#include "check.h"
#include "kernels/table.h"

namespace sanderling {
namespace {

// y = x + 1 for rows of two; fails as a caller's fault when a row starts with -1.
class PlusOne final : public BatchRunner {
 public:
  std::vector<TensorView> run(std::span<const TensorView> inputs) override {
    const auto* const x = inputs[0].as<float>();
    output_ = Tensor(inputs[0].type);
    for (int64_t i = 0; i < output_.shape().elements(); ++i) {
      if (i % 2 == 0 && x[i] == -1) fail(ErrorCode::kInput, "[test] a bad row");
      output_.mutable_data<float>()[static_cast<size_t>(i)] = x[i] + 1;
    }
    return {output_.view()};
  }

 private:
  Tensor output_;
};

struct Expected {
  float first;
  int64_t rows;
};

struct Tallies {
  std::atomic<int> right{0}, wrong{0}, failed{0}, given_up{0};

  int all() const { return right + wrong + failed + given_up; }
};

std::unique_ptr<Batcher> make_batcher(const BatchPolicy& policy, Tallies& tallies) {
  InputCheck check({{"x", DType::kFloat32, {-1, 2}, {"N", ""}}}, *runnable_tables().front());
  return std::make_unique<Batcher>(
      std::move(check), std::make_unique<PlusOne>(), policy, [&](std::vector<Finished> finished) {
        for (const Finished& one : finished) {
          const auto& expected = *static_cast<const Expected*>(one.ticket.get());
          if (one.error) {
            ++(expected.first == -1 ? tallies.failed : tallies.wrong);
          } else if (one.outputs.empty()) {
            ++tallies.given_up;
          } else {
            bool right = one.outputs[0].shape() == Shape{expected.rows, 2};
            for (const float y : one.outputs[0].data<float>()) right &= y == expected.first + 1;
            ++(right ? tallies.right : tallies.wrong);
          }
        }
      });
}

// Requests of 1 to 7 rows from four threads; returns how many were accepted.
int submit_many(Batcher& batcher, int per_thread) {
  std::atomic<int> accepted{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < per_thread; ++i) {
        const bool bad = i % 13 == 5;
        const Expected expected{bad ? -1.0f : static_cast<float>(100 * t + i), 1 + (t + i) % 7};
        std::vector<float> x(static_cast<size_t>(expected.rows) * 2, expected.first);
        const TensorView view{{DType::kFloat32, Shape{expected.rows, 2}}, x.data()};
        try {
          accepted += batcher.submit({&view, 1}, std::make_shared<Expected>(expected), i % 2 == 0);
        } catch (const Error&) {
          return;  // closed
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return accepted;
}

void test_every_request_is_answered_once(const BatchPolicy& policy) {
  Tallies tallies;
  auto batcher = make_batcher(policy, tallies);
  const int accepted = submit_many(*batcher, 300);
  batcher->close(/*drain=*/true);
  CHECK(tallies.all() == accepted, tallies.all(), " of ", accepted);
  CHECK(tallies.wrong == 0 && tallies.given_up == 0, tallies.wrong, " ", tallies.given_up);
  CHECK(tallies.right > 0 && tallies.failed > 0, tallies.right, " ", tallies.failed);
  const BatchStats stats = batcher->stats();
  CHECK(stats.requests == accepted && stats.waiting == 0, stats.requests, " ", stats.waiting);
  CHECK(stats.batched_rows == stats.rows, stats.batched_rows, " of ", stats.rows);
}

void test_closing_in_the_middle_forgets_nobody() {
  for (int round = 0; round < 20; ++round) {
    Tallies tallies;
    auto batcher =
        make_batcher({.max_batch_size = 3, .max_queue_delay_us = 50, .max_queue_size = 5}, tallies);
    std::atomic<int> accepted{0};
    std::thread submitters([&] { accepted = submit_many(*batcher, 10000); });
    while (batcher->stats().requests < 10 * round + 1) std::this_thread::yield();
    batcher->close(/*drain=*/round % 2 == 0);
    submitters.join();
    CHECK(tallies.all() == accepted, tallies.all(), " of ", accepted);
    CHECK(tallies.wrong == 0, tallies.wrong.load());
    CHECK(round % 2 != 0 || tallies.given_up == 0, tallies.given_up.load());
  }
}

}  // namespace
}  // namespace sanderling

int main() {
  using sanderling::test_every_request_is_answered_once;
  using sanderling::test::run;
  run("no delay",
      [] { test_every_request_is_answered_once({.max_batch_size = 4, .max_queue_size = 8}); });
  run("delay", [] {
    test_every_request_is_answered_once(
        {.max_batch_size = 16, .max_queue_delay_us = 100, .max_queue_size = 64});
  });
  run("closing", sanderling::test_closing_in_the_middle_forgets_nobody);
  return sanderling::test::finish();
}
