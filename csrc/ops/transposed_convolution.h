// The window of a convolution run backwards: it stands at every input position and adds to the
// output pixels that it covers. In the Window's own words `input` is the image that is written, and
// `output` are the positions that are read.
#pragma once

#include "ops/window.h"

namespace sanderling {

// Of ConvTranspose: input 0 [N, C, spatial...], input 1 [C, M / group, kernel...]. Throws kModel
// where attributes and shapes contradict each other.
Window transposed_window(const InferContext& context);

// [N, C, in...] and weights [C, M / group, kernel...] to [N, M, out...].
struct TransposedConvolution {
  Window window;  // its inputs are y's pixels, its outputs are x's
  int64_t images, groups, group_inputs, group_outputs;

  int64_t taps() const { return window.taps(); }
  int64_t x_pixels() const { return window.outputs(); }
  int64_t y_pixels() const { return window.inputs(); }
};
TransposedConvolution transposed_convolution(const InferContext& context);

// float32 only; otherwise the reference runs.
void plan_transposed_convolution(PlanContext& context);

}  // namespace sanderling
