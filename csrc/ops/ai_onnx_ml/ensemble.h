// An ensemble of decision trees as the files of all versions say it, checked: what the reference of
// TreeEnsemble, TreeEnsembleClassifier and TreeEnsembleRegressor walks. forest.h makes the fast one
// of it.
#pragma once

#include <vector>

#include "graph/operator.h"

namespace sanderling {

// In the order of TreeEnsemble's numbers; a node of kMember becomes a chain of kEqual.
enum class BranchMode { kAtMost, kBelow, kAtLeast, kAbove, kEqual, kNotEqual };

// A node of a tree: an index into branches, or, below 0, ~index of a leaf.
using TreeNode = int32_t;

struct Branch {
  BranchMode mode;
  int64_t feature;
  double threshold;
  bool missing_is_true;  // where a NaN goes
  TreeNode when_true, when_false;
};

// What a leaf adds to a target (a class, of a classifier).
struct Vote {
  int64_t target;
  double weight;
};

enum class Aggregate { kAverage, kSum, kMin, kMax };

struct Ensemble {
  std::vector<Branch> branches;  // no cycles; several may lead to the same node
  std::vector<TreeNode> roots;   // one per tree
  std::vector<Vote> votes;
  std::vector<int64_t> leaves;  // leaf i has the votes [leaves[i], leaves[i + 1])
  std::vector<double> base;     // per target or class; empty: none
  int64_t targets = 0;
  int64_t features = 0;  // one more than the largest feature
  Aggregate aggregate = Aggregate::kSum;
};

// The attributes that TreeEnsembleClassifier (`votes` is "class") and TreeEnsembleRegressor
// ("target") share. Throws kModel for lists of unequal length, nodes that are missing, there twice
// or lead back to themselves, and targets outside of [0, targets).
Ensemble read_ensemble(const InferContext& context, const std::string& votes, int64_t targets);
// The same for TreeEnsemble.
Ensemble read_tree_ensemble(const InferContext& context, int64_t targets);

// Whether thresholds are compared, and weights summed, in double: where the input or a tensor of
// the file is.
bool in_double(const InferContext& context);

// Fails if the rows of input 0 have fewer features than the trees look at.
void check_features(const InferContext& context, int64_t features);

}  // namespace sanderling
