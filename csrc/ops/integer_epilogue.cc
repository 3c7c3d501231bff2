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
  return static_cast<uint8_t>(
      quantized(scaled(acc, o), 1.0f, zero_point, code_range.low, code_range.high));
}

float IntegerEpilogue::real(int32_t acc, int64_t o) const { return range.clamp(scaled(acc, o)); }

float IntegerEpilogue::scaled(int32_t acc, int64_t o) const {
  const auto i = static_cast<size_t>(o);
  const float y = static_cast<float>(acc + bias->data<int32_t>()[i]) * scale->data<float>()[i];
  return offset ? y + offset->data<float>()[i] : y;
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
  const int32_t* const biases = bias->data<int32_t>().data() + first;
  const float* const scales = scale->data<float>().data() + first;
  const float* const rest = offset ? offset->data<float>().data() + first : nullptr;
  if (codes)
    kernels.requantize_s32u8({.rows = rows,
                              .columns = columns,
                              .acc = acc,
                              .acc_stride = columns,
                              .bias = biases,
                              .scale = scales,
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
                               .bias = biases,
                               .scale = scales,
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

std::optional<Quantization> product_quantization(const InferContext& context) {
  if (!context.attributes().has("product_scale")) return context.quantization_of_output(0);
  return Quantization{context.attributes().number("product_scale", 1.0f),
                      static_cast<int32_t>(context.attributes().integer("product_zero", 0))};
}

DType integer_output_dtype(const InferContext& context) {
  return context.quantization_of_output(0) ? DType::kUInt8 : DType::kFloat32;
}

namespace {

// What an epilogue has besides its channels.
IntegerEpilogue empty_epilogue(const InferContext& context) {
  const std::optional<Quantization> y = product_quantization(context);
  IntegerEpilogue epilogue;
  for (int64_t zero : context.attributes().integers("weight_zero", {}))
    epilogue.weight_zero.push_back(static_cast<int32_t>(zero));
  const bool has_residual = context.attributes().has("product_scale");
  epilogue.range = activation_range(context);
  epilogue.codes = y.has_value();
  if (y) {
    epilogue.zero_point = y->zero_point;
    // Of a sum, low and high are its own.
    epilogue.code_range = has_residual ? CodeRange{0, 255} : code_range(context, *y);
  }
  return epilogue;
}

// What an epilogue has per output channel.
struct Channels {
  Tensor bias, scale, offset;
};

Channels channels_of(const InferContext& context, const IntegerEpilogue& empty) {
  const std::span<const int8_t> weights = context.constant(1).data<int8_t>();
  const int64_t count = context.constant(1).shape()[0];
  const size_t depth = count == 0 ? 0 : weights.size() / static_cast<size_t>(count);
  std::span<const int32_t> whole_bias;
  std::span<const float> real_bias;
  if (context.has_input(2) && context.constant(2).dtype() == DType::kInt32)
    whole_bias = context.constant(2).data<int32_t>();
  else if (context.has_input(2))
    real_bias = context.constant(2).data<float>();
  const std::vector<float> weight_scale = context.attributes().numbers("weight_scale", {});
  const Quantization& x = context.input_quantization(0);
  const std::optional<Quantization> y = product_quantization(context);
  const double y_scale = y ? static_cast<double>(y->scale) : 1.0;

  Channels made{{DType::kInt32, Shape{count}},
                {DType::kFloat32, Shape{count}},
                {DType::kFloat32, Shape{count}}};
  for (size_t o = 0; o < static_cast<size_t>(count); ++o) {
    const Sums sums(weights.subspan(o * depth, depth),
                    empty.weight_zero_of(static_cast<int64_t>(o)));
    const double step =
        static_cast<double>(x.scale) * weight_scale[weight_scale.size() == 1 ? 0 : o];
    const auto zero = static_cast<double>(-sums.all * x.zero_point);
    ScaledBias added{0.0, 0.0};
    if (!whole_bias.empty())
      added.steps = whole_bias[o];
    else if (!real_bias.empty())
      added = split(real_bias[o], step);
    // A bias that saturates int32, as quantizers give dead channels, is added as a real number.
    if (!sums.leave_room_for(zero + added.steps)) added = {0.0, added.rest + added.steps * step};
    made.bias.mutable_data<int32_t>()[o] = static_cast<int32_t>(zero + added.steps);
    made.scale.mutable_data<float>()[o] = static_cast<float>(step / y_scale);
    made.offset.mutable_data<float>()[o] = static_cast<float>(added.rest / y_scale);
  }
  return made;
}

std::shared_ptr<const Tensor> unless_zero(std::shared_ptr<const Tensor> offset) {
  const std::span<const float> rests = offset->data<float>();
  const bool zero =
      std::all_of(rests.begin(), rests.end(), [](float rest) { return rest == 0.0f; });
  return zero ? nullptr : std::move(offset);
}

}  // namespace

IntegerEpilogue integer_epilogue(const InferContext& context) {
  IntegerEpilogue epilogue = empty_epilogue(context);
  Channels made = channels_of(context, epilogue);
  epilogue.bias = std::make_shared<const Tensor>(std::move(made.bias));
  epilogue.scale = std::make_shared<const Tensor>(std::move(made.scale));
  epilogue.offset = unless_zero(std::make_shared<const Tensor>(std::move(made.offset)));
  return epilogue;
}

IntegerEpilogue shared_integer_epilogue(PlanContext& context) {
  IntegerEpilogue epilogue = empty_epilogue(context);
  std::optional<Channels> made;
  const Shape shape{context.constant(1).shape()[0]};
  const auto shared = [&](std::string_view tag, DType dtype, Tensor Channels::* part) {
    return context.shared_tensor(tag, {dtype, shape}, [&] {
      if (!made) made = channels_of(context, epilogue);
      return (*made).*part;
    });
  };
  epilogue.bias = shared("bias", DType::kInt32, &Channels::bias);
  epilogue.scale = shared("scale", DType::kFloat32, &Channels::scale);
  epilogue.offset = unless_zero(shared("offset", DType::kFloat32, &Channels::offset));
  return epilogue;
}

}  // namespace sanderling
