#include "ops/fourier.h"
#include "ops/scalars.h"
#include "ops/spatial_attributes.h"

namespace sanderling {
namespace {

// [batch, signal, 1 or 2] to [batch, frames, bins, 2]. torch exports a real signal without its last
// axis, [batch, signal], which ONNX Runtime takes too.
struct Settings {
  int64_t signal = 0, parts = 0, step = 0, length = 0, frames = 0, bins = 0;
};

int64_t frame_length(const InferContext& context) {
  const Shape& x = context.input(0).shape;
  int64_t window = 0;
  if (context.has_input(2)) {
    require_same_dtype(context, 0, 2);
    if (context.input(2).shape.rank() != 1)
      context.error("the window has shape ", context.input(2).shape.to_string(),
                    ", expected one axis");
    window = context.input(2).shape[0];
  }
  if (!context.has_input(3)) return context.has_input(2) ? window : x[1];
  const int64_t length = scalar_integer(context, 3, "frame_length", 1, kMaxSpatialNumber);
  if (context.has_input(2) && window != length)
    context.error("frame_length is ", length, ", the window has ", window, " elements");
  return length;
}

Settings settings_of(const InferContext& context) {
  const Shape& x = context.input(0).shape;
  if (x.rank() != 2 && (x.rank() != 3 || (x[2] != 1 && x[2] != 2)))
    context.error("the signal has shape ", x.to_string(),
                  ", expected [batch, signal, 1 or 2] or [batch, signal]");
  Settings s{.signal = x[1],
             .parts = x.rank() == 2 ? 1 : x[2],
             .step = scalar_integer(context, 1, "frame_step", 1, kMaxSpatialNumber),
             .length = frame_length(context)};
  if (s.length < 1 || s.length > s.signal)
    context.error("a frame of ", s.length, " elements is not within the signal of ", s.signal);
  if (s.length > kMaxTransform)
    context.unsupported("a frame has ", s.length, " elements; the native engine takes up to ",
                        kMaxTransform);
  s.frames = (s.signal - s.length) / s.step + 1;
  const bool onesided = context.attributes().integer("onesided", 1) != 0;
  if (onesided && s.parts == 2)
    context.error("onesided is 1, which needs a real signal, and it has shape ", x.to_string());
  s.bins = onesided ? s.length / 2 + 1 : s.length;
  return s;
}

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32, DType::kFloat64});
  const Settings s = settings_of(context);
  context.set_output(0, context.input(0).dtype,
                     checked_shape(context, {context.input(0).shape[0], s.frames, s.bins, 2}));
}

template <typename T>
void transform(const ReferenceContext& context) {
  const Settings s = settings_of(context);
  const T* window = context.has_input(2) ? context.in<T>(2) : nullptr;
  Fourier fourier(s.length, false);
  std::vector<std::complex<double>> frame(static_cast<size_t>(s.length)), result(frame.size());
  T* y = context.out<T>(0);
  for (int64_t i = 0; i < context.input(0).shape[0] * s.frames; ++i) {
    const T* x = context.in<T>(0) + (i / s.frames * s.signal + i % s.frames * s.step) * s.parts;
    for (int64_t n = 0; n < s.length; ++n) {
      const std::complex<double> value{static_cast<double>(x[n * s.parts]),
                                       s.parts == 2 ? static_cast<double>(x[n * 2 + 1]) : 0.0};
      frame[static_cast<size_t>(n)] = value * (window ? static_cast<double>(window[n]) : 1.0);
    }
    fourier.transform(frame.data(), result.data());
    for (int64_t k = 0; k < s.bins; ++k) {
      *y++ = static_cast<T>(result[static_cast<size_t>(k)].real());
      *y++ = static_cast<T>(result[static_cast<size_t>(k)].imag());
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

SANDERLING_OPERATOR(stft)({.name = "STFT",
                           .since_opset = 17,
                           .min_inputs = 2,
                           .max_inputs = 4,
                           .infer = infer,
                           .reference = reference});

}  // namespace
}  // namespace sanderling
