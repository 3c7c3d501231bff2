#include "quantize/noise.h"

#include <cmath>
#include <limits>

#include "core/error.h"

namespace sanderling {

void Noise::add(std::span<const float> expected, std::span<const float> actual) {
  if (expected.size() != actual.size()) {
    fail(ErrorCode::kInput, "[noise] ", actual.size(), " values against ", expected.size(),
         ". Give tensors of one shape.");
  }
  for (size_t i = 0; i < expected.size(); ++i) {
    if (!std::isfinite(expected[i]) || !std::isfinite(actual[i])) {
      ++skipped;
      continue;
    }
    const double difference = static_cast<double>(actual[i]) - expected[i];
    signal += static_cast<double>(expected[i]) * expected[i];
    noise += difference * difference;
    ++count;
  }
}

double Noise::decibels() const {
  if (noise == 0.0) return std::numeric_limits<double>::infinity();
  return 10.0 * std::log10(signal / noise);
}

}  // namespace sanderling
