// The window of a convolution run backwards: it stands at every input position and adds to the
// output pixels that it covers. In the Window's own words `input` is the image that is written, and
// `output` are the positions that are read.
#pragma once

#include "ops/window.h"

namespace sanderling {

// Of ConvTranspose: input 0 [N, C, spatial...], input 1 [C, M / group, kernel...]. Throws kModel
// where attributes and shapes contradict each other.
Window transposed_window(const InferContext& context);

}  // namespace sanderling
