// Merges BatchNormalization, and Mul, Div, Add and Sub by constants of one number per channel, into
// the layer with weights before or after them.
#include <algorithm>
#include <cmath>

#include "graph/passes/channel_affine.h"
#include "graph/passes/passes.h"
#include "graph/passes/weighted_layer.h"

namespace sanderling {
namespace {

// Each round merges one node into a layer. Exporters write a few in a row.
constexpr int kMostRounds = 8;

class Folding {
 public:
  explicit Folding(Graph& graph)
      : graph_(graph), uses_(graph), touched_(graph.nodes.size(), false) {}

  bool run() {
    bool any = false;
    for (size_t n = 0; n < graph_.nodes.size(); ++n) any = fold_after(n) || any;
    for (size_t n = 0; n < graph_.nodes.size(); ++n) any = fold_before(n) || any;
    std::erase_if(graph_.nodes, [](const Node& node) { return node.outputs.empty(); });
    graph_.nodes.insert(graph_.nodes.end(), made_.begin(), made_.end());
    if (any) sort_and_prune(graph_);
    return any;
  }

 private:
  // Node `n` into the layer that makes what it reads.
  bool fold_after(size_t n) {
    Node& node = graph_.nodes[n];
    if (node.outputs.size() != 1) return false;
    for (ValueId id : node.inputs) {
      const int producer = id == kNoValue ? -1 : uses_.producer(id);
      if (producer < 0 || touched_[static_cast<size_t>(producer)] || !uses_.read_once(id)) continue;
      Node& before = graph_.nodes[static_cast<size_t>(producer)];
      const auto layer = weighted_layer(graph_, uses_, before);
      if (!layer) continue;
      const int64_t rank = layer->rank(graph_, before);
      if (rank < 2) continue;
      const auto affine =
          channel_affine(graph_, node, rank, layer->channel_axis(rank), layer->outputs());
      if (!affine || affine->x != id || !merge_after(before, *layer, *affine)) continue;
      before.outputs[0] = node.outputs[0];
      node.outputs.clear();
      touched_[static_cast<size_t>(producer)] = touched_[n] = true;
      return true;
    }
    return false;
  }

  // What makes the input of the layer `n` into it.
  bool fold_before(size_t n) {
    Node& node = graph_.nodes[n];
    if (touched_[n] || node.inputs.empty()) return false;
    const ValueId x = node.inputs[0];
    const int producer = x == kNoValue ? -1 : uses_.producer(x);
    if (producer < 0 || touched_[static_cast<size_t>(producer)] || !uses_.read_once(x))
      return false;
    Node& before = graph_.nodes[static_cast<size_t>(producer)];
    const auto layer = weighted_layer(graph_, uses_, node);
    if (!layer || before.outputs.size() != 1 || !graph_.constant(node.inputs[1])) return false;
    const int64_t rank = layer->rank(graph_, node);
    if (rank < 2) return false;
    const auto affine =
        channel_affine(graph_, before, rank, layer->channel_axis(rank), layer->inputs());
    if (!affine || (affine->has_shift() && !sees_no_padding(node, *layer)) ||
        !keeps_shape(before, *affine, rank, layer->channel_axis(rank), layer->inputs()))
      return false;
    if (!merge_before(node, *layer, *affine)) return false;
    node.inputs[0] = affine->x;
    before.outputs.clear();
    touched_[static_cast<size_t>(producer)] = touched_[n] = true;
    return true;
  }

  // Whether x has the shape of what `node` makes of it: one number per channel may repeat a single
  // channel of x.
  bool keeps_shape(const Node& node, const ChannelAffine& affine, int64_t rank, int64_t axis,
                   int64_t channels) const {
    if (node.op == "BatchNormalization") return true;
    if (affine.x == kNoValue || graph_.value(affine.x).rank != rank) return false;
    if (affine.scale.size() == 1 && affine.shift.size() == 1) return true;
    return has_channels(affine.x, rank, axis, channels);
  }

  // Whether a value is known to have so many.
  bool has_channels(ValueId id, int64_t rank, int64_t axis, int64_t channels) const {
    constexpr int kMostSteps = 8;  // back through what keeps them
    for (int step = 0; step < kMostSteps; ++step) {
      for (const GraphInput& input : graph_.inputs)
        if (input.value == id) return input.dims[static_cast<size_t>(axis)] == channels;
      const int producer = uses_.producer(id);
      if (producer < 0 || touched_[static_cast<size_t>(producer)]) return false;
      const Node& node = graph_.nodes[static_cast<size_t>(producer)];
      if (const auto layer = weighted_layer(graph_, uses_, node))
        return layer->channel_axis(rank) == axis && layer->outputs() == channels;
      const auto affine = channel_affine(graph_, node, rank, axis, channels);
      if (!affine && node.op != "Relu" && node.op != "Clip") return false;
      if (affine && std::max(affine->scale.size(), affine->shift.size()) > 1) return true;
      id = affine ? affine->x : node.inputs[0];
      if (id == kNoValue || graph_.value(id).rank != rank) return false;
    }
    return false;
  }

  // Whether every output sees all taps, so that a shift of the input is the same everywhere.
  static bool sees_no_padding(const Node& node, const WeightedLayer& layer) {
    if (layer.kind == WeightedLayer::Kind::kGemm) return true;
    if (layer.kind != WeightedLayer::Kind::kConv) return false;
    const std::string auto_pad = node.attributes.text("auto_pad", "NOTSET");
    if (auto_pad == "VALID") return true;
    const std::vector<int64_t> pads = node.attributes.integers("pads", {});
    return auto_pad == "NOTSET" && std::ranges::all_of(pads, [](int64_t pad) { return pad == 0; });
  }

