#include "ops/ai_onnx_ml/ensemble.h"

#include <algorithm>
#include <limits>
#include <map>
#include <string_view>

#include "ops/ai_onnx_ml/ensemble_checks.h"
#include "ops/ai_onnx_ml/rows.h"
#include "ops/convert.h"

namespace sanderling {

std::vector<double> tensor_numbers(const InferContext& context, const std::string& name) {
  const Tensor* tensor = context.attributes().tensor(name);
  if (!tensor) return {};
  if (!is_float(tensor->dtype()) && !is_integer(tensor->dtype()))
    context.error(name, " is ", name_of(tensor->dtype()), ", expected numbers");
  std::vector<double> numbers;
  visit_element(tensor->dtype(), [&](auto zero) {
    for (auto element : tensor->data<decltype(zero)>())
      numbers.push_back(static_cast<double>(widen_element(element)));
  });
  return numbers;
}

void check_length(const InferContext& context, const std::string& name, size_t length,
                  size_t expected) {
  if (length != expected)
    context.error(name, " has ", length, " values, expected ", expected,
                  ", as the lists beside it have");
}

void check_branches(const InferContext& context, Ensemble& ensemble) {
  enum class State : uint8_t { kNew, kOpen, kDone };
  std::vector<State> states(ensemble.branches.size(), State::kNew);
  std::vector<std::pair<TreeNode, int>> path;  // and how many of its children have been seen
  for (TreeNode root : ensemble.roots) {
    const auto enter = [&](TreeNode node) {
      if (node < 0 || states[static_cast<size_t>(node)] == State::kDone) return;
      if (states[static_cast<size_t>(node)] == State::kOpen)
        context.error("its trees have a cycle: a branch leads back to a node above it");
      states[static_cast<size_t>(node)] = State::kOpen;
      path.emplace_back(node, 0);
    };
    enter(root);
    while (!path.empty()) {
      const TreeNode node = path.back().first;
      const Branch& branch = ensemble.branches[static_cast<size_t>(node)];
      const int seen = path.back().second++;
      if (seen < 2) {
        enter(seen == 0 ? branch.when_false : branch.when_true);
      } else {
        states[static_cast<size_t>(node)] = State::kDone;
        path.pop_back();
      }
    }
  }
  for (const Branch& branch : ensemble.branches) {
    if (branch.feature < 0 || branch.feature > Shape::kMaxElements)
      context.error("a tree looks at feature ", branch.feature);
    ensemble.features = std::max(ensemble.features, branch.feature + 1);
  }
}

bool in_double(const InferContext& context) {
  if (context.input(0).dtype == DType::kFloat64) return true;
  const auto& attributes = context.attributes().all();
  return std::any_of(attributes.begin(), attributes.end(), [](const auto& attribute) {
    const Tensor* tensor = std::get_if<Tensor>(&attribute.second);
    return tensor && tensor->dtype() == DType::kFloat64;
  });
}

void check_features(const InferContext& context, int64_t features) {
  if (features > rows_of(context).features)
    context.error("a tree looks at feature ", features - 1, ", the input has shape ",
                  context.input(0).shape.to_string());
}

namespace {

// Lists of floats, or of float64 under the name with "_as_tensor".
std::vector<double> numbers(const InferContext& context, const std::string& name) {
  const std::vector<float> floats = context.attributes().numbers(name, {});
  std::vector<double> wide = tensor_numbers(context, name + "_as_tensor");
  if (!floats.empty() && !wide.empty())
    context.error("has both ", name, " and ", name, "_as_tensor");
  if (wide.empty()) wide.assign(floats.begin(), floats.end());
  return wide;
}

// The positions of nodes in the file's lists, by tree and id.
class NodeIndex {
 public:
  NodeIndex(const InferContext& context, const std::vector<int64_t>& trees,
            const std::vector<int64_t>& ids)
      : context_(context) {
    for (size_t i = 0; i < ids.size(); ++i) sorted_.push_back({trees[i], ids[i], i});
    // Files list them in this order.
    if (!std::is_sorted(sorted_.begin(), sorted_.end())) std::sort(sorted_.begin(), sorted_.end());
    for (size_t i = 1; i < sorted_.size(); ++i)
      if (sorted_[i - 1].tree == sorted_[i].tree && sorted_[i - 1].id == sorted_[i].id)
        context.error("node ", sorted_[i].id, " of tree ", sorted_[i].tree, " is there twice");
  }

  // `near`: where it would be if ids went up by one from this position on, as they mostly do.
  size_t find(int64_t tree, int64_t id, size_t near, const char* what) const {
    if (near < sorted_.size() && sorted_[near].tree == tree && sorted_[near].id == id)
      return sorted_[near].position;
    const auto at = std::lower_bound(sorted_.begin(), sorted_.end(), Entry{tree, id, 0});
    if (at == sorted_.end() || at->tree != tree || at->id != id)
      context_.error(what, " names node ", id, " of tree ", tree, ", which is not there");
    return at->position;
  }

 private:
  struct Entry {
    int64_t tree, id;
    size_t position;
    auto operator<=>(const Entry&) const = default;
  };

  const InferContext& context_;
  std::vector<Entry> sorted_;
};

constexpr std::string_view kModes[] = {"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE",
                                       "BRANCH_GT",  "BRANCH_EQ", "BRANCH_NEQ"};

// The file's lists, which all have one entry per node.
struct NodeLists {
  std::vector<int64_t> trees, ids, features, when_true, when_false, missing;
  std::vector<std::string> modes;
  std::vector<double> values;

