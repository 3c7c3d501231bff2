// Indices that come as a tensor. They are data: each is checked before it is followed, when the
// plan is made if it is known by then, else when the model runs.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "ops/node_checks.h"
#include "ops/parallel.h"

namespace sanderling {

inline void require_index_dtype(const InferContext& context, size_t input) {
  const DType dtype = context.input(input).dtype;
  if (dtype != DType::kInt64 && dtype != DType::kInt32)
    context.error("input ", input, " is ", name_of(dtype),
                  ", expected int64 or int32: it is a list of indices");
}

// Calls visit(const T*) for indices of either type.
template <typename Visit>
void visit_indices(DType dtype, const void* indices, const Visit& visit) {
  if (dtype == DType::kInt32)
    visit(static_cast<const int32_t*>(indices));
  else
    visit(static_cast<const int64_t*>(indices));
}

// Negative indices count from the end.
inline int64_t from_start(int64_t index, int64_t extent) {
  return index < 0 ? index + extent : index;
}

// What a tensor of index tuples may hold: number j of each tuple is an index into an axis of
// extents[j].
struct IndexRanges {
  std::string node;  // "[Gather] node 'g'", for messages
  size_t input;
  std::vector<int64_t> extents;
  DType dtype;
  int64_t count;  // indices, not tuples

  IndexRanges(const InferContext& context, size_t index_input, std::vector<int64_t> axis_extents)
      : node(cat("[", context.node().op, "] node '", context.node().name, "'")),
        input(index_input),
        extents(std::move(axis_extents)),
        dtype(context.input(index_input).dtype),
        count(extents.empty() ? 0 : context.input(index_input).shape.elements()) {}

  // Throws kModel for an index outside. Call it from the thread that runs the step, before any
  // index is followed: tasks of workers must not throw, a step may.
  void check(const void* indices, Workers& workers) const {
    visit_indices(dtype, indices, [&](const auto* typed) { check_typed(typed, workers); });
  }
  // The same where the elements are known.
  void check_known(const InferContext& context) const {
    InlineWorkers alone;
    if (context.is_known(input)) check(context.constant(input).raw(), alone);
  }

 private:
  // Its sign bit says whether an index is outside [-extent, extent). Unsigned, so that no sum
  // overflows, and without a comparison, which SSE2 has none of for 64 bits.
  static uint64_t outside(int64_t index, int64_t extent) {
    const auto e = static_cast<uint64_t>(extent);
    const uint64_t from_lowest = static_cast<uint64_t>(index) + e;
    return from_lowest | (2 * e - 1 - from_lowest);
  }
  static bool is_outside(uint64_t bits) { return bits >> 63 != 0; }

  template <typename T>
  void check_typed(const T* indices, Workers& workers) const {
    const auto tuple = static_cast<int64_t>(extents.size());
    if (tuple == 0) return;
    std::atomic<bool> any{false};
    for_each_range(workers, count / tuple, std::max<int64_t>(1, kStreamGrain / tuple),
                   [&](int64_t begin, int64_t end) {
                     uint64_t bits = 0;
                     for (int64_t j = 0; j < tuple; ++j) {
                       const int64_t extent = extents[static_cast<size_t>(j)];
                       for (int64_t i = begin; i < end; ++i)
                         bits |= outside(indices[i * tuple + j], extent);
                     }
                     if (is_outside(bits)) any.store(true, std::memory_order_relaxed);
                   });
    if (any.load(std::memory_order_relaxed)) refuse(indices);
  }

  template <typename T>
  [[noreturn]] void refuse(const T* indices) const {
    for (int64_t i = 0; i < count; ++i) {
      const int64_t extent = extents[static_cast<size_t>(i) % extents.size()];
      if (is_outside(outside(indices[i], extent)))
        fail(ErrorCode::kModel, node, ": element ", i, " of input ", input, " is the index ",
             static_cast<int64_t>(indices[i]), ", which is outside [", -extent, ", ", extent,
             "). Check what the model is given");
    }
    fail(ErrorCode::kModel, node, ": the indices in input ", input, " changed during the run");
  }
};

}  // namespace sanderling
