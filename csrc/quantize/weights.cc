#include "quantize/weights.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"

namespace sanderling {
namespace {

constexpr float kMaxCode = 127.0f;  // not 128: the range stays symmetric, so the zero point is 0
// input_scale * weight_scale stays far from the least normal float, 2^-126, also once divided by
// the output's scale.
constexpr double kLeastProduct = 0x1p-100;

// Half to even for |x| < 2^22, and vectorized on plain x86-64, where std::nearbyint is a call:
// adding 1.5 * 2^23 leaves no bits for a fraction.
float round_even(float x) {
  constexpr float kShift = 12582912.0f;
  return (x + kShift) - kShift;
}

float code_of(float weight, float scale) {
  return round_even(std::clamp(weight / scale, -kMaxCode, kMaxCode));
}

double squared_error(std::span<const float> weights, float scale) {
  double sum = 0.0;
  // In blocks, so that the inner loop is float and vectorizes while the sum stays double.
  constexpr size_t kBlock = 256;
  for (size_t begin = 0; begin < weights.size(); begin += kBlock) {
    const size_t end = std::min(begin + kBlock, weights.size());
    float block[kBlock];
    for (size_t i = begin; i < end; ++i) {
      const float error = weights[i] - code_of(weights[i], scale) * scale;
      block[i - begin] = error * error;
    }
    for (size_t i = 0; i < end - begin; ++i) sum += block[i];
  }
  return sum;
}

float search_scale(std::span<const float> weights, float largest) {
  const float covering = largest / kMaxCode;
  float best = covering;
  double error = squared_error(weights, covering);
  const auto try_share = [&](double share) {
    const auto scale = static_cast<float>(covering * share);
    if (!std::isnormal(scale)) return;
    const double candidate = squared_error(weights, scale);
    if (candidate < error) {
      error = candidate;
      best = scale;
    }
  };
  // Clipping below 0.3 of the largest weight pays only for tails that trained weights do not have.
  for (int percent = 98; percent >= 30; percent -= 2) try_share(percent / 100.0);
  const double centre = static_cast<double>(best) / covering;
  for (const double step : {-0.01, -0.005, 0.005, 0.01}) try_share(std::min(centre + step, 1.0));
  return best;
}

float largest_magnitude(std::span<const float> weights) {
  float largest = 0.0f;
  for (const float weight : weights) {
    if (!std::isfinite(weight)) {
      fail(ErrorCode::kInput, "[quantize_weights] a weight is ", weight,
           ". Train the model again or keep the layer in float.");
    }
    largest = std::max(largest, std::abs(weight));
  }
  return largest;
}

void check_length(const char* what, size_t got, int64_t wanted) {
  if (static_cast<int64_t>(got) != wanted)
    fail(ErrorCode::kInput, "[quantize_weights] ", got, " ", what, ", ", wanted, " are wanted.");
}

}  // namespace

QuantizedWeights quantize_weights(std::span<const float> weights, const WeightLayout& layout,
                                  std::span<const float> minimum_scales) {
  const auto [outer, channels, inner] = layout;
  check_length("weights", weights.size(), outer * channels * inner);
  check_length("minimum scales", minimum_scales.size(), channels);
  QuantizedWeights result{.codes = std::vector<int8_t>(weights.size()),
                          .scales = std::vector<float>(static_cast<size_t>(channels)),
                          .signal = 0.0,
                          .noise = 0.0};
  std::vector<float> channel(static_cast<size_t>(outer * inner));
  std::vector<bool> dead(static_cast<size_t>(channels));
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t o = 0; o < outer; ++o) {
      const auto from = weights.subspan(static_cast<size_t>((o * channels + c) * inner),
                                        static_cast<size_t>(inner));
      std::copy(from.begin(), from.end(), channel.begin() + o * inner);
    }
    const float largest = largest_magnitude(channel);
    const auto index = static_cast<size_t>(c);
    float scale = 0.0f;
    if (std::isnormal(largest / kMaxCode * 0.25f)) scale = search_scale(channel, largest);
    dead[index] = scale == 0.0f;
    scale = std::max(scale, minimum_scales[index]);
    result.scales[index] = scale;
    for (const float weight : channel) result.signal += static_cast<double>(weight) * weight;
    if (dead[index]) continue;  // codes are 0
    result.noise += squared_error(channel, scale);
    for (int64_t o = 0; o < outer; ++o) {
      for (int64_t i = 0; i < inner; ++i) {
        result.codes[static_cast<size_t>((o * channels + c) * inner + i)] =
            static_cast<int8_t>(code_of(channel[static_cast<size_t>(o * inner + i)], scale));
      }
    }
  }
  float layer_scale = 0.0f;
  for (size_t c = 0; c < dead.size(); ++c) {
    if (!dead[c]) layer_scale = std::max(layer_scale, result.scales[c]);
  }
  if (layer_scale == 0.0f) layer_scale = 1.0f;
  for (size_t c = 0; c < dead.size(); ++c) {
    if (dead[c]) result.scales[c] = std::max(result.scales[c], layer_scale);
  }
  return result;
}

std::vector<float> minimum_weight_scales(std::span<const float> bias, int64_t channels,
                                         int64_t depth, float input_scale) {
  if (!bias.empty()) check_length("biases", bias.size(), channels);
  if (depth > kMaxDepth) {
    fail(ErrorCode::kInput, "[quantize_weights] sums of ", depth,
         " products could overflow int32, the limit is ", kMaxDepth, ". Keep the layer in float.");
  }
  // Sums reach depth * 255 * 127, and the input's zero point, folded into the bias, as much again.
  // A quarter of int32 is enough for any bias that matters beside the sums.
  const int64_t room = std::numeric_limits<int32_t>::max() - 2 * depth * 255 * 127;
  const auto most = static_cast<double>(std::min<int64_t>(room, int64_t{1} << 29));
  const double least = kLeastProduct / input_scale;
  std::vector<float> scales(static_cast<size_t>(channels), static_cast<float>(least));
  for (size_t c = 0; c < bias.size(); ++c) {
    if (!std::isfinite(bias[c]))
      fail(ErrorCode::kInput, "[quantize_weights] bias ", c, " is ", bias[c],
           ". Keep the layer in float.");
    // Raised by 2^-20, so that rounding to float32 cannot take the bias over the limit.
    const double fitting =
        std::abs(static_cast<double>(bias[c])) / (most * input_scale) * (1.0 + 0x1p-20);
    scales[c] = static_cast<float>(std::max(least, fitting));
  }
  return scales;
}

std::vector<int32_t> quantize_bias(std::span<const float> bias, float input_scale,
                                   std::span<const float> weight_scales) {
  check_length("biases", bias.size(), static_cast<int64_t>(weight_scales.size()));
  std::vector<int32_t> codes(bias.size());
  for (size_t c = 0; c < bias.size(); ++c) {
    const double code =
        std::nearbyint(bias[c] / (static_cast<double>(input_scale) * weight_scales[c]));
    if (!(std::abs(code) <= std::numeric_limits<int32_t>::max())) {
      fail(ErrorCode::kInput, "[quantize_bias] bias ", c, " is ", code, " steps, int32 holds ",
           std::numeric_limits<int32_t>::max(),
           ". Raise the weight scale to minimum_weight_scales().");
    }
    codes[c] = static_cast<int32_t>(code);
  }
  return codes;
}

}  // namespace sanderling
