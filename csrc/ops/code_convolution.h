// Convolutions of 8-bit codes in the model's own layout: what ConvInteger and QLinearConv share.
#pragma once

#include "ops/code_operands.h"
#include "ops/convolution.h"

namespace sanderling {

// Where the operands stand among a node's inputs; x is input 0.
struct ConvolutionInputs {
  size_t x_zero, weights, weights_zero;
};

// Calls body(i, channel, sum) for each output element with its exact sum of (x - x_zero) *
// (w - w_zero); codes on padding are the zero point, so that they add nothing.
template <typename Body>
void for_each_code_sum(const ReferenceContext& context, const ConvolutionInputs& inputs,
                       const Body& body) {
  const Window window = convolution_window(context, inputs.weights);
  const Shape& weights = context.input(inputs.weights).shape;
  const int64_t outputs = weights[0], group_inputs = weights[1], taps = window.taps();
  const int64_t group_outputs = outputs / context.attributes().integer("group", 1);
  const ImageLayout x{false, channels_of(context), window.inputs()};
  const ImageLayout y{false, outputs, window.outputs()};
  const CodeInput codes(context, 0), filters(context, inputs.weights);
  const int64_t x_zero = code_parameters(context, kLeftOut, inputs.x_zero).zero_point;
  for (int64_t n = 0; n < context.input(0).shape[0]; ++n) {
    for (int64_t o = 0; o < outputs; ++o) {
      const int64_t w_zero = code_parameters(context, kLeftOut, inputs.weights_zero, o).zero_point;
      for (int64_t p = 0; p < window.outputs(); ++p) {
        const Position at = window.position(p);
        int64_t sum = 0;
        for_each_tap(window.axes, at.data(), [&](int64_t tap, int64_t pixel) {
          for (int64_t c = 0; c < group_inputs; ++c)
            sum += (codes[x.at(n, o / group_outputs * group_inputs + c, pixel)] - x_zero) *
                   (filters[(o * group_inputs + c) * taps + tap] - w_zero);
        });
        body(y.at(n, o, p), o, sum);
      }
    }
  }
}

}  // namespace sanderling
