// Chooses the uint8 codes of an activation: scale and zero point with the least squared error on
// what was observed.
#pragma once

#include "graph/graph.h"
#include "quantize/range_observer.h"

namespace sanderling {

struct RangeChoice {
  Quantization quantization;
  double error;         // mean squared error of the observed values
  double minmax_error;  // the same with the codes spread from the least to the largest value
  double clipped;       // share of the observed values beyond the lowest or highest code
};

// Codes that cover [low, high], widened so that it has 0: 0 is always exactly a code. A range of no
// width, or one whose scale would be under kSmallestScale, gets a scale that is safe to divide by.
// kInput unless low <= high and both are finite.
Quantization covering_codes(float low, float high);
// Below it a tensor counts as all zeros: 2^-64 leaves its product with any weight scale a normal
// float.
constexpr float kSmallestScale = 0x1p-64f;

// Mean of (x - dequantize(quantize(x)))^2, where values are spread evenly over their bin (the first
// and last bin end at the least and largest value); zeros cost nothing. Exact for that density: no
// sampling.
double mean_squared_error(const RangeObserver& observer, const Quantization& quantization);
// Share of the values that lie more than half a step beyond the codes.
double clipped_share(const RangeObserver& observer, const Quantization& quantization);

// A grid of clipped ranges, then steps downhill from the best; the covering range is among the
// candidates, so the result is never worse than it. kInput if nothing finite was observed.
RangeChoice search_range(const RangeObserver& observer);

}  // namespace sanderling
