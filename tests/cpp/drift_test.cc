// What Python cannot see of the sketches: that observing allocates nothing, and (with the address
// sanitizer) that no row is read past its end. What they count is tested in tests/drift.

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <new>
#include <thread>
#include <vector>

#include "check.h"
#include "drift/watch.h"

namespace {

std::atomic<size_t> allocations{0};

void* counted(size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(size_t size) { return counted(size); }
void* operator new[](size_t size) { return counted(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }

namespace sanderling::test {
namespace {

constexpr ReferenceId kId{1, 2, 3};

InputWatch watch_of(int64_t features, bool projected) {
  const auto count = static_cast<size_t>(features);
  const size_t binned = projected ? Projections::kCount : count;
  InputWatch input;
  input.features = features;
  input.limits = std::make_shared<RowLimits>(
      RowLimits{std::vector<float>(count, -1), std::vector<float>(count, 1), 1, 1});
  input.edges = std::make_shared<FrozenEdges>(
      kId, std::vector<std::vector<float>>(binned, {-0.5f, 0.0f, 0.5f}));
  if (projected) input.projections = std::make_shared<Projections>(count, 1);
  return input;
}

WatchSpec spec_of(int64_t features, bool projected, int64_t keep_rows) {
  WatchSpec spec;
  spec.inputs.emplace_back(watch_of(features, projected));
  spec.outputs.emplace_back(OutputWatch{5});
  spec.keep_rows = keep_rows;
  return spec;
}

// Exactly as many floats as the view says, so that the sanitizer sees a read past the end.
struct Rows {
  Rows(int64_t rows, int64_t features) : values(static_cast<size_t>(rows * features)) {
    for (size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i));
    view = {{DType::kFloat32, Shape{rows, features}}, values.data()};
  }
  std::vector<float> values;
  TensorView view;
};

void observing_allocates_nothing(bool projected) {
  Watch watch(spec_of(37, projected, 8));
  CodeTap& tap = watch.codes("conv");
  const Rows rows(3, 37);
  const Rows scores(3, 5);
  const std::vector<uint8_t> codes(5000, 7);
  const size_t before = allocations;
  for (int i = 0; i < 10; ++i) {  // more rows than are kept
    watch.observe_input(0, rows.view);
    watch.observe_output(0, scores.view);
    tap.update(codes);
  }
  CHECK(allocations == before, allocations - before, " allocations");
  const WatchWindow window = watch.take();
  CHECK(window.rows == 30, window.rows);
  CHECK(window.inputs[0]->kept.size() ==
            8 * (projected ? Projections::kCount : static_cast<size_t>(37)),
        window.inputs[0]->kept.size());
  CHECK(window.codes.at("conv").total() == 50000, window.codes.at("conv").total());
}

void reads_stay_inside(int64_t rows, int64_t features) {
  for (const bool projected : {false, true}) {
    Watch watch(spec_of(features, projected, 0));
    const Rows input(rows, features);
    watch.observe_input(0, input.view);
    const WatchWindow window = watch.look();
    const FrozenBins& bins = window.inputs[0]->bins;
    uint64_t sum = 0;
    for (size_t i = 0; i < bins.features(); ++i) {
      for (const uint64_t count : bins.counts(i)) sum += count;
    }
    CHECK(sum == static_cast<uint64_t>(rows) * bins.features(), sum);
  }
}

void taps_outlive_a_restart() {
  Watch watch(spec_of(3, false, 0));
  CodeTap& tap = watch.codes("conv");
  const std::vector<uint8_t> codes(10, 1);
  tap.update(codes);
  watch.restart(spec_of(4, false, 0));
  CHECK(&watch.codes("conv") == &tap);
  CHECK(watch.look().codes.at("conv").total() == 0);
  tap.update(codes);
  CHECK(watch.take().codes.at("conv").total() == 10);
}

void a_tap_counts_as_a_histogram_does() {
  Watch watch(spec_of(3, false, 0));
  CodeTap& tap = watch.codes("conv");
  CodeHistogram whole;
  std::vector<uint8_t> codes;
  for (size_t i = 0; i < 5000; ++i) codes.push_back(static_cast<uint8_t>(i * i / 7));
  for (const size_t count : {0, 1, 3, 4, 5, 2047, 2048, 5000}) {
    tap.update({codes.data(), count});
    whole.update({codes.data(), count});
    CHECK(watch.look().codes.at("conv") == whole, count);
  }
  CHECK(watch.take().codes.at("conv") == whole);
  tap.update({codes.data(), 5});
  CHECK(tap.take().total() == 5);
}

void threads_share_a_watch() {
  Watch watch(spec_of(16, false, 4));
  CodeTap& tap = watch.codes("conv");
  const Rows rows(5, 16);
  const std::vector<uint8_t> codes(100, 9);
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        watch.observe_input(0, rows.view);
        tap.update(codes);
      }
    });
  }
  uint64_t seen = 0;
  uint64_t counted_codes = 0;
  for (int i = 0; i < 50; ++i) {
    const WatchWindow window = watch.take();
    seen += window.rows;
    counted_codes += window.codes.at("conv").total();
  }
  for (std::thread& thread : threads) thread.join();
  const WatchWindow last = watch.take();
  CHECK(seen + last.rows == 3000, seen + last.rows);
  CHECK(counted_codes + last.codes.at("conv").total() == 60000, counted_codes);
}

}  // namespace
}  // namespace sanderling::test

int main() {
  using namespace sanderling::test;
  run("observing allocates nothing", [] { observing_allocates_nothing(false); });
  run("observing projections allocates nothing", [] { observing_allocates_nothing(true); });
  for (const int64_t rows : {1, 4, 5}) {
    for (const int64_t features : {1, 7, 8, 9, 15, 16, 17, 64}) {
      run(sanderling::cat("reads stay inside ", rows, " rows of ", features),
          [=] { reads_stay_inside(rows, features); });
    }
  }
  run("taps outlive a restart", taps_outlive_a_restart);
  run("a tap counts as a histogram does", a_tap_counts_as_a_histogram_does);
  run("threads share a watch", threads_share_a_watch);
  return finish();
}
