#include "ops/integer_epilogue.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/packed_codes.h"

namespace sanderling {
namespace {

struct ScaledBias {
  double steps;  // whole steps of the sums
  double rest;   // real
};

// A float bias that is a whole number of steps but for its own rounding leaves no rest.
ScaledBias split(double bias, double step) {
  const double steps = std::nearbyint(bias / step);
  if (!std::isfinite(steps)) return {0.0, bias};
  const bool whole = static_cast<float>(steps * step) == static_cast<float>(bias);
  return {steps, whole ? 0.0 : bias - steps * step};
}

// What the weights of one channel can sum up to with any codes.
struct Sums {
  int64_t all = 0, lowest = 0, highest = 0;

  Sums(std::span<const int8_t> weights, int32_t zero_point) {
    for (const int8_t code : weights) {
      const int32_t w = code - zero_point;
      all += w;
      lowest += 255 * std::min<int64_t>(w, 0);
      highest += 255 * std::max<int64_t>(w, 0);
    }
  }
  // Whether every sum still fits int32 after `bias` is added.
  bool leave_room_for(double bias) const {
    using Limits = std::numeric_limits<int32_t>;
    return static_cast<double>(lowest) + bias >= Limits::lowest() &&
           static_cast<double>(highest) + bias <= Limits::max();
  }
};

}  // namespace

uint8_t IntegerEpilogue::code(int32_t acc, int64_t o) const {
  const auto i = static_cast<size_t>(o);
  float steps = static_cast<float>(acc + bias[i]) * scale[i];
  if (!offset.empty()) steps = steps + offset[i];
  return static_cast<uint8_t>(quantized(steps, 1.0f, zero_point, code_range.low, code_range.high));
}

float IntegerEpilogue::real(int32_t acc, int64_t o) const {
  const auto i = static_cast<size_t>(o);
  float y = static_cast<float>(acc + bias[i]) * scale[i];
  if (!offset.empty()) y = y + offset[i];
  return range.clamp(y);
}

// In the low 32 bits: a product may leave int32 where the difference does not.
void IntegerEpilogue::centre(int32_t* acc, int64_t columns, int64_t channel,
                             int32_t row_sum) const {
  const int32_t* zero = weight_zero.data() + channel;
  const auto sum = static_cast<uint32_t>(row_sum);
  for (int64_t c = 0; c < columns; ++c)
    acc[c] =
        static_cast<int32_t>(static_cast<uint32_t>(acc[c]) - static_cast<uint32_t>(zero[c]) * sum);
}

void IntegerEpilogue::finish(const KernelTable& kernels, const int32_t* acc, int64_t rows,
                             int64_t columns, int64_t channel, void* y, int64_t y_offset,
                             int64_t y_stride) const {
  const auto first = static_cast<size_t>(channel);
  const float* rest = offset.empty() ? nullptr : offset.data() + first;
  if (codes)
    kernels.requantize_s32u8({.rows = rows,
                              .columns = columns,
                              .acc = acc,
                              .acc_stride = columns,
                              .bias = bias.data() + first,
                              .scale = scale.data() + first,
                              .offset = rest,
                              .zero_point = zero_point,
                              .low = code_range.low,
                              .high = code_range.high,
                              .y = static_cast<uint8_t*>(y) + y_offset,
                              .y_stride = y_stride});
  else
    kernels.requantize_s32f32({.rows = rows,
                               .columns = columns,
                               .acc = acc,
                               .acc_stride = columns,
                               .bias = bias.data() + first,
                               .scale = scale.data() + first,
                               .offset = rest,
                               .low = range.low,
                               .high = range.high,
                               .y = static_cast<float*>(y) + y_offset,
                               .y_stride = y_stride});
}

void check_integer_weights(const InferContext& context) {
  const KnownTensor weights = context.constant(1);
  if (weights.dtype() != DType::kInt8 || context.input(0).dtype != DType::kUInt8)
    context.error("takes uint8 codes and int8 weights, got ", name_of(context.input(0).dtype),
                  " and ", name_of(weights.dtype()));
  if (weights.shape().rank() < 2)
    context.error("the weight has shape ", weights.shape().to_string(),
                  ", expected rank 2 or more");
  const int64_t channels = weights.shape()[0];
  const int64_t depth = weights.shape().elements(1, weights.shape().rank());
  const auto zeros = static_cast<int64_t>(context.attributes().integers("weight_zero", {}).size());
  const int64_t limit = zeros == 0 ? kMaxDepthU8S8 : kMaxCentredDepth;
  if (depth > limit)
    context.unsupported("sums of ", depth, " products could overflow int32, the limit is ", limit,
                        ". Leave this layer out of quantization");
  if (zeros != 0 && zeros != channels)
    context.error("weight_zero has ", zeros, " numbers, expected ", channels);
  const auto scales = static_cast<int64_t>(context.attributes().numbers("weight_scale", {}).size());
  if (scales != 1 && scales != channels)
    context.error("weight_scale has ", scales, " numbers, expected 1 or ", channels);
  if (!context.has_input(2)) return;
  const KnownTensor bias = context.constant(2);
  if (bias.dtype() != DType::kInt32 && bias.dtype() != DType::kFloat32)
    context.error("the bias is ", name_of(bias.dtype()), ", expected int32 or float32");
  if (bias.shape() != Shape{channels})
    context.error("the bias has shape ", bias.shape().to_string(), ", expected [", channels, "]");
}

DType integer_output_dtype(const InferContext& context) {
  return context.quantization_of_output(0) ? DType::kUInt8 : DType::kFloat32;
}

IntegerEpilogue integer_epilogue(const InferContext& context) {
  const std::span<const int8_t> weights = context.constant(1).data<int8_t>();
  const auto channels = static_cast<size_t>(context.constant(1).shape()[0]);
  const size_t depth = channels == 0 ? 0 : weights.size() / channels;
  const auto bias = context.has_input(2) ? std::optional(context.constant(2)) : std::nullopt;
  const bool whole_bias = bias && bias->dtype() == DType::kInt32;
  const std::vector<float> weight_scale = context.attributes().numbers("weight_scale", {});
  const Quantization& x = context.input_quantization(0);
  const std::optional<Quantization>& y = context.quantization_of_output(0);

  IntegerEpilogue epilogue;
  for (int64_t zero : context.attributes().integers("weight_zero", {}))
    epilogue.weight_zero.push_back(static_cast<int32_t>(zero));
  epilogue.range = activation_range(context);
  epilogue.codes = y.has_value();
  if (y) {
    epilogue.zero_point = y->zero_point;
    epilogue.code_range = code_range(context, *y);
  }
  const double y_scale = y ? static_cast<double>(y->scale) : 1.0;
  for (size_t o = 0; o < channels; ++o) {
    const Sums sums(weights.subspan(o * depth, depth),
                    epilogue.weight_zero_of(static_cast<int64_t>(o)));
    const double step =
        static_cast<double>(x.scale) * weight_scale[weight_scale.size() == 1 ? 0 : o];
    const auto zero = static_cast<double>(-sums.all * x.zero_point);
    ScaledBias added{0.0, 0.0};
    if (whole_bias)
      added.steps = bias->data<int32_t>()[o];
    else if (bias)
      added = split(bias->data<float>()[o], step);
    // A bias that saturates int32, as quantizers give dead channels, is added as a real number.
    if (!sums.leave_room_for(zero + added.steps)) added = {0.0, added.rest + added.steps * step};
    epilogue.bias.push_back(static_cast<int32_t>(zero + added.steps));
    epilogue.scale.push_back(static_cast<float>(step / y_scale));
    epilogue.offset.push_back(static_cast<float>(added.rest / y_scale));
  }
  if (std::all_of(epilogue.offset.begin(), epilogue.offset.end(),
                  [](float rest) { return rest == 0.0f; }))
    epilogue.offset.clear();
  return epilogue;
}

}  // namespace sanderling
