// Windows that are sums of cosines: HannWindow, HammingWindow, BlackmanWindow.
#pragma once

#include <cmath>
#include <numbers>

#include "ops/scalars.h"

namespace sanderling {

inline void infer_cosine_window(InferContext& context) {
  context.attributes().integer("periodic", 1);
  const int64_t size = scalar_integer(context, 0, "size", 0, Shape::kMaxElements);
  context.set_output(0, output_datatype(context), Shape{size});
}

// y[n] = kA - kB * cos(angle) + kC * cos(2 * angle), with one turn of the angle over the window.
struct CosineWindow {
  double a, b, c;
};

inline void reference_cosine_window(const ReferenceContext& context, const CosineWindow& window) {
  const int64_t size = context.output(0).shape.elements();
  const bool periodic = context.attributes().integer("periodic", 1) != 0;
  const double turn = static_cast<double>(periodic ? size : size - 1);
  visit_number(context.output(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t n = 0; n < size; ++n) {
      // A symmetric window of one element is its middle.
      const double angle =
          turn == 0.0 ? std::numbers::pi : 2.0 * std::numbers::pi * static_cast<double>(n) / turn;
      context.out<T>(0)[n] = convert_element<T>(
          window.a - window.b * std::cos(angle) + window.c * std::cos(2.0 * angle), true);
    }
  });
}

}  // namespace sanderling
