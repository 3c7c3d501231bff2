#include <algorithm>
#include <cmath>
#include <optional>

#include "ops/ai_onnx_ml/rows.h"
#include "ops/convert.h"
#include "ops/parallel.h"

namespace sanderling {
namespace {

// Strings stand here only to be refused: the engine has no tensors of them.
[[noreturn]] void refuse_strings(const InferContext& context) {
  context.unsupported(
      "it maps strings, which the native engine has no tensors of. Map them outside of the model, "
      "or use the onnxruntime backend");
}

void check_no_strings(const InferContext& context) {
  for (const char* name : {"classes_strings", "keys_strings", "values_strings"})
    if (context.attributes().has(name)) refuse_strings(context);
}

Tensor integers(const InferContext& context, const char* name) {
  const std::vector<int64_t> values = context.attributes().integers(name, {});
  return Tensor::of<int64_t>(Shape{static_cast<int64_t>(values.size())}, values);
}

Tensor numbers(const InferContext& context, const char* name) {
  const std::vector<float> values = context.attributes().numbers(name, {});
  return Tensor::of<float>(Shape{static_cast<int64_t>(values.size())}, values);
}

// The one of `what`_int64s, `what`_floats and `what`_tensor that is there.
Tensor list(const InferContext& context, const std::string& what) {
  const Attributes& attributes = context.attributes();
  std::optional<Tensor> found;
  const auto take = [&](const std::string& name, auto read) {
    if (!attributes.has(name)) return;
    if (found) context.error("has two lists of ", what, ", ", name, " and another");
    found = read(name.c_str());
  };
  take(what + "_int64s", [&](const char* name) { return integers(context, name); });
  take(what + "_floats", [&](const char* name) { return numbers(context, name); });
  take(what + "_tensor", [&](const char* name) { return *attributes.tensor(name); });
  if (!found) context.error("has no list of ", what, " (", what, "_int64s and the like)");
  return *found;
}

struct Lists {
  Tensor keys, values;
};

Lists lists(const InferContext& context) {
  check_no_strings(context);
  Lists made{list(context, "keys"), list(context, "values")};
  if (made.keys.shape().elements() != made.values.shape().elements())
    context.error("has ", made.keys.shape().elements(), " keys for ",
                  made.values.shape().elements(), " values");
  return made;
}

bool is_label(DType dtype) {
  return dtype == DType::kInt16 || dtype == DType::kInt32 || dtype == DType::kInt64 ||
         dtype == DType::kFloat32 || dtype == DType::kFloat64;
}

template <typename Visit>
void visit_label(DType dtype, const Visit& visit) {
  if (dtype == DType::kInt16) return visit(int16_t{});
  visit_features(dtype, visit);
}

void infer(InferContext& context) {
  const Lists given = lists(context);
  for (const Tensor* tensor : {&given.keys, &given.values})
    if (!is_label(tensor->dtype()))
      context.unsupported("it maps ", name_of(given.keys.dtype()), " to ",
                          name_of(given.values.dtype()),
                          "; the native engine maps int16, int32, int64, float32 and float64");
  if (context.input(0).dtype != given.keys.dtype())
    context.error("input 0 is ", name_of(context.input(0).dtype), ", the keys are ",
                  name_of(given.keys.dtype()), "; they must be the same");
  if (const Tensor* otherwise = context.attributes().tensor("default_tensor"))
    if (otherwise->dtype() != given.values.dtype() || otherwise->shape().elements() != 1)
      context.error("default_tensor is ", otherwise->type().to_string(), ", expected one ",
                    name_of(given.values.dtype()));
  context.set_output(0, given.values.dtype(), context.input(0).shape);
}

// What an element that is no key becomes.
template <typename V>
V default_value(const InferContext& context) {
  const Attributes& attributes = context.attributes();
  if (const Tensor* tensor = attributes.tensor("default_tensor")) return tensor->data<V>()[0];
  if constexpr (std::is_integral_v<V>)
    return static_cast<V>(attributes.integer("default_int64", -1));
  else
    return static_cast<V>(attributes.number("default_float", -0.0f));
}

// Keys in order, NaN (which equals every NaN) last.
template <typename K>
bool before(K a, K b) {
  if (a != a || b != b) return a == a && b != b;
  return a < b;
}

template <typename K, typename V>
struct Mapping {
  std::vector<std::pair<K, V>> pairs;
  V otherwise;

  V of(K key) const {
    const auto at = std::lower_bound(pairs.begin(), pairs.end(), key,
                                     [](const auto& pair, K k) { return before(pair.first, k); });
    return at != pairs.end() && !before(key, at->first) ? at->second : otherwise;
  }
};

constexpr int64_t kLastKeyWinsSince = 4;  // before, ONNX does not say; ONNX Runtime takes the first

template <typename K, typename V>
Mapping<K, V> mapping(const InferContext& context) {
  const Lists given = lists(context);
  Mapping<K, V> made{{}, default_value<V>(context)};
  for (size_t i = 0; i < given.keys.data<K>().size(); ++i)
    made.pairs.emplace_back(given.keys.data<K>()[i], given.values.data<V>()[i]);
  if (context.node().opset >= kLastKeyWinsSince) std::reverse(made.pairs.begin(), made.pairs.end());
  // Stable: of equal keys the first one stays first, where lower_bound finds it.
  std::stable_sort(made.pairs.begin(), made.pairs.end(),
                   [](const auto& a, const auto& b) { return before(a.first, b.first); });
  return made;
}

void reference(const ReferenceContext& context) {
  visit_label(context.input(0).dtype, [&](auto key) {
    visit_label(context.output(0).dtype, [&](auto value) {
      using K = decltype(key);
      using V = decltype(value);
      const auto map = mapping<K, V>(context);
      for (int64_t i = 0; i < context.input(0).shape.elements(); ++i)
        context.out<V>(0)[i] = map.of(context.in<K>(0)[i]);
    });
  });
}

template <typename K, typename V>
struct Step {
  std::shared_ptr<const Mapping<K, V>> mapping;
  int64_t count;
};

template <typename K, typename V>
void run(const Step<K, V>& step, const StepArgs& args) {
  const auto* x = static_cast<const K*>(args.inputs[0]);
  auto* y = static_cast<V*>(args.outputs[0]);
  for_each_range(*args.workers, step.count, kFunctionGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = step.mapping->of(x[i]);
  });
}

void plan(PlanContext& context) {
  visit_label(context.input(0).dtype, [&](auto key) {
    visit_label(context.output(0).dtype, [&](auto value) {
      using K = decltype(key);
      using V = decltype(value);
      const auto made =
          context.shared<Mapping<K, V>>("mapping", [&] { return mapping<K, V>(context); });
      context.emit(run<K, V>, Step<K, V>{made, context.input(0).shape.elements()});
    });
  });
}

SANDERLING_OPERATOR(label_encoder)({.name = "ai.onnx.ml.LabelEncoder",
                                    .since_opset = 1,
                                    .infer = infer,
                                    .reference = reference,
                                    .plan = plan,
                                    .nan = NanRule::kMeans});

}  // namespace
}  // namespace sanderling
