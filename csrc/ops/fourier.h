// The discrete Fourier transform of any length, in float64: what DFT and STFT share.
#pragma once

#include <complex>
#include <cstdint>
#include <vector>

namespace sanderling {

// The longest transform: tables and work space of one are a gigabyte.
constexpr int64_t kMaxTransform = int64_t{1} << 24;

class Fourier {
 public:
  // `length` is 1 or more. The inverse is not divided by the length.
  Fourier(int64_t length, bool inverse);
  int64_t length() const { return static_cast<int64_t>(turns_.size()); }
  // y[k] = sum over n of x[n] * e^(-2 pi j k n / length); + for the inverse. y is not x.
  void transform(const std::complex<double>* x, std::complex<double>* y);

 private:
  void transform(const std::complex<double>* x, int64_t stride, int64_t count,
                 std::complex<double>* y);

  std::vector<std::complex<double>> turns_;  // e^(-+2 pi j i / length)
  std::vector<std::complex<double>> parts_;
};

}  // namespace sanderling
