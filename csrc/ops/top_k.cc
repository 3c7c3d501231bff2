#include "ops/axis_lanes.h"
#include "ops/element_order.h"
#include "ops/element_types.h"

namespace sanderling {
namespace {

constexpr int64_t kCountIsInputSince = 10;

struct Selection {
  int64_t axis;
  int64_t count;
  bool largest;
};

int64_t given_count(const InferContext& context) {
  if (context.node().opset < kCountIsInputSince) {
    if (!context.attributes().has("k")) context.error("has no attribute 'k'");
    return context.attributes().integer("k", 0);
  }
  context.input(1);
  require_one_element(context, 1, "K");
  return constant_integers(context, 1)[0];
}

Selection selection_of(const InferContext& context) {
  const Shape& shape = context.input(0).shape;
  const int64_t axis =
      checked_axis(context, context.attributes().integer("axis", -1), shape.rank());
  const int64_t count = given_count(context);
  if (count < 0 || count > shape[axis])
    context.error("K is ", count, ", axis ", axis, " of input 0 has ", shape[axis],
                  " elements. Expected 0 to ", shape[axis]);
  return {axis, count, context.attributes().integer("largest", 1) != 0};
}

void infer(InferContext& context) {
  require_ordered(context, 0);
  const Selection selection = selection_of(context);
  std::vector<int64_t> dims = context.input(0).shape.dims();
  dims[static_cast<size_t>(selection.axis)] = selection.count;
  const Shape shape = checked_shape(context, std::move(dims));
  if (context.has_output(0)) context.set_output(0, context.input(0).dtype, shape);
  if (context.has_output(1)) context.set_output(1, DType::kInt64, shape);
}

// An element with its place in the lane. Of equal ones that with the lower index is first, so the
// order is total and every way to sort gives the same.
template <typename T>
struct Ranked {
  T value;
  int64_t index;
};

template <bool kLargest>
struct Before {
  template <typename R>
  bool operator()(const R& a, const R& b) const {
    if (sorts_before<kLargest>(a.value, b.value)) return true;
    return !sorts_before<kLargest>(b.value, a.value) && a.index < b.index;
  }
};

// `sorted` = 0 leaves the order open: it is sorted all the same.
void reference(const ReferenceContext& context) {
  if (context.input(0).shape.elements() == 0) return;
  const Selection selection = selection_of(context);
  const AxisLanes lanes = lanes_along(context.input(0).shape, selection.axis);
  visit_number(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    std::vector<Ranked<T>> ranked(static_cast<size_t>(lanes.length));
    for (int64_t lane = 0; lane < lanes.count(); ++lane) {
      const T* x = context.in<T>(0) + lanes.start(lane);
      for (int64_t i = 0; i < lanes.length; ++i)
        ranked[static_cast<size_t>(i)] = {x[i * lanes.inner], i};
      if (selection.largest)
        std::sort(ranked.begin(), ranked.end(), Before<true>{});
      else
        std::sort(ranked.begin(), ranked.end(), Before<false>{});
      const int64_t to = lane / lanes.inner * selection.count * lanes.inner + lane % lanes.inner;
      for (int64_t i = 0; i < selection.count; ++i) {
        const Ranked<T>& next = ranked[static_cast<size_t>(i)];
        if (context.has_output(0)) context.out<T>(0)[to + i * lanes.inner] = next.value;
        if (context.has_output(1)) context.out<int64_t>(1)[to + i * lanes.inner] = next.index;
      }
    }
  });
}

struct Step {
  AxisLanes lanes;
  int64_t count;
  bool values, indices;  // whether they are wanted
};

// Brings the first `count` of the order to the front, sorted; the cheapest way for the share that
// is wanted: a heap of a few that most elements are only compared with, or a partition.
template <typename R, typename Order>
void select(R* ranked, int64_t length, int64_t count, const Order& before) {
  constexpr int64_t kFew = 16;  // log2 of the heap's size, against two passes of a partition
  if (count * kFew > length && count < length)
    std::nth_element(ranked, ranked + count, ranked + length, before);
  const int64_t among = count * kFew > length ? count : length;
  std::partial_sort(ranked, ranked + count, ranked + among, before);
}

template <typename T, bool kLargest>
void run(const Step& step, const StepArgs& args) {
  const auto* x = static_cast<const T*>(args.inputs[0]);
  auto* values = step.values ? static_cast<T*>(args.outputs[0]) : nullptr;
  auto* indices = step.indices ? static_cast<int64_t*>(args.outputs[1]) : nullptr;
  const AxisLanes& lanes = step.lanes;
  args.workers->for_each(lanes.count(), [&](int64_t lane, int thread) {
    auto* ranked = reinterpret_cast<Ranked<T>*>(args.scratch +
                                                static_cast<size_t>(thread) * args.scratch_stride);
    const T* from = x + lanes.start(lane);
    for (int64_t i = 0; i < lanes.length; ++i) ranked[i] = {from[i * lanes.inner], i};
    select(ranked, lanes.length, step.count, Before<kLargest>{});
    const int64_t to = lane / lanes.inner * step.count * lanes.inner + lane % lanes.inner;
    for (int64_t i = 0; i < step.count; ++i) {
      if (values) values[to + i * lanes.inner] = ranked[i].value;
      if (indices) indices[to + i * lanes.inner] = ranked[i].index;
    }
  });
}

template <typename T>
void plan_for(PlanContext& context, const Step& step, bool largest) {
  context.scratch(static_cast<size_t>(step.lanes.length) * sizeof(Ranked<T>));
  context.emit(largest ? run<T, true> : run<T, false>, step);
}

void plan(PlanContext& context) {
  const Selection selection = selection_of(context);
  const Step step{lanes_along(context.input(0).shape, selection.axis), selection.count,
                  context.has_output(0), context.has_output(1)};
  switch (context.input(0).dtype) {
    case DType::kFloat32:
      return plan_for<float>(context, step, selection.largest);
    case DType::kInt64:
      return plan_for<int64_t>(context, step, selection.largest);
    default:
      return;
  }
}

SANDERLING_OPERATOR(top_k)({.name = "TopK",
                            .since_opset = 7,
                            .max_inputs = 2,
                            .max_outputs = 2,
                            .infer = infer,
                            .reference = reference,
                            .plan = plan});

}  // namespace
}  // namespace sanderling
