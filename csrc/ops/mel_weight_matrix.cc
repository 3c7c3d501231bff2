#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "ops/scalars.h"
#include "ops/spatial_attributes.h"

namespace sanderling {
namespace {

// A thousand times what any model has.
constexpr int64_t kMaxBins = 1 << 18;

struct Sizes {
  int64_t bins, dft_length;
  int64_t rows() const { return dft_length / 2 + 1; }
};

Sizes sizes_of(const InferContext& context) {
  return {scalar_integer(context, 0, "num_mel_bins", 0, kMaxBins),
          scalar_integer(context, 1, "dft_length", 1, kMaxSpatialNumber)};
}

void infer(InferContext& context) {
  const Sizes sizes = sizes_of(context);
  context.set_output(0, output_datatype(context),
                     checked_shape(context, {sizes.rows(), sizes.bins}));
}

double mel_of(double hertz) { return 2595.0 * std::log1p(hertz / 700.0) / std::numbers::ln10; }

// The spectrogram rows where the triangles begin, peak and end: bins + 2 of them.
std::vector<int64_t> edges_of(const ReferenceContext& context, const Sizes& sizes) {
  const int64_t rate = scalar_integer(context, 2, "sample_rate", 1, kMaxSpatialNumber);
  const double lower = scalar_number(context, 3, "lower_edge_hertz");
  const double upper = scalar_number(context, 4, "upper_edge_hertz");
  if (!(lower >= 0.0) || !(upper >= lower) || !std::isfinite(upper))
    context.error("the edges are ", lower, " and ", upper, " hertz, expected 0 <= lower <= upper");
  const double first = mel_of(lower);
  const double step = (mel_of(upper) - first) / static_cast<double>(sizes.bins + 2);
  std::vector<int64_t> edges;
  for (int64_t i = 0; i < sizes.bins + 2; ++i) {
    const double hertz =
        700.0 * std::expm1((static_cast<double>(i) * step + first) / 2595.0 * std::numbers::ln10);
    const double row =
        std::floor(static_cast<double>(sizes.dft_length + 1) * hertz / static_cast<double>(rate));
    if (!(row < static_cast<double>(sizes.rows())))
      context.error("upper_edge_hertz is ", upper, ", beyond half the sample rate ", rate);
    edges.push_back(static_cast<int64_t>(row));
  }
  return edges;
}

void reference(const ReferenceContext& context) {
  const Sizes sizes = sizes_of(context);
  const std::vector<int64_t> edges = edges_of(context, sizes);
  visit_number(context.output(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    T* y = context.out<T>(0);
    std::fill(y, y + sizes.rows() * sizes.bins, T{0});
    const auto set = [&](int64_t row, int64_t bin, double weight) {
      y[row * sizes.bins + bin] = convert_element<T>(weight, true);
    };
    const auto share = [](int64_t part, int64_t whole) {
      return static_cast<double>(part) / static_cast<double>(whole);
    };
    for (int64_t bin = 0; bin < sizes.bins; ++bin) {
      const int64_t* edge = edges.data() + bin;
      if (edge[0] == edge[1]) set(edge[1], bin, 1.0);
      for (int64_t row = edge[0]; edge[0] != edge[1] && row <= edge[1]; ++row)
        set(row, bin, share(row - edge[0], edge[1] - edge[0]));
      for (int64_t row = edge[1]; row < edge[2]; ++row)
        set(row, bin, share(edge[2] - row, edge[2] - edge[1]));
    }
  });
}

SANDERLING_OPERATOR(mel_weight_matrix)({.name = "MelWeightMatrix",
                                        .since_opset = 17,
                                        .min_inputs = 5,
                                        .max_inputs = 5,
                                        .infer = infer,
                                        .reference = reference});

}  // namespace
}  // namespace sanderling
