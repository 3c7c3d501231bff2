#include <algorithm>

#include "ops/axes.h"
#include "ops/fourier.h"
#include "ops/scalars.h"
#include "ops/spatial_attributes.h"

namespace sanderling {
namespace {

constexpr int64_t kAxisIsInputSince = 20;

// [outer, axis, inner, 1 or 2]: the last axis holds real, or real and imaginary parts.
struct Settings {
  int64_t axis = 0, length = 0, outer = 0, inner = 0, signal = 0, parts = 0;
  bool inverse = false, onesided = false;

  // A transform of real numbers is symmetric: half of it says all.
  bool to_half() const { return onesided && !inverse; }
  bool to_real() const { return onesided && inverse; }
  int64_t outputs() const { return to_half() ? length / 2 + 1 : length; }
  int64_t output_parts() const { return to_real() ? 1 : 2; }
};

int64_t axis_of(const InferContext& context) {
  const int64_t rank = context.input(0).shape.rank();
  int64_t axis = context.node().opset < kAxisIsInputSince ? context.attributes().integer("axis", 1)
                 : context.has_input(2) ? scalar_integer(context, 2, "axis", -rank, rank)
                                        : -2;
  axis = checked_axis(context, axis, rank);
  if (axis == rank - 1)
    context.error("axis ", axis, " holds real and imaginary parts, expected one before it");
  return axis;
}

Settings settings_of(const InferContext& context) {
  const Shape& x = context.input(0).shape;
  if (x.rank() < 2 || (x[x.rank() - 1] != 1 && x[x.rank() - 1] != 2))
    context.error("input 0 has shape ", x.to_string(),
                  ", expected real, or real and imaginary parts in the last axis");
  if (context.node().opset < kAxisIsInputSince && context.has_input(2))
    context.error("opset ", context.node().opset, " takes axis as an attribute, not as an input");
  Settings s{.axis = axis_of(context),
             .parts = x[x.rank() - 1],
             .inverse = context.attributes().integer("inverse", 0) != 0,
             .onesided = context.attributes().integer("onesided", 0) != 0};
  s.outer = x.elements(0, s.axis);
  s.inner = x.elements(s.axis + 1, x.rank() - 1);
  s.signal = x[s.axis];
  if (s.to_half() && s.parts == 2)
    context.error("onesided is 1, which needs a real input, and input 0 has shape ", x.to_string());
  s.length = s.to_real() ? 2 * (s.signal - 1) : s.signal;
  if (context.has_input(1))
    s.length = scalar_integer(context, 1, "dft_length", 1, kMaxSpatialNumber);
  if (s.length < 1) context.error("dft_length is ", s.length, ", expected 1 or more");
  if (s.length > kMaxTransform)
    context.unsupported("dft_length is ", s.length, "; the native engine takes up to ",
                        kMaxTransform);
  return s;
}

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32, DType::kFloat64});
  const Settings s = settings_of(context);
  std::vector<int64_t> dims = context.input(0).shape.dims();
  dims[static_cast<size_t>(s.axis)] = s.outputs();
  dims.back() = s.output_parts();
  context.set_output(0, context.input(0).dtype, checked_shape(context, std::move(dims)));
}

// The half that is not stored is the conjugate of the one that is; its ends are real.
void complete(std::vector<std::complex<double>>& signal) {
  const size_t length = signal.size();
  signal[0] = signal[0].real();
  if (length % 2 == 0) signal[length / 2] = signal[length / 2].real();
  for (size_t k = length / 2 + 1; k < length; ++k) signal[k] = std::conj(signal[length - k]);
}

template <typename T>
void transform(const ReferenceContext& context) {
  const Settings s = settings_of(context);
  Fourier fourier(s.length, s.inverse);
  std::vector<std::complex<double>> signal(static_cast<size_t>(s.length)), result(signal.size());
  const double factor = s.inverse ? 1.0 / static_cast<double>(s.length) : 1.0;
  const int64_t used = std::min(s.signal, s.to_real() ? s.length / 2 + 1 : s.length);
  for (int64_t i = 0; i < s.outer * s.inner; ++i) {
    const int64_t outer = i / s.inner, inner = i % s.inner;
    std::fill(signal.begin(), signal.end(), 0.0);
    for (int64_t n = 0; n < used; ++n) {
      const T* x = context.in<T>(0) + ((outer * s.signal + n) * s.inner + inner) * s.parts;
      signal[static_cast<size_t>(n)] = {static_cast<double>(x[0]),
                                        s.parts == 2 ? static_cast<double>(x[1]) : 0.0};
    }
    if (s.to_real()) complete(signal);
    fourier.transform(signal.data(), result.data());
    for (int64_t k = 0; k < s.outputs(); ++k) {
      const std::complex<double> value = result[static_cast<size_t>(k)] * factor;
      T* y = context.out<T>(0) + ((outer * s.outputs() + k) * s.inner + inner) * s.output_parts();
      y[0] = static_cast<T>(value.real());
      if (!s.to_real()) y[1] = static_cast<T>(value.imag());
    }
  }
}

void reference(const ReferenceContext& context) {
  if (context.output(0).shape.elements() == 0) return;
  if (context.input(0).dtype == DType::kFloat32)
    transform<float>(context);
  else
    transform<double>(context);
}

SANDERLING_OPERATOR(dft)({.name = "DFT",
                          .since_opset = 17,
                          .min_inputs = 1,
                          .max_inputs = 3,
                          .infer = infer,
                          .reference = reference});

}  // namespace
}  // namespace sanderling
