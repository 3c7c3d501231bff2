#include "ops/integer_epilogue.h"

#include <cmath>
#include <limits>

namespace sanderling {
namespace {

const Tensor& weights_of(const InferContext& context) { return context.constant(1); }

}  // namespace

uint8_t code_of(float real, const Quantization& quantization) {
  const double code = std::nearbyint(static_cast<double>(real) / quantization.scale) + quantization.zero_point;
  return code <= 0.0 ? uint8_t{0} : code >= 255.0 ? uint8_t{255} : static_cast<uint8_t>(code);
}

uint8_t IntegerEpilogue::code(int32_t acc, int64_t o) const {
  const auto i = static_cast<size_t>(o);
  float y = static_cast<float>(acc + bias[i]) * scale[i];
  if (!offset.empty()) y = y + offset[i];
  const auto low = static_cast<float>(low_code - zero_point), high = static_cast<float>(high_code - zero_point);
  y = y < low ? low : y > high ? high : y;
  return static_cast<uint8_t>(static_cast<int32_t>(std::nearbyint(y)) + zero_point);
}

float IntegerEpilogue::real(int32_t acc, int64_t o) const {
  const auto i = static_cast<size_t>(o);
  float y = static_cast<float>(acc + bias[i]) * scale[i];
  if (!offset.empty()) y = y + offset[i];
  return range.clamp(y);
}

void IntegerEpilogue::finish(const KernelTable& kernels, const int32_t* acc, int64_t rows, int64_t columns,
                             int64_t channel, void* y, int64_t y_offset, int64_t y_stride) const {
  const auto first = static_cast<size_t>(channel);
  const float* add = offset.empty() ? nullptr : offset.data() + first;
  if (codes)
    kernels.requantize_s32u8({.rows = rows, .columns = columns, .acc = acc, .acc_stride = columns,
                              .bias = bias.data() + first, .scale = scale.data() + first, .offset = add,
                              .zero_point = zero_point, .low = low_code, .high = high_code,
                              .y = static_cast<uint8_t*>(y) + y_offset, .y_stride = y_stride});
  else
    kernels.requantize_s32f32({.rows = rows, .columns = columns, .acc = acc, .acc_stride = columns,
                               .bias = bias.data() + first, .scale = scale.data() + first, .offset = add,
                               .low = range.low, .high = range.high,
                               .y = static_cast<float*>(y) + y_offset, .y_stride = y_stride});
}

void check_integer_weights(const InferContext& context) {
  const Tensor& weights = weights_of(context);
  if (weights.dtype() != DType::kInt8 || context.input(0).dtype != DType::kUInt8)
    context.error("takes uint8 codes and int8 weights, got ", name_of(context.input(0).dtype), " and ",
                  name_of(weights.dtype()));
  const int64_t channels = weights.shape()[0];
  const int64_t depth = weights.shape().elements(1, weights.shape().rank());
  if (depth > kMaxDepthU8S8)
    context.unsupported("sums of ", depth, " products could overflow int32, the limit is ", kMaxDepthU8S8,
                        ". Keep this layer in float");
  const auto scales = static_cast<int64_t>(context.attributes().numbers("weight_scale", {}).size());
  if (scales != 1 && scales != channels)
    context.error("weight_scale has ", scales, " numbers, expected 1 or ", channels);
  if (context.has_input(2) && context.input(2).shape != Shape{channels})
    context.error("the bias has shape ", context.input(2).shape.to_string(), ", expected [", channels, "]");
}

IntegerEpilogue integer_epilogue(const InferContext& context, const Quantization& x,
                                 const std::optional<Quantization>& y) {
  const Tensor& weights = weights_of(context);
  const auto channels = static_cast<size_t>(weights.shape()[0]);
  const size_t depth = channels == 0 ? 0 : weights.data<int8_t>().size() / channels;
  const Tensor* bias = context.has_input(2) ? &context.constant(2) : nullptr;
  const std::vector<float> weight_scale = context.attributes().numbers("weight_scale", {});

  IntegerEpilogue epilogue;
  epilogue.range = activation_range(context);
  epilogue.codes = y.has_value();
  if (y) {
    epilogue.zero_point = y->zero_point;
    epilogue.low_code = code_of(epilogue.range.low, *y);
    epilogue.high_code = code_of(epilogue.range.high, *y);
  }
  const double y_scale = y ? y->scale : 1.0;
  const bool real_bias = bias && bias->dtype() == DType::kFloat32;
  // Any sum of the kernel lies within this of zero; bias must leave room for it.
  const int64_t room = std::numeric_limits<int32_t>::max() - static_cast<int64_t>(depth) * 255 * 128;
  for (size_t o = 0; o < channels; ++o) {
    int64_t sum = 0;
    for (size_t k = 0; k < depth; ++k) sum += weights.data<int8_t>()[o * depth + k];
    int64_t folded = -sum * x.zero_point;
    if (bias && !real_bias) folded += bias->data<int32_t>()[o];
    if (folded > room || folded < -room)
      context.unsupported("the bias of channel ", o, " is ", folded, " in steps of the sums, the limit is ", room,
                          ". Keep this layer in float, or calibrate its input with a wider range");
    epilogue.bias.push_back(static_cast<int32_t>(folded));
    const double scale = static_cast<double>(x.scale) * weight_scale[weight_scale.size() == 1 ? 0 : o];
    epilogue.scale.push_back(static_cast<float>(scale / y_scale));
    if (real_bias) epilogue.offset.push_back(static_cast<float>(bias->data<float>()[o] / y_scale));
  }
  return epilogue;
}

}  // namespace sanderling
