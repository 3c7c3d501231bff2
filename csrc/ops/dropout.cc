#include <algorithm>

#include "ops/copy.h"
#include "ops/node_checks.h"

namespace sanderling {
namespace {

// At inference nothing is dropped: the output is the input, whatever the ratio, and the mask says
// so.
void infer(InferContext& context) {
  constexpr int64_t kFirstWithInputs = 12;
  const bool inputs = context.node().opset >= kFirstWithInputs;
  if (!inputs && context.inputs() > 1)
    context.error("opset ", context.node().opset, " takes ratio as an attribute, the node has ",
                  context.inputs(), " inputs");
  if (context.has_input(2)) {
    require_dtype(context, 2, {DType::kBool});
    require_one_element(context, 2, "training_mode");
    if (context.constant(2).data<bool>()[0])
      context.unsupported(
          "training_mode is true; the native engine runs inference only, where nothing is "
          "dropped. Export the model in evaluation mode");
  }
  context.set_output(0, context.input(0).dtype, context.input(0).shape);
  constexpr int64_t kFirstWithBools = 10;  // of the mask
  if (context.outputs() > 1)
    context.set_output(
        1, context.node().opset >= kFirstWithBools ? DType::kBool : context.input(0).dtype,
        context.input(0).shape);
}

void reference(const ReferenceContext& context) {
  copy_input(context);
  if (!context.has_output(1)) return;
  const int64_t count = context.output(1).shape.elements();
  if (context.output(1).dtype == DType::kBool)
    std::fill_n(context.out<bool>(1), count, true);
  else if (context.output(1).dtype == DType::kFloat32)
    std::fill_n(context.out<float>(1), count, 1.0f);
  else
    std::fill_n(context.out<double>(1), count, 1.0);
}

bool has_no_mask(const InferContext& context) { return !context.has_output(1); }

SANDERLING_OPERATOR(dropout)({.name = "Dropout",
                              .since_opset = 7,
                              .max_inputs = 3,
                              .max_outputs = 2,
                              .infer = infer,
                              .reference = reference,
                              .view_if = has_no_mask,
                              .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
