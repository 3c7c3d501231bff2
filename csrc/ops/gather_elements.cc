#include "ops/axes.h"
#include "ops/coordinates.h"
#include "ops/index_data.h"

namespace sanderling {
namespace {

int64_t gather_axis(const InferContext& context) {
  return checked_axis(context, context.attributes().integer("axis", 0),
                      context.input(0).shape.rank());
}

IndexRanges ranges_of(const InferContext& context) {
  return {context, 1, {context.input(0).shape[gather_axis(context)]}};
}

void infer(InferContext& context) {
  const Shape& data = context.input(0).shape;
  const Shape& indices = context.input(1).shape;
  require_index_dtype(context, 1);
  const int64_t axis = gather_axis(context);
  bool fits = data.rank() == indices.rank();
  for (int64_t i = 0; fits && i < data.rank(); ++i) fits = i == axis || indices[i] <= data[i];
  if (!fits)
    context.error("indices have shape ", indices.to_string(), ", data has shape ", data.to_string(),
                  "; only along axis ", axis, " may there be more of them");
  ranges_of(context).check_known(context);
  context.set_output(0, context.input(0).dtype, indices);
}

void reference(const ReferenceContext& context) {
  ranges_of(context).check_known(context);
  const int64_t axis = gather_axis(context), extent = context.input(0).shape[axis];
  const std::vector<int64_t> strides = context.input(0).shape.strides();
  const std::vector<int64_t> index_strides = context.input(1).shape.strides();
  visit_indices(context.input(1).dtype, context.raw_input(1), [&](const auto* indices) {
    move_elements(context, 0, [&](const Coordinates& at) {
      const int64_t index = from_start(indices[at.offset(index_strides)], extent);
      return at.offset(strides) + (index - at[axis]) * strides[static_cast<size_t>(axis)];
    });
  });
}

// Indices are walked in rows along their last axis.
struct Step {
  IndexRanges ranges;
  int64_t extent, stride;  // of the gathered axis
  int64_t row;
  int64_t row_step;  // in the data, along a row: 0 where that is the gathered axis
  struct Outer {
    int64_t extent, stride;  // stride in the data, 0 for the gathered axis
  };
  std::vector<Outer> outer;  // innermost first
};

template <typename T, typename Index>
void run(const Step& step, const StepArgs& args) {
  step.ranges.check(args.inputs[1], *args.workers);
  const auto* const x = static_cast<const T*>(args.inputs[0]);
  const auto* const indices = static_cast<const Index*>(args.inputs[1]);
  auto* const y = static_cast<T*>(args.outputs[0]);
  for_each_range(*args.workers, step.ranges.count, kStreamGrain, [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t first = begin % step.row;
      const int64_t count = std::min(step.row - first, end - begin);
      int64_t rest = begin / step.row, offset = first * step.row_step;
      for (const Step::Outer& axis : step.outer) {
        offset += rest % axis.extent * axis.stride;
        rest /= axis.extent;
      }
      for (int64_t i = 0; i < count; ++i) {
        const int64_t index = from_start(indices[begin + i], step.extent);
        y[begin + i] = x[offset + i * step.row_step + index * step.stride];
      }
      begin += count;
    }
  });
}

void plan(PlanContext& context) {
  const int64_t axis = gather_axis(context);
  const Shape& data = context.input(0).shape;
  const Shape& indices = context.input(1).shape;
  const std::vector<int64_t> strides = data.strides();
  const int64_t last = data.rank() - 1;
  Step step{.ranges = ranges_of(context),
            .extent = data[axis],
            .stride = strides[static_cast<size_t>(axis)],
            .row = indices[last],
            .row_step = axis == last ? 0 : 1,
            .outer = {}};
  for (int64_t i = last - 1; i >= 0; --i)
    step.outer.push_back({indices[i], i == axis ? 0 : strides[static_cast<size_t>(i)]});
  visit_width(context.input(0).dtype, [&](auto zero) {
    visit_indices(context.input(1).dtype, nullptr, [&](const auto* type) {
      context.emit(run<decltype(zero), std::remove_cvref_t<decltype(*type)>>, std::move(step));
    });
  });
}

SANDERLING_OPERATOR(gather_elements)({.name = "GatherElements",
                                      .since_opset = 11,
                                      .min_inputs = 2,
                                      .max_inputs = 2,
                                      .infer = infer,
                                      .reference = reference,
                                      .plan = plan,
                                      .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
