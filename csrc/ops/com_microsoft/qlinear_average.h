// The averages of codes: QLinearAveragePool and QLinearGlobalAveragePool.
#pragma once

#include "ops/com_microsoft/qlinear_unary.h"
#include "ops/pooling.h"

namespace sanderling {

// The mean of each window as QAveragePool computes it: the exact sum of x - x_zero, in float32,
// times one float32 scale.
inline void reference_qlinear_average(const ReferenceContext& context, const Window& window) {
  const CodeParameters x = code_parameters(context, kXScale, kXZero);
  const CodeParameters y = code_parameters(context, kYScale, kYZero);
  const AverageDivisor divisor(context);
  const CodeInput codes(context, 0);
  const int64_t channels = channels_of(context);
  const ImageLayout from{is_channels_last(context), channels, window.inputs()};
  const ImageLayout to{is_channels_last(context), channels, window.outputs()};
  for (int64_t n = 0; n < context.input(0).shape[0]; ++n) {
    for (int64_t p = 0; p < window.outputs(); ++p) {
      const Position at = window.position(p);
      const auto count = static_cast<double>(divisor(window.axes, at.data()));
      const auto scale =
          static_cast<float>(static_cast<double>(x.scale) / (static_cast<double>(y.scale) * count));
      for (int64_t c = 0; c < channels; ++c) {
        int64_t sum = 0;
        for_each_tap(window.axes, at.data(), [&](int64_t /*tap*/, int64_t pixel) {
          sum += codes[from.at(n, c, pixel)] - x.zero_point;
        });
        put_code(context, to.at(n, c, p), static_cast<float>(sum) * scale, y.zero_point);
      }
    }
  }
}

}  // namespace sanderling