  NodeLists(const InferContext& context) {
    const Attributes& attributes = context.attributes();
    const auto list = [&](const char* name) {
      std::vector<int64_t> read = attributes.integers(name, {});
      check_length(context, name, read.size(), modes.size());
      return read;
    };
    if (attributes.has("nodes_modes")) {
      const auto* texts =
          std::get_if<std::vector<std::string>>(&attributes.all().at("nodes_modes"));
      if (!texts) context.error("nodes_modes is no list of strings");
      modes = *texts;
    }
    if (modes.empty()) context.error("has no nodes");
    if (modes.size() > static_cast<size_t>(std::numeric_limits<TreeNode>::max()))
      context.error("has ", modes.size(), " nodes, the limit is ",
                    std::numeric_limits<TreeNode>::max());
    trees = list("nodes_treeids");
    ids = list("nodes_nodeids");
    features = list("nodes_featureids");
    when_true = list("nodes_truenodeids");
    when_false = list("nodes_falsenodeids");
    values = numbers(context, "nodes_values");
    check_length(context, "nodes_values", values.size(), modes.size());
    missing = attributes.integers("nodes_missing_value_tracks_true", {});
    missing.resize(modes.size(), 0);  // some files list it for the first nodes only
  }
};

// The node of each entry; sets ensemble.branches, whose children are not known yet.
std::vector<TreeNode> number_nodes(const InferContext& context, const NodeLists& lists,
                                   Ensemble& ensemble) {
  std::vector<TreeNode> nodes;
  TreeNode leaves = 0;
  for (size_t i = 0; i < lists.modes.size(); ++i) {
    if (lists.modes[i] == "LEAF") {
      nodes.push_back(~leaves++);
      continue;
    }
    const auto* mode = std::find(std::begin(kModes), std::end(kModes), lists.modes[i]);
    if (mode == std::end(kModes))
      context.error("node ", lists.ids[i], " has the mode '", lists.modes[i],
                    "', ONNX has BRANCH_LEQ, BRANCH_LT, BRANCH_GTE, BRANCH_GT, BRANCH_EQ, "
                    "BRANCH_NEQ and LEAF");
    nodes.push_back(static_cast<TreeNode>(ensemble.branches.size()));
    ensemble.branches.push_back({static_cast<BranchMode>(mode - std::begin(kModes)),
                                 lists.features[i], lists.values[i], lists.missing[i] != 0, 0, 0});
  }
  ensemble.leaves.assign(static_cast<size_t>(leaves) + 1, 0);
  return nodes;
}

// Sets what each leaf votes for. Votes of other nodes do not count: old converters wrote such.
void read_votes(const InferContext& context, const std::string& name, const NodeIndex& index,
                const std::vector<TreeNode>& nodes, Ensemble& ensemble) {
  const Attributes& attributes = context.attributes();
  const auto trees = attributes.integers(name + "_treeids", {});
  const auto ids = attributes.integers(name + "_nodeids", {});
  const auto targets = attributes.integers(name + "_ids", {});
  const auto weights = numbers(context, name + "_weights");
  check_length(context, name + "_nodeids", ids.size(), trees.size());
  check_length(context, name + "_ids", targets.size(), trees.size());
  check_length(context, name + "_weights", weights.size(), trees.size());
  std::vector<TreeNode> voters;
  for (size_t i = 0; i < trees.size(); ++i) {
    voters.push_back(nodes[index.find(trees[i], ids[i], nodes.size(), "a vote")]);
    if (targets[i] < 0 || targets[i] >= ensemble.targets)
      context.error(name, "_ids has the value ", targets[i], ", there are ", ensemble.targets);
    if (voters[i] < 0) ++ensemble.leaves[static_cast<size_t>(~voters[i]) + 1];
  }
  for (size_t leaf = 1; leaf < ensemble.leaves.size(); ++leaf)
    ensemble.leaves[leaf] += ensemble.leaves[leaf - 1];
  ensemble.votes.resize(static_cast<size_t>(ensemble.leaves.back()));
  std::vector<int64_t> next = ensemble.leaves;
  for (size_t i = 0; i < voters.size(); ++i)
    if (voters[i] < 0)
      ensemble.votes[static_cast<size_t>(next[static_cast<size_t>(~voters[i])]++)] = {targets[i],
                                                                                      weights[i]};
}

}  // namespace

Ensemble read_ensemble(const InferContext& context, const std::string& votes, int64_t targets) {
  Ensemble ensemble;
  ensemble.targets = targets;
  const NodeLists lists(context);
  const NodeIndex index(context, lists.trees, lists.ids);
  const std::vector<TreeNode> nodes = number_nodes(context, lists, ensemble);
  std::map<int64_t, bool> seen;
  for (size_t i = 0; i < nodes.size(); ++i) {
    // A tree begins with its root.
    const bool same_tree = i > 0 && lists.trees[i] == lists.trees[i - 1];
    if (!same_tree && seen.emplace(lists.trees[i], true).second) ensemble.roots.push_back(nodes[i]);
    if (nodes[i] < 0) continue;
    const auto child = [&](int64_t id, const char* what) {
      const size_t near = i + static_cast<size_t>(id) - static_cast<size_t>(lists.ids[i]);
      return nodes[index.find(lists.trees[i], id, near, what)];
    };
    Branch& branch = ensemble.branches[static_cast<size_t>(nodes[i])];
    branch.when_true = child(lists.when_true[i], "nodes_truenodeids");
    branch.when_false = child(lists.when_false[i], "nodes_falsenodeids");
  }
  read_votes(context, votes, index, nodes, ensemble);
  check_branches(context, ensemble);
  ensemble.base = numbers(context, "base_values");
  return ensemble;
}

}  // namespace sanderling
