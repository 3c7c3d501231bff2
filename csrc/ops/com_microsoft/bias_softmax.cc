#include <cmath>
#include <limits>

#include "ops/axes.h"
#include "ops/broadcast.h"
#include "ops/real_numbers.h"

namespace sanderling {
namespace {

// The axes from this one on are one distribution, as before opset 13 of Softmax.
int64_t axis_of(const InferContext& context) {
  return checked_axis(context, context.attributes().integer("axis", 1),
                      context.input(0).shape.rank());
}

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32, DType::kFloat64});
  require_same_dtype(context, 0, 1);
  axis_of(context);
  if (broadcast_inputs(context) != context.input(0).shape)
    context.error("bias has shape ", context.input(1).shape.to_string(),
                  ", which does not broadcast to data ", context.input(0).shape.to_string());
  context.set_output(0, context.input(0).dtype, context.input(0).shape);
}

void reference(const ReferenceContext& context) {
  const Shape& shape = context.input(0).shape;
  const Shape& bias_shape = context.input(1).shape;
  const int64_t axis = axis_of(context);
  const int64_t count = shape.elements(axis, shape.rank());
  const RealNumbers x(context, 0), bias(context, 1);
  std::vector<double> row(static_cast<size_t>(count));
  for (int64_t begin = 0; begin < shape.elements(); begin += count) {
    double largest = -std::numeric_limits<double>::infinity(), sum = 0.0;
    for (int64_t i = 0; i < count; ++i) {
      double& value = row[static_cast<size_t>(i)];
      value = x[begin + i] + bias[broadcast_offset(shape, bias_shape, begin + i)];
      largest = std::max(largest, value);
    }
    for (double& value : row) sum += value = std::exp(value - largest);
    for (int64_t i = 0; i < count; ++i)
      write_real(context, 0, begin + i, row[static_cast<size_t>(i)] / sum);
  }
}

SANDERLING_OPERATOR(bias_softmax)({.name = "com.microsoft.BiasSoftmax",
                                   .since_opset = 1,
                                   .min_inputs = 2,
                                   .max_inputs = 2,
                                   .infer = infer,
                                   .reference = reference});

}  // namespace
}  // namespace sanderling
