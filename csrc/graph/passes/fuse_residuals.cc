// Conv and Add become one node, and QConv and QAdd: the sum is made tile by tile, while the product
// is in the cache, and needs no tensor for it.
#include <array>

#include "graph/passes/passes.h"
#include "graph/passes/trial_types.h"

namespace sanderling {
namespace {

// Not 1, which would make a broadcast look like a sum of equal shapes; else as in find_ranks.cc.
constexpr int64_t kTrialBatch = 2;
constexpr std::array<int64_t, 3> kTrialExtents{16, 64, 224};

class Fusing {
 public:
  Fusing(Graph& graph, const TypeInference& types) : graph_(graph), uses_(graph), types_(types) {}

  void run() {
    for (Node& add : graph_.nodes) {
      if (add.op != "Add" && add.op != "QAdd") continue;
      for (size_t side = 0; side < 2; ++side)
        if (fuse(add, side)) break;
    }
    sort_and_prune(graph_);
  }

 private:
  // Makes `add` the sum of the product at `side` and its other input.
  bool fuse(Node& add, size_t side) {
    const ValueId product = add.inputs[side], residual = add.inputs[1 - side];
    const int producer = uses_.producer(product);
    if (producer < 0 || !uses_.read_once(product) || !alike(product, residual)) return false;
    const Node& conv = graph_.nodes[static_cast<size_t>(producer)];
    if (conv.op != (add.op == "Add" ? "Conv" : "QConv") || !takes_residual(conv)) return false;
    if (add.attributes.integer("subtract", 0) != 0) return false;
    Node fused = conv;
    fused.inputs.resize(3, kNoValue);
    fused.inputs.push_back(residual);
    fused.outputs = add.outputs;
    fused.attributes.set("residual", int64_t{1});
    if (const std::optional<Quantization>& codes = graph_.value(product).quantization) {
      fused.attributes.set("product_scale", codes->scale);
      fused.attributes.set("product_zero", int64_t{codes->zero_point});
    }
    for (const char* bound : {"low", "high"})
      if (add.attributes.has(bound))
        fused.attributes.set(bound, add.attributes.number(bound, 0.0f));
    add = std::move(fused);
    return true;
  }

  bool alike(ValueId a, ValueId b) const {
    return a != b && b != kNoValue && !graph_.constant(b) && types_.has_type(a) &&
           types_.has_type(b) && types_.type(a) == types_.type(b);
  }

  // A clamp would come before the sum; only what runs by a kernel is worth it.
  bool takes_residual(const Node& conv) const {
    for (const char* name : {"low", "high", "residual"})
      if (conv.attributes.has(name)) return false;
    return graph_.constant(conv.inputs[1]) &&
           (conv.op == "QConv" || conv.attributes.integer("channels_last", 0) != 0);
  }

  Graph& graph_;
  const Uses uses_;
  const TypeInference& types_;
};

}  // namespace

void fuse_residuals(Graph& graph) {
  for (int64_t extent : kTrialExtents) {
    const TrialTypes trial = infer_trial_types(graph, kTrialBatch, extent);
    if (!trial.complete && extent != kTrialExtents.back()) continue;
    return Fusing(graph, trial.types).run();
  }
}

}  // namespace sanderling
