#include "graph/passes/channel_affine.h"

#include <algorithm>
#include <cmath>

namespace sanderling {
namespace {

std::optional<ChannelAffine> batch_normalization(const Graph& graph, const Node& node,
                                                 int64_t channels) {
  if (node.inputs.size() != 5 || node.outputs.size() != 1 ||
      node.attributes.integer("training_mode", 0) != 0)
    return std::nullopt;
  const Tensor* parts[4];
  for (size_t i = 0; i < 4; ++i) {
    parts[i] = graph.constant(node.inputs[i + 1]);
    // Shapes that do not fit stay for the operator's own rule, which names them.
    if (!parts[i] || parts[i]->dtype() != DType::kFloat32 || parts[i]->shape() != Shape{channels})
      return std::nullopt;
  }
  const double epsilon = node.attributes.number("epsilon", 1e-5f);
  ChannelAffine affine{.x = node.inputs[0], .scale = {}, .shift = {}};
  for (int64_t c = 0; c < channels; ++c) {
    const auto at = [&](int part) -> double {
      return parts[part]->data<float>()[static_cast<size_t>(c)];
    };
    affine.scale.push_back(at(0) / std::sqrt(at(3) + epsilon));
    affine.shift.push_back(at(1) - at(2) * affine.scale.back());
  }
  return affine;
}

// A float32 constant that is broadcast along all axes but that of channels.
std::optional<std::vector<double>> per_channel(const Graph& graph, ValueId id, int64_t rank,
                                               int64_t axis, int64_t channels) {
  const Tensor* tensor = graph.constant(id);
  if (!tensor || tensor->dtype() != DType::kFloat32 || tensor->shape().rank() > rank)
    return std::nullopt;
  const Shape& shape = tensor->shape();
  for (int64_t i = 0; i < shape.rank(); ++i) {
    const bool along_channels = i + rank - shape.rank() == axis;
    if (shape[i] != 1 && !(along_channels && shape[i] == channels)) return std::nullopt;
  }
  return std::vector<double>(tensor->data<float>().begin(), tensor->data<float>().end());
}

// Weights that are scaled by more lose digits at the ends of float32, or leave it.
constexpr double kMostScale = 0x1p40;

bool mergeable(const ChannelAffine& affine) {
  return std::ranges::all_of(affine.shift, [](double shift) { return std::isfinite(shift); }) &&
         std::ranges::all_of(affine.scale, [](double scale) {
           const double size = std::abs(scale);
           return size == 0.0 || (size >= 1.0 / kMostScale && size <= kMostScale);
         });
}

// Mul, Div, Add or Sub of x and a constant, which is the left operand where `swapped`.
std::optional<ChannelAffine> arithmetic(const std::string& op, ValueId x, std::vector<double> by,
                                        bool swapped) {
  if (op == "Mul") return ChannelAffine{x, std::move(by), {0.0}};
  if (op == "Add") return ChannelAffine{x, {1.0}, std::move(by)};
  if (op == "Sub" && swapped) return ChannelAffine{x, {-1.0}, std::move(by)};
  if (op == "Sub") {
    for (double& number : by) number = -number;
    return ChannelAffine{x, {1.0}, std::move(by)};
  }
  if (op == "Div" && !swapped) {
    for (double& number : by) number = 1.0 / number;
    return ChannelAffine{x, std::move(by), {0.0}};
  }
  return std::nullopt;
}

}  // namespace

bool ChannelAffine::has_scale() const {
  return std::ranges::any_of(scale, [](double number) { return number != 1.0; });
}

bool ChannelAffine::has_shift() const {
  return std::ranges::any_of(shift, [](double number) { return number != 0.0; });
}

std::optional<ChannelAffine> channel_affine(const Graph& graph, const Node& node, int64_t rank,
                                            int64_t axis, int64_t channels) {
  std::optional<ChannelAffine> affine;
  if (node.op == "BatchNormalization" && axis == 1) {
    affine = batch_normalization(graph, node, channels);
  } else if (node.inputs.size() == 2) {
    const bool swapped = graph.constant(node.inputs[0]) != nullptr;
    auto by = per_channel(graph, node.inputs[swapped ? 0 : 1], rank, axis, channels);
    if (by) affine = arithmetic(node.op, node.inputs[swapped ? 1 : 0], std::move(*by), swapped);
  }
  if (affine && !mergeable(*affine)) return std::nullopt;
  return affine;
}

}  // namespace sanderling
