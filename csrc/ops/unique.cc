#include <numeric>

#include "ops/axis_lanes.h"
#include "ops/element_order.h"
#include "ops/element_types.h"

namespace sanderling {
namespace {

// What is compared: elements, or slices along an axis.
AxisLanes slices_of(const InferContext& context) {
  const Shape& shape = context.input(0).shape;
  if (!context.attributes().has("axis")) return {1, shape.elements(), 1};
  const int64_t axis = context.attributes().integer("axis", 0);
  return lanes_along(shape, checked_axis(context, axis, shape.rank()));
}

// How many there will be is known only with the elements.
void infer(InferContext& context) {
  if (context.input(0).dtype != DType::kBool) require_ordered(context, 0);
  // Slices without elements have no bytes that would bound how many they are.
  const AxisLanes slices = slices_of(context);
  if (slices.count() == 0) check_size(context, 2, {DType::kInt64, Shape{slices.length}});
  context.needs_values();
}

// Less, equal or greater as slice a comes before, with or after b: their first elements that differ
// decide. NaN equals NaN and is larger than any number.
template <typename T>
int compare(const T* x, const AxisLanes& slices, int64_t a, int64_t b) {
  for (int64_t outer = 0; outer < slices.outer; ++outer) {
    const T* row = x + outer * slices.length * slices.inner;
    for (int64_t i = 0; i < slices.inner; ++i) {
      const T left = row[a * slices.inner + i], right = row[b * slices.inner + i];
      if (sorts_before<false>(left, right)) return -1;
      if (sorts_before<false>(right, left)) return 1;
    }
  }
  return 0;
}

struct Groups {
  std::vector<int64_t> first;   // the first slice of each
  std::vector<int64_t> counts;  // slices in each
  std::vector<int64_t> group;   // of each slice
};

template <typename T>
Groups groups_of(const T* x, const AxisLanes& slices, bool sorted) {
  std::vector<int64_t> order(static_cast<size_t>(slices.length));
  std::iota(order.begin(), order.end(), int64_t{0});
  std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    const int difference = compare(x, slices, a, b);
    return difference < 0 || (difference == 0 && a < b);
  });
  Groups groups;
  groups.group.resize(order.size());
  for (size_t i = 0; i < order.size(); ++i) {
    if (i == 0 || compare(x, slices, order[i - 1], order[i]) != 0) {
      groups.first.push_back(order[i]);
      groups.counts.push_back(0);
    }
    ++groups.counts.back();
    groups.group[static_cast<size_t>(order[i])] = static_cast<int64_t>(groups.first.size()) - 1;
  }
  if (sorted) return groups;
  // In the order of their first slices.
  std::vector<size_t> by_place(groups.first.size());
  std::iota(by_place.begin(), by_place.end(), size_t{0});
  std::sort(by_place.begin(), by_place.end(),
            [&](size_t a, size_t b) { return groups.first[a] < groups.first[b]; });
  Groups placed{{}, {}, groups.group};
  std::vector<int64_t> place(by_place.size());
  for (size_t i = 0; i < by_place.size(); ++i) {
    placed.first.push_back(groups.first[by_place[i]]);
    placed.counts.push_back(groups.counts[by_place[i]]);
    place[by_place[i]] = static_cast<int64_t>(i);
  }
  for (int64_t& group : placed.group) group = place[static_cast<size_t>(group)];
  return placed;
}

template <typename T>
void compute_as(ComputeContext& context) {
  const AxisLanes slices = slices_of(context);
  const T* x = context.in<T>(0);
  const Groups groups = groups_of(x, slices, context.attributes().integer("sorted", 1) != 0);
  const auto count = static_cast<int64_t>(groups.first.size());
  if (context.has_output(0)) {
    std::vector<int64_t> dims{count};
    if (context.attributes().has("axis")) {
      const Shape& shape = context.input(0).shape;
      dims = shape.dims();
      const int64_t axis = context.attributes().integer("axis", 0);
      dims[static_cast<size_t>(checked_axis(context, axis, shape.rank()))] = count;
    }
    T* y = context.make_output<T>(0, Shape(std::move(dims)));
    for (int64_t outer = 0; outer < slices.outer; ++outer)
      for (int64_t slice : groups.first)
        y = std::copy_n(x + (outer * slices.length + slice) * slices.inner, slices.inner, y);
  }
  const auto give = [&](size_t output, const std::vector<int64_t>& indices) {
    if (!context.has_output(output)) return;
    const Shape shape{static_cast<int64_t>(indices.size())};
    std::copy(indices.begin(), indices.end(), context.make_output<int64_t>(output, shape));
  };
  give(1, groups.first);
  give(2, groups.group);
  give(3, groups.counts);
}

void compute(ComputeContext& context) {
  const DType dtype = context.input(0).dtype;
  if (dtype == DType::kBool) return compute_as<bool>(context);
  visit_number(dtype, [&](auto zero) { compute_as<decltype(zero)>(context); });
}

SANDERLING_OPERATOR(unique)(
    {.name = "Unique", .since_opset = 11, .max_outputs = 4, .infer = infer, .compute = compute});

}  // namespace
}  // namespace sanderling