  bool merge_after(Node& node, const WeightedLayer& layer, const ChannelAffine& affine) {
    if (affine.has_shift() && !layer.takes_bias()) return false;
    auto bias = layer_bias(graph_, uses_, node, layer);
    if (!bias) return false;
    ValueId weights = node.inputs[1];
    if (affine.has_scale()) {
      weights = graph_.constant(weights) ? scaled(node, layer, affine, &WeightedLayer::output_of)
                                         : scaled_codes(node, layer, affine);
      if (weights == kNoValue) return false;
    }
    for (size_t o = 0; o < bias->size(); ++o) {
      const auto channel = static_cast<int64_t>(o);
      (*bias)[o] = (*bias)[o] * affine.scale_of(channel) + affine.shift_of(channel);
    }
    node.inputs[1] = weights;
    if (layer.takes_bias()) set_bias(node, *bias);
    return true;
  }

  bool merge_before(Node& node, const WeightedLayer& layer, const ChannelAffine& affine) {
    if (affine.has_shift()) {
      auto bias = layer_bias(graph_, uses_, node, layer);
      if (!bias) return false;
      const auto weights = graph_.constant(node.inputs[1])->data<float>();
      for (size_t i = 0; i < weights.size(); ++i) {
        const auto element = static_cast<int64_t>(i);
        (*bias)[static_cast<size_t>(layer.output_of(element))] +=
            static_cast<double>(weights[i]) * affine.shift_of(layer.input_of(element));
      }
      set_bias(node, *bias);
    }
    node.inputs[1] = scaled(node, layer, affine, &WeightedLayer::input_of);
    return true;
  }

  // New constants: others may read the old ones.
  ValueId scaled(const Node& node, const WeightedLayer& layer, const ChannelAffine& affine,
                 int64_t (WeightedLayer::*channel)(int64_t) const) {
    const Tensor& weights = *graph_.constant(node.inputs[1]);
    Tensor merged(weights.type());
    for (size_t i = 0; i < merged.data<float>().size(); ++i)
      merged.mutable_data<float>()[i] = static_cast<float>(
          weights.data<float>()[i] * affine.scale_of((layer.*channel)(static_cast<int64_t>(i))));
    return graph_.add_constant(node.name + "/weight", std::move(merged));
  }

  // The same for weights that are codes: their scales, and where a factor is negative their
  // complement, which negates code - zero whatever its type.
  ValueId scaled_codes(const Node& node, const WeightedLayer& layer, const ChannelAffine& affine) {
    auto codes = constant_codes(graph_, uses_, node.inputs[1]);
    const int64_t axis = layer.scale_axis();
    if (!codes || axis < 0 || (codes->scale.size() != 1 && codes->axis != axis)) return kNoValue;
    const int64_t channels = layer.outputs();
    Tensor scale(DType::kFloat32, Shape{channels}), zero(codes->codes.dtype(), Shape{channels});
    for (int64_t o = 0; o < channels; ++o) {
      const auto from = static_cast<size_t>(codes->scale.size() == 1 ? 0 : o);
      const double factor = affine.scale_of(o);
      scale.mutable_data<float>()[static_cast<size_t>(o)] =
          static_cast<float>(codes->scale[from] * std::abs(factor));
      static_cast<uint8_t*>(zero.mutable_raw())[o] =
          static_cast<uint8_t>(factor < 0 ? ~codes->zero[from] : codes->zero[from]);
    }
    if (!valid_scales(scale.data<float>())) return kNoValue;
    // Not in place: the model's own tensor may be lowered again for another instruction set.
    Tensor merged(codes->codes.type());
    const auto* from = static_cast<const uint8_t*>(codes->codes.raw());
    auto* to = static_cast<uint8_t*>(merged.mutable_raw());
    for (int64_t i = 0; i < layer.weights.elements(); ++i)
      to[i] = static_cast<uint8_t>(affine.scale_of(layer.output_of(i)) < 0 ? ~from[i] : from[i]);
    const ValueId real = graph_.add_value(node.name + "/weight");
    graph_.value(real).rank = static_cast<int>(layer.weights.rank());
    Node& made = made_.emplace_back(
        Node{.op = "DequantizeLinear",
             .name = node.name,
             .inputs = {graph_.add_constant(node.name + "/codes", std::move(merged)),
                        graph_.add_constant(node.name + "/scale", std::move(scale)),
                        graph_.add_constant(node.name + "/zero", std::move(zero))},
             .outputs = {real},
             .attributes = {},
             .opset = 13});
    made.attributes.set("axis", axis);
    return real;
  }

  void set_bias(Node& node, const std::vector<double>& bias) {
    Tensor rounded(DType::kFloat32, Shape{static_cast<int64_t>(bias.size())});
    std::ranges::transform(bias, rounded.mutable_data<float>().begin(),
                           [](double number) { return static_cast<float>(number); });
    node.inputs.resize(3, kNoValue);
    node.inputs[2] = graph_.add_constant(node.name + "/bias", std::move(rounded));
  }

  Graph& graph_;
  Uses uses_;
  std::vector<bool> touched_;  // nodes that this round has changed
  std::vector<Node> made_;
};

}  // namespace

void fold_scales(Graph& graph) {
  for (int round = 0; round < kMostRounds; ++round)
    if (!Folding(graph).run()) return;
}

}  // namespace sanderling
