#include "ops/gate_functions.h"

#include <algorithm>
#include <cmath>

namespace sanderling {
namespace {

using Kind = GateFunction::Kind;

struct Known {
  const char* name;
  Kind kind;
  bool has_alpha, has_beta;
  float alpha, beta;  // as the ONNX operators of these names have them
};

constexpr Known kKnown[] = {
    {"Sigmoid", Kind::kSigmoid, false, false, 0.0f, 0.0f},
    {"Tanh", Kind::kTanh, false, false, 0.0f, 0.0f},
    {"Relu", Kind::kRelu, false, false, 0.0f, 0.0f},
    {"Affine", Kind::kAffine, true, true, 1.0f, 0.0f},
    {"LeakyRelu", Kind::kLeakyRelu, true, false, 0.01f, 0.0f},
    {"ThresholdedRelu", Kind::kThresholdedRelu, true, false, 1.0f, 0.0f},
    {"ScaledTanh", Kind::kScaledTanh, true, true, 1.0f, 1.0f},
    {"HardSigmoid", Kind::kHardSigmoid, true, true, 0.2f, 0.5f},
    {"Elu", Kind::kElu, true, false, 1.0f, 0.0f},
    {"Softsign", Kind::kSoftsign, false, false, 0.0f, 0.0f},
    {"Softplus", Kind::kSoftplus, false, false, 0.0f, 0.0f},
};

std::string lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

// Names in any case: some exporters write them in small letters.
const Known& known(const InferContext& context, const std::string& name) {
  const auto* const found = std::find_if(std::begin(kKnown), std::end(kKnown), [&](const Known& k) {
    return lower(k.name) == lower(name);
  });
  if (found != std::end(kKnown)) return *found;
  std::string names;
  for (const Known& each : kKnown) names += cat(names.empty() ? "" : ", ", each.name);
  context.error("activation '", name, "' is not one of ", names);
}

float next(std::vector<float>& numbers, size_t& at, float otherwise) {
  return at < numbers.size() ? numbers[at++] : otherwise;
}

template <typename Function>
void for_all(float* x, int64_t count, Function function) {
  for (int64_t i = 0; i < count; ++i) x[i] = function(x[i]);
}

}  // namespace

double GateFunction::operator()(double x) const {
  const auto a = static_cast<double>(alpha), b = static_cast<double>(beta);
  switch (kind) {
    case Kind::kSigmoid:
      return 1.0 / (1.0 + std::exp(-x));
    case Kind::kTanh:
      return std::tanh(x);
    case Kind::kRelu:
      return x < 0.0 ? 0.0 : x;
    case Kind::kAffine:
      return a * x + b;
    case Kind::kLeakyRelu:
      return x < 0.0 ? a * x : x;
    case Kind::kThresholdedRelu:
      return x < a ? 0.0 : x;
    case Kind::kScaledTanh:
      return a * std::tanh(b * x);
    case Kind::kHardSigmoid: {
      const double y = a * x + b;
      return y < 0.0 ? 0.0 : y > 1.0 ? 1.0 : y;
    }
    case Kind::kElu:
      return x < 0.0 ? a * std::expm1(x) : x;
    case Kind::kSoftsign:
      return x / (1.0 + std::fabs(x));
    case Kind::kSoftplus:
      return std::max(x, 0.0) + std::log1p(std::exp(-std::fabs(x)));  // exp(x) would overflow
  }
  return x;
}

void GateFunction::apply(const KernelTable& kernels, float* x, int64_t count) const {
  switch (kind) {
    case Kind::kSigmoid:
      return kernels.sigmoid_f32(x, x, count);
    case Kind::kTanh:
      return kernels.tanh_f32(x, x, count);
    case Kind::kRelu:
      return for_all(x, count, [](float v) { return v < 0.0f ? 0.0f : v; });
    default:
      return for_all(x, count, [this](float v) {
        return static_cast<float>((*this)(static_cast<double>(v)));
      });
  }
}

std::vector<GateFunction> gate_functions(const InferContext& context,
                                         std::vector<std::string> defaults, size_t count) {
  std::vector<std::string> names;
  while (names.size() < count) names.insert(names.end(), defaults.begin(), defaults.end());
  const auto given = context.attributes().all().find("activations");
  if (given != context.attributes().all().end()) {
    const auto* const list = std::get_if<std::vector<std::string>>(&given->second);
    if (!list) context.error("activations is not a list of names");
    // RNN's own default is two names, whatever the direction; some exporters write it out.
    if (list->size() < count)
      context.error("activations has ", list->size(), " names, expected ", count);
    names = *list;
  }
  std::vector<float> alphas = context.attributes().numbers("activation_alpha", {});
  std::vector<float> betas = context.attributes().numbers("activation_beta", {});
  std::vector<GateFunction> functions;
  size_t alpha = 0, beta = 0;
  for (size_t i = 0; i < count; ++i) {
    const Known& k = known(context, names[i]);
    functions.push_back({k.kind, k.has_alpha ? next(alphas, alpha, k.alpha) : k.alpha,
                         k.has_beta ? next(betas, beta, k.beta) : k.beta});
  }
  return functions;
}

}  // namespace sanderling
