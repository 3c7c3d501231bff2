// Quantizes the constants of a layer: int8 weights with one scale per output channel, int32 bias.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace sanderling {

// Weights as [outer, channels, inner], row-major: a convolution's filter is [1, O, I*kh*kw], a
// product's [K, N] is [K, N, 1].
struct WeightLayout {
  int64_t outer, channels, inner;
};

struct QuantizedWeights {
  std::vector<int8_t> codes;  // in -127..127, laid out as the weights; the zero point is 0
  std::vector<float> scales;  // one per channel
  double signal, noise;       // sums of w^2 and of (w - code * scale)^2
};

// Per channel the scale with the least squared error among the largest magnitude / 127 and smaller
// ones that clip, raised to minimum_scales[channel] where that is more. A channel of zeros gets the
// layer's largest scale (1 if all are zeros). kInput if a weight is not finite or a length is
// wrong.
QuantizedWeights quantize_weights(std::span<const float> weights, const WeightLayout& layout,
                                  std::span<const float> minimum_scales);

// The least weight scale per channel with which |bias| in steps of input_scale * weight scale stays
// within kMaxBiasCode less what the sums can reach, and with which that product is a normal float.
// `bias` is empty or has one number per channel. kInput if depth, the products per sum, is over
// kMaxDepth: then no bias is safe.
std::vector<float> minimum_weight_scales(std::span<const float> bias, int64_t channels,
                                         int64_t depth, float input_scale);
constexpr int64_t kMaxDepth =
    32768;  // a sum of depth products and its zero point's share reach 2 * depth * 255 * 127

// round_half_even(bias / (input_scale * weight_scales)), in double. kInput if one does not fit
// int32.
std::vector<int32_t> quantize_bias(std::span<const float> bias, float input_scale,
                                   std::span<const float> weight_scales);

}  // namespace sanderling
