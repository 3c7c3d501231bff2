#include "ops/fourier.h"

#include <cmath>
#include <numbers>

namespace sanderling {
namespace {

int64_t smallest_factor(int64_t n) {
  for (int64_t factor = 2; factor * factor <= n; ++factor)
    if (n % factor == 0) return factor;
  return n;
}

}  // namespace

Fourier::Fourier(int64_t length, bool inverse)
    : turns_(static_cast<size_t>(length)), parts_(static_cast<size_t>(length)) {
  for (int64_t i = 0; i < length; ++i) {
    const double angle =
        2.0 * std::numbers::pi * static_cast<double>(i) / static_cast<double>(length);
    turns_[static_cast<size_t>(i)] = {std::cos(angle),
                                      inverse ? std::sin(angle) : -std::sin(angle)};
  }
}

void Fourier::transform(const std::complex<double>* x, std::complex<double>* y) {
  transform(x, 1, length(), y);
}

// Cooley and Tukey: `factor` transforms of every factor-th element, then their sums turned by
// multiples of their own angle. A prime length is summed as it is defined.
void Fourier::transform(const std::complex<double>* x, int64_t stride, int64_t count,
                        std::complex<double>* y) {
  if (count == 1) {
    y[0] = x[0];
    return;
  }
  const int64_t factor = smallest_factor(count), part = count / factor;
  for (int64_t f = 0; f < factor; ++f)
    transform(x + f * stride, stride * factor, part, y + f * part);
  for (int64_t k = 0; k < part; ++k) {
    for (int64_t f = 0; f < factor; ++f) parts_[static_cast<size_t>(f)] = y[f * part + k];
    for (int64_t m = 0; m < factor; ++m) {
      // count * stride is the length: a turn of this transform is `stride` of the table's.
      const int64_t turn = (k + m * part) * stride;
      std::complex<double> sum = parts_[0];
      int64_t at = 0;
      for (int64_t f = 1; f < factor; ++f) {
        at += turn;
        if (at >= length()) at -= length();
        sum += parts_[static_cast<size_t>(f)] * turns_[static_cast<size_t>(at)];
      }
      y[m * part + k] = sum;
    }
  }
}

}  // namespace sanderling
