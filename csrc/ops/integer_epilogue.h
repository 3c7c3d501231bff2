// What QConv and QGemm do with their int32 sums: one bias and one scale per output channel, then
// codes or real numbers.
#pragma once

#include <memory>
#include <vector>

#include "graph/operator.h"
#include "kernels/table.h"
#include "ops/activation_range.h"
#include "ops/quantization.h"

namespace sanderling {

// With acc = sum of x_code * (w - weight_zero[o]), the output of channel o is
//   codes: round_half_even(clamp(float(acc + bias[o]) * scale[o] + offset[o], low, high)) +
//   zero_point, scale in output steps, real:  clamp(float(acc + bias[o]) * scale[o] + offset[o],
//   low, high).
// bias holds the model's bias, as far as it is a whole number of x_scale * weight_scale[o], less
// x_zero * sum of w - weight_zero: so the input's zero point costs nothing at run time. offset
// holds the rest.
struct IntegerEpilogue {
  std::shared_ptr<const Tensor> bias;  // int32, and the others float32, [channels]
  std::shared_ptr<const Tensor> scale;
  std::shared_ptr<const Tensor> offset;  // nullptr: nothing is left anywhere
  // Of weights that int8 has no room for once their zero point is 0; empty: 0 in all channels.
  std::vector<int32_t> weight_zero;
  bool codes = false;
  int32_t zero_point = 0;
  CodeRange code_range{0, 255};
  ActivationRange range;

  // One output of channel o from its sum: the reference of the requantize kernels.
  uint8_t code(int32_t acc, int64_t o) const;
  float real(int32_t acc, int64_t o) const;
  float scaled(int32_t acc, int64_t o) const;  // before it is rounded or clamped

  int32_t weight_zero_of(int64_t o) const {
    return weight_zero.empty() ? 0 : weight_zero[static_cast<size_t>(o)];
  }
  // Brings sums of x_code * w of one row, which belong to the channels from `channel` on, to
  // w - weight_zero. `row_sum` is the sum of the row's codes.
  void centre(int32_t* acc, int64_t columns, int64_t channel, int32_t row_sum) const;

  // Finishes a tile of sums [rows, columns] that belongs to the channels from `channel` on.
  void finish(const KernelTable& kernels, const int32_t* acc, int64_t rows, int64_t columns,
              int64_t channel, void* y, int64_t y_offset, int64_t y_stride) const;
};

// Checks the weights (int8, constant, output channels first), bias, weight_scale and weight_zero of
// a QConv or QGemm node; throws kUnsupported where the sums could overflow int32.
void check_integer_weights(const InferContext& context);
// Of the product: the output's, but where a residual is added to it (ops/residual.h).
std::optional<Quantization> product_quantization(const InferContext& context);
// codes where the lowering pass gave the output a quantization, else float32.
DType integer_output_dtype(const InferContext& context);
// Reads it from the node: input 0 codes, input 1 weights, input 2 bias, attributes weight_scale,
// weight_zero, low, high.
IntegerEpilogue integer_epilogue(const InferContext& context);
// The same, of which the model keeps what depends on the weights.
IntegerEpilogue shared_integer_epilogue(PlanContext& context);

}  // namespace sanderling
