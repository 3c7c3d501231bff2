#include <algorithm>
#include <cmath>
#include <map>

#include "ops/ai_onnx_ml/rows.h"
#include "ops/convert.h"

namespace sanderling {
namespace {

std::vector<int64_t> categories(const InferContext& context) {
  std::vector<int64_t> integers = context.attributes().integers("cats_int64s", {});
  if (!integers.empty()) return integers;
  if (context.attributes().has("cats_strings"))
    context.unsupported(
        "its categories are strings, which the native engine has no tensors of. Encode them as "
        "integers before the model, or use the onnxruntime backend");
  context.error("has no attribute 'cats_int64s' with the categories");
}

void infer(InferContext& context) {
  require_features_dtype(context, 0);
  std::vector<int64_t> dims = context.input(0).shape.dims();
  dims.push_back(static_cast<int64_t>(categories(context).size()));
  context.attributes().integer("zeros", 1);
  context.set_output(0, DType::kFloat32,
                     checked_shape(context, [&] { return Shape(std::move(dims)); }));
}

// Where each category stands, in their order. The last place of one that is listed twice counts.
class Places {
 public:
  explicit Places(const std::vector<int64_t>& categories) : count_(categories.size()) {
    for (size_t i = 0; i < count_; ++i) sorted_.emplace_back(categories[i], i);
    std::sort(sorted_.begin(), sorted_.end());
  }

  size_t count() const { return count_; }

  // -1 if x is no category. Floats lose their fraction, as in a cast; NaN and infinity are none.
  template <typename T>
  int64_t find(T x) const {
    if constexpr (std::is_floating_point_v<T>)
      if (!std::isfinite(x)) return -1;
    const auto value = convert_element<int64_t>(x, false);
    auto after =
        std::upper_bound(sorted_.begin(), sorted_.end(), std::pair<int64_t, size_t>(value, count_));
    if (after == sorted_.begin() || (--after)->first != value) return -1;
    return static_cast<int64_t>(after->second);
  }

 private:
  size_t count_;
  std::vector<std::pair<int64_t, size_t>> sorted_;
};

// The first element that is no category, or -1.
template <typename T>
int64_t encode(const Places& places, const T* x, float* y, int64_t count) {
  int64_t unknown = -1;
  std::fill_n(y, count * static_cast<int64_t>(places.count()), 0.0f);
  for (int64_t i = 0; i < count; ++i, y += places.count()) {
    const int64_t place = places.find(x[i]);
    if (place >= 0) y[place] = 1.0f;
    if (place < 0 && unknown < 0) unknown = i;
  }
  return unknown;
}

void reference(const ReferenceContext& context) {
  const Places places(categories(context));
  visit_features(context.input(0).dtype, [&](auto zero) {
    const auto* x = context.in<decltype(zero)>(0);
    const int64_t unknown =
        encode(places, x, context.out<float>(0), context.input(0).shape.elements());
    if (unknown >= 0 && context.attributes().integer("zeros", 1) == 0)
      context.error("element ", unknown, " of the input is ", x[unknown],
                    ", which is no category, and zeros is 0");
  });
}

struct Step {
  std::shared_ptr<const Places> places;
  int64_t count;
};

template <typename T>
void run(const Step& step, const StepArgs& args) {
  encode(*step.places, static_cast<const T*>(args.inputs[0]), static_cast<float*>(args.outputs[0]),
         step.count);
}

// Where an unknown category is an error, the reference finds it: a step cannot fail.
void plan(PlanContext& context) {
  if (context.attributes().integer("zeros", 1) == 0) return;
  const Step step{std::make_shared<const Places>(categories(context)),
                  context.input(0).shape.elements()};
  visit_features(context.input(0).dtype,
                 [&](auto zero) { context.emit(run<decltype(zero)>, step); });
}

SANDERLING_OPERATOR(one_hot_encoder)({.name = "ai.onnx.ml.OneHotEncoder",
                                      .since_opset = 1,
                                      .infer = infer,
                                      .reference = reference,
                                      .plan = plan});

}  // namespace
}  // namespace sanderling
