#include <cmath>
#include <vector>

#include "ops/node_checks.h"
#include "ops/parallel.h"

namespace sanderling {
namespace {

constexpr const char* kParts[] = {"x", "scale", "bias", "mean", "variance"};

// [N, C, ...]; a tensor of rank 1 is a batch of one channel.
int64_t channels_of(const Shape& shape) { return shape.rank() > 1 ? shape[1] : 1; }

// Since opset 14 a model that was exported while training normalises each batch by itself, and
// gives what its running statistics would become.
bool uses_batch(const InferContext& context) {
  constexpr int64_t kTrainingModeSince = 14;
  return context.node().opset >= kTrainingModeSince &&
         context.attributes().integer("training_mode", 0) != 0;
}

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32, DType::kFloat64});
  const Shape& x = context.input(0).shape;
  if (x.rank() == 0) context.error("x is a scalar, expected a batch axis first");
  if (context.attributes().integer("spatial", 1) != 1)
    context.unsupported(
        "spatial is 0, which normalises every element by itself. Export the model with opset 9 or "
        "later");
  const size_t most = uses_batch(context) ? 3 : 1;
  for (size_t i = most; i < context.outputs(); ++i)
    if (context.has_output(i))
      context.unsupported(
          "output ", i, " is wanted, which only training has. Export the model in evaluation mode");
  for (size_t i = 1; i < 5; ++i) {
    require_same_dtype(context, 0, i);
    if (context.input(i).shape != Shape{channels_of(x)})
      context.error(kParts[i], " has shape ", context.input(i).shape.to_string(), ", expected [",
                    channels_of(x), "] for x ", x.to_string());
  }
  context.set_output(0, context.input(0).dtype, x);
  for (size_t i = 1; i < 3; ++i) context.set_output(i, context.input(0).dtype, {channels_of(x)});
}

// y = x * scale + shift.
struct Affine {
  double scale, shift;

  template <typename T>
  void apply(const T* x, T* y, int64_t count) const {
    for (int64_t i = 0; i < count; ++i)
      y[i] = static_cast<T>(static_cast<double>(x[i]) * scale + shift);
  }
};

template <typename T>
Affine affine_of(double epsilon, const T* scale, const T* bias, const T* mean, const T* variance,
                 int64_t c) {
  const double factor =
      static_cast<double>(scale[c]) / std::sqrt(static_cast<double>(variance[c]) + epsilon);
  return {factor, static_cast<double>(bias[c]) - static_cast<double>(mean[c]) * factor};
}

double epsilon_of(const InferContext& context) {
  return static_cast<double>(context.attributes().number("epsilon", 1e-5f));
}

template <typename T>
void normalise(const ReferenceContext& context) {
  const Shape& shape = context.input(0).shape;
  const int64_t channels = channels_of(shape),
                inner = shape.rank() > 1 ? shape.elements(2, shape.rank()) : 1;
  for (int64_t plane = 0; plane < shape[0] * channels; ++plane)
    affine_of(epsilon_of(context), context.in<T>(1), context.in<T>(2), context.in<T>(3),
              context.in<T>(4), plane % channels)
        .apply(context.in<T>(0) + plane * inner, context.out<T>(0) + plane * inner, inner);
}

// Calls visit(index) for the elements of a channel.
template <typename Visit>
void each_of_channel(const Shape& shape, int64_t channel, const Visit& visit) {
  const int64_t channels = channels_of(shape),
                inner = shape.rank() > 1 ? shape.elements(2, shape.rank()) : 1;
  for (int64_t n = 0; n < shape[0]; ++n)
    for (int64_t i = 0; i < inner; ++i) visit((n * channels + channel) * inner + i);
}

template <typename T>
void normalise_by_batch(const ReferenceContext& context) {
  const Shape& shape = context.input(0).shape;
  const T* x = context.in<T>(0);
  const double count =
      static_cast<double>(shape.elements()) / static_cast<double>(channels_of(shape));
  const auto momentum = static_cast<double>(context.attributes().number("momentum", 0.9f));
  const auto give = [&](size_t output, int64_t c, T before, double batch) {
    if (context.has_output(output))
      context.out<T>(output)[c] =
          static_cast<T>(static_cast<double>(before) * momentum + batch * (1.0 - momentum));
  };
  for (int64_t c = 0; c < channels_of(shape); ++c) {
    double sum = 0.0, squares = 0.0;
    each_of_channel(shape, c, [&](int64_t i) { sum += static_cast<double>(x[i]); });
    const double mean = sum / count;
    each_of_channel(shape, c, [&](int64_t i) {
      squares += (static_cast<double>(x[i]) - mean) * (static_cast<double>(x[i]) - mean);
    });
    const double variance = squares / count;
    const double factor =
        static_cast<double>(context.in<T>(1)[c]) / std::sqrt(variance + epsilon_of(context));
    const auto shift = static_cast<double>(context.in<T>(2)[c]);
    each_of_channel(shape, c, [&](int64_t i) {
      context.out<T>(0)[i] = static_cast<T>((static_cast<double>(x[i]) - mean) * factor + shift);
    });
    give(1, c, context.in<T>(3)[c], mean);
    give(2, c, context.in<T>(4)[c], variance);
  }
}

void reference(const ReferenceContext& context) {
  const bool single = context.input(0).dtype == DType::kFloat32;
  if (uses_batch(context))
    single ? normalise_by_batch<float>(context) : normalise_by_batch<double>(context);
  else
    single ? normalise<float>(context) : normalise<double>(context);
}

struct Step {
  double epsilon;
  int64_t planes, channels, inner;
};

void run(const Step& step, const StepArgs& args) {
  const auto part = [&](size_t i) { return static_cast<const float*>(args.inputs[i]); };
  auto* y = static_cast<float*>(args.outputs[0]);
  const int64_t grain = std::max<int64_t>(1, kStreamGrain / step.inner);
  for_each_range(*args.workers, step.planes, grain, [&](int64_t begin, int64_t end) {
    for (int64_t plane = begin; plane < end; ++plane)
      affine_of(step.epsilon, part(1), part(2), part(3), part(4), plane % step.channels)
          .apply(part(0) + plane * step.inner, y + plane * step.inner, step.inner);
  });
}

void plan(PlanContext& context) {
  const Shape& shape = context.input(0).shape;
  if (context.input(0).dtype != DType::kFloat32 || uses_batch(context)) return;
  const int64_t planes = shape[0] * channels_of(shape);
  context.emit(run,
               Step{epsilon_of(context), planes, channels_of(shape), shape.elements() / planes});
}

SANDERLING_OPERATOR(batch_normalization)({.name = "BatchNormalization",
                                          .since_opset = 7,
                                          .min_inputs = 5,
                                          .max_inputs = 5,
                                          .max_outputs = 5,
                                          .infer = infer,
                                          .reference = reference,
                                          .plan = plan});

}  // namespace
}  // namespace sanderling
