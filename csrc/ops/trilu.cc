#include <cstring>

#include "ops/element_types.h"
#include "ops/node_checks.h"
#include "ops/parallel.h"

namespace sanderling {
namespace {

bool is_upper(const InferContext& context) { return context.attributes().integer("upper", 1) != 0; }

void infer(InferContext& context) {
  const TensorType& x = context.input(0);
  if (x.shape.rank() < 2)
    context.error("input 0 has shape ", x.shape.to_string(), ", expected matrices");
  if (context.has_input(1)) {
    require_one_element(context, 1, "k");
    if (context.input(1).dtype != DType::kInt64)
      context.error("k is ", name_of(context.input(1).dtype), ", expected int64");
  }
  is_upper(context);
  context.set_output(0, x.dtype, x.shape);
}

// Which diagonal; further ones are outside as well, and these overflow nowhere.
int64_t diagonal(const void* k) {
  if (!k) return 0;
  return std::clamp(*static_cast<const int64_t*>(k), -Shape::kMaxElements, Shape::kMaxElements);
}

void reference(const ReferenceContext& context) {
  const Shape& shape = context.input(0).shape;
  const int64_t rows = shape[shape.rank() - 2], columns = shape[shape.rank() - 1];
  const bool upper = is_upper(context);
  const int64_t k = diagonal(context.raw_input(1));
  visit_width(context.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto* const x = static_cast<const T*>(context.raw_input(0));
    auto* const y = static_cast<T*>(context.raw_output(0));
    for (int64_t i = 0; i < shape.elements(); ++i) {
      const int64_t row = i / columns % rows, column = i % columns;
      y[i] = (upper ? column >= row + k : column <= row + k) ? x[i] : T{0};
    }
  });
}

struct Step {
  int64_t matrices, rows, columns;
  size_t width;  // bytes of an element
  bool upper;
};

void run(const Step& step, const StepArgs& args) {
  const int64_t k = diagonal(args.inputs[1]);
  const auto bytes = [&](int64_t elements) { return static_cast<size_t>(elements) * step.width; };
  const int64_t grain = std::max<int64_t>(1, kStreamGrain / step.columns);
  for_each_range(*args.workers, step.matrices * step.rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const auto* const x =
          static_cast<const std::byte*>(args.inputs[0]) + bytes(row * step.columns);
      auto* const y = static_cast<std::byte*>(args.outputs[0]) + bytes(row * step.columns);
      const int64_t at = row % step.rows + k;  // the column of the diagonal
      const int64_t first = step.upper ? std::clamp<int64_t>(at, 0, step.columns) : 0;
      const int64_t last = step.upper ? step.columns : std::clamp<int64_t>(at + 1, 0, step.columns);
      std::memset(y, 0, bytes(first));
      std::memcpy(y + bytes(first), x + bytes(first), bytes(last - first));
      std::memset(y + bytes(last), 0, bytes(step.columns - last));
    }
  });
}

// Without its second input a node's step has no pointer to it.
void run_main_diagonal(const Step& step, const StepArgs& args) {
  void* const inputs[] = {args.inputs[0], nullptr};
  StepArgs with_default = args;
  with_default.inputs = inputs;
  run(step, with_default);
}

void plan(PlanContext& context) {
  const Shape& shape = context.input(0).shape;
  const int64_t rank = shape.rank();
  const Step step{.matrices = shape.elements(0, rank - 2),
                  .rows = shape[rank - 2],
                  .columns = shape[rank - 1],
                  .width = size_of(context.input(0).dtype),
                  .upper = is_upper(context)};
  context.emit(context.has_input(1) ? run : run_main_diagonal, step);
}

SANDERLING_OPERATOR(trilu)({.name = "Trilu",
                            .since_opset = 14,
                            .max_inputs = 2,
                            .infer = infer,
                            .reference = reference,
                            .plan = plan,
                            .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
