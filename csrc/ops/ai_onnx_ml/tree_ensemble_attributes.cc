// The attributes of TreeEnsemble: branches and leaves are lists of their own, and a branch says of
// each child in which of them it is.
#include <cmath>
#include <limits>

#include "ops/ai_onnx_ml/ensemble.h"
#include "ops/ai_onnx_ml/ensemble_checks.h"

namespace sanderling {
namespace {

constexpr double kMemberMode = 6;

struct BranchLists {
  std::vector<int64_t> features, when_true, when_false, true_leaves, false_leaves, missing;
  std::vector<double> modes, splits, members;

  BranchLists(const InferContext& context) {
    modes = tensor_numbers(context, "nodes_modes");
    splits = tensor_numbers(context, "nodes_splits");
    members = tensor_numbers(context, "membership_values");
    if (modes.empty()) context.error("has no nodes");
    check_length(context, "nodes_splits", splits.size(), modes.size());
    const auto list = [&](const char* name) {
      std::vector<int64_t> read = context.attributes().integers(name, {});
      check_length(context, name, read.size(), modes.size());
      return read;
    };
    features = list("nodes_featureids");
    when_true = list("nodes_truenodeids");
    when_false = list("nodes_falsenodeids");
    true_leaves = list("nodes_trueleafs");
    false_leaves = list("nodes_falseleafs");
    missing.assign(modes.size(), 0);
    if (context.attributes().has("nodes_missing_value_tracks_true"))
      missing = list("nodes_missing_value_tracks_true");
    if (modes.size() + members.size() > static_cast<size_t>(std::numeric_limits<TreeNode>::max()))
      context.error("has ", modes.size(), " nodes, the limit is ",
                    std::numeric_limits<TreeNode>::max());
  }
};

TreeNode child(const InferContext& context, int64_t index, bool leaf, size_t branches,
               size_t leaves) {
  const size_t count = leaf ? leaves : branches;
  if (index < 0 || static_cast<size_t>(index) >= count)
    context.error("a branch leads to ", leaf ? "leaf " : "node ", index, ", there are ", count);
  return leaf ? ~static_cast<TreeNode>(index) : static_cast<TreeNode>(index);
}

// Makes branch `at`, whose members begin at `next`, a chain of comparisons, each of which leads to
// the same node where it holds. The others of the chain are new branches.
void expand_members(const InferContext& context, const std::vector<double>& members, size_t& next,
                    size_t at, Ensemble& ensemble) {
  const Branch whole = ensemble.branches[at];
  std::vector<double> set;
  while (next < members.size() && !std::isnan(members[next])) set.push_back(members[next++]);
  if (next++ >= members.size())
    context.error("membership_values ends before the set of node ", at,
                  " does: each ends with a NaN");
  // In no set: NaN equals no number.
  if (set.empty()) set.push_back(std::numeric_limits<double>::quiet_NaN());
  for (size_t i = 0; i < set.size(); ++i) {
    Branch one = whole;
    one.mode = BranchMode::kEqual;
    one.threshold = set[i];
    if (i + 1 < set.size())
      one.when_false = static_cast<TreeNode>(ensemble.branches.size() + (i == 0 ? 0 : 1));
    if (i == 0)
      ensemble.branches[at] = one;
    else
      ensemble.branches.push_back(one);
  }
}

void read_branches(const InferContext& context, size_t leaves, Ensemble& ensemble) {
  const BranchLists lists(context);
  const size_t count = lists.modes.size();
  for (size_t i = 0; i < count; ++i) {
    const double mode = lists.modes[i];
    if (!(mode >= 0 && mode <= kMemberMode)) context.error("node ", i, " has the mode ", mode);
    ensemble.branches.push_back(
        {static_cast<BranchMode>(mode), lists.features[i], lists.splits[i], lists.missing[i] != 0,
         child(context, lists.when_true[i], lists.true_leaves[i] != 0, count, leaves),
         child(context, lists.when_false[i], lists.false_leaves[i] != 0, count, leaves)});
  }
  size_t next = 0;  // of the members
  for (size_t i = 0; i < count; ++i)
    if (lists.modes[i] == kMemberMode) expand_members(context, lists.members, next, i, ensemble);
  for (int64_t root : context.attributes().integers("tree_roots", {}))
    ensemble.roots.push_back(child(context, root, false, count, leaves));
  if (ensemble.roots.empty()) context.error("has no tree_roots");
}

}  // namespace

Ensemble read_tree_ensemble(const InferContext& context, int64_t targets) {
  Ensemble ensemble;
  ensemble.targets = targets;
  const auto weights = tensor_numbers(context, "leaf_weights");
  const auto ids = context.attributes().integers("leaf_targetids", {});
  check_length(context, "leaf_targetids", ids.size(), weights.size());
  if (weights.size() > static_cast<size_t>(std::numeric_limits<TreeNode>::max()))
    context.error("has ", weights.size(), " leaves, the limit is ",
                  std::numeric_limits<TreeNode>::max());
  for (size_t leaf = 0; leaf < ids.size(); ++leaf) {
    if (ids[leaf] < 0 || ids[leaf] >= targets)
      context.error("leaf_targetids has the value ", ids[leaf], ", there are ", targets);
    ensemble.votes.push_back({ids[leaf], weights[leaf]});
    ensemble.leaves.push_back(static_cast<int64_t>(leaf));
  }
  ensemble.leaves.push_back(static_cast<int64_t>(ids.size()));
  read_branches(context, ids.size(), ensemble);
  check_branches(context, ensemble);
  return ensemble;
}

}  // namespace sanderling
