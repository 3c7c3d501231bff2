// Decision trees as a run walks them, made once of an Ensemble, and the walk that obviously does
// what the file says, for references.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "ops/ai_onnx_ml/ensemble.h"
#include "ops/ai_onnx_ml/rows.h"

namespace sanderling {

// T is what thresholds are compared and weights are summed in: float, as ONNX Runtime does (labels
// of votes that tie depend on it), or double where the input or the file is.
template <typename T>
struct Forest {
  // Every mode is x <= threshold or x == threshold, with children swapped where it was the
  // opposite; so a walk has no switch.
  struct Node {
    T threshold;
    uint32_t feature;  // and the flags below
    TreeNode next[2];  // if not, and if so
  };
  static constexpr uint32_t kEqual = 1u << 31, kMissingIsSo = 1u << 30, kFeature = kMissingIsSo - 1;

  struct Vote {
    int64_t target;
    T weight;
  };

  std::vector<Node> nodes;
  std::vector<TreeNode> roots;
  std::vector<Vote> votes;
  std::vector<int64_t> leaves;
  int64_t targets = 0;
  Aggregate aggregate = Aggregate::kSum;
  bool plain = true;  // no node has a flag: a NaN, which is at most nothing, is not so by itself

  explicit Forest(const Ensemble& ensemble)
      : roots(ensemble.roots),
        leaves(ensemble.leaves),
        targets(ensemble.targets),
        aggregate(ensemble.aggregate) {
    for (const Branch& branch : ensemble.branches) {
      nodes.push_back(node_of(branch));
      plain = plain && nodes.back().feature <= kFeature;
    }
    for (const sanderling::Vote& vote : ensemble.votes)
      votes.push_back({vote.target, static_cast<T>(vote.weight)});
  }

 private:
  static Node node_of(const Branch& branch) {
    const T t = static_cast<T>(branch.threshold);
    const bool equal = branch.mode == BranchMode::kEqual || branch.mode == BranchMode::kNotEqual;
    // Nothing is below or above NaN, so that what follows would swap a false for a true.
    const bool never = std::isnan(t) && !equal;
    const bool opposite =
        !never && (branch.mode == BranchMode::kAtLeast || branch.mode == BranchMode::kAbove ||
                   branch.mode == BranchMode::kNotEqual);
    const bool strict = branch.mode == BranchMode::kBelow || branch.mode == BranchMode::kAtLeast;
    Node node{t, static_cast<uint32_t>(branch.feature), {branch.when_false, branch.when_true}};
    if (strict && !never) node.threshold = below(t);
    if (opposite) std::swap(node.next[0], node.next[1]);
    if (equal) node.feature |= kEqual;
    if (branch.missing_is_true != opposite) node.feature |= kMissingIsSo;
    return node;
  }

  // x < t exactly if x <= below(t).
  static T below(T t) {
    constexpr T kInfinity = std::numeric_limits<T>::infinity();
    if (t == -kInfinity) return std::numeric_limits<T>::quiet_NaN();
    return std::nextafter(t, -kInfinity);
  }
};

// What the leaves that a row came to say so far, by target.
template <typename T>
struct Tally {
  T* scores;
  bool* voted;

  void clear(int64_t targets) const {
    std::fill_n(scores, targets, T{0});
    std::fill_n(voted, targets, false);
  }
  void add(Aggregate aggregate, int64_t target, T weight) const {
    T& score = scores[target];
    if (aggregate == Aggregate::kMin)
      score = voted[target] ? std::min(score, weight) : weight;
    else if (aggregate == Aggregate::kMax)
      score = voted[target] ? std::max(score, weight) : weight;
    else
      score += weight;
    voted[target] = true;
  }
};

// Walks several trees, or one tree for several rows, side by side: each step waits for memory and
// for the comparison before it, and four walks wait together.
constexpr int kWalks = 4;

template <typename T, bool kPlain, typename X>
TreeNode next_node(const typename Forest<T>::Node& node, const X* row) {
  using F = Forest<T>;
  if constexpr (kPlain) {
    return node.next[static_cast<T>(row[node.feature]) <= node.threshold];
  } else {
    const T x = static_cast<T>(row[node.feature & F::kFeature]);
    bool so = (node.feature & F::kEqual) ? x == node.threshold : x <= node.threshold;
    if (x != x) so = (node.feature & F::kMissingIsSo) != 0;
    return node.next[so];
  }
}

// Each at[w] becomes the leaf that row rows[w] comes to.
template <typename T, bool kPlain, typename X>
void walk(const Forest<T>& forest, TreeNode (&at)[kWalks], const X* const (&rows)[kWalks]) {
  const auto* nodes = forest.nodes.data();
  // A walk that has come to its leaf stays there until all have, without a branch: those that a
  // processor foresees wrongly would cost more than the steps do.
  while ((at[0] & at[1] & at[2] & at[3]) >= 0)
    for (int w = 0; w < kWalks; ++w) {
      const TreeNode next = next_node<T, kPlain>(nodes[std::max(at[w], 0)], rows[w]);
      at[w] = at[w] < 0 ? at[w] : next;
    }
}

template <typename T>
void count_votes(const Forest<T>& forest, TreeNode leaf, const Tally<T>& tally) {
  const auto first = static_cast<size_t>(~leaf);
  for (int64_t v = forest.leaves[first]; v < forest.leaves[first + 1]; ++v) {
    const auto& vote = forest.votes[static_cast<size_t>(v)];
    tally.add(forest.aggregate, vote.target, vote.weight);
  }
}

// Adds all votes for `count` rows; each row's trees vote in their order, however the work is
// shared. Row i's tally stands i * targets after `tally`.
template <typename T, bool kPlain, typename X>
void tally_rows(const Forest<T>& forest, const X* x, int64_t features, int64_t count,
                const Tally<T>& tally) {
  const auto of_row = [&](int64_t row) {
    return Tally<T>{tally.scores + row * forest.targets, tally.voted + row * forest.targets};
  };
  TreeNode at[kWalks];
  const int64_t whole = count - count % kWalks;
  for (TreeNode root : forest.roots)
    for (int64_t row = 0; row < whole; row += kWalks) {
      const X* const first = x + row * features;
      std::fill_n(at, kWalks, root);
      walk<T, kPlain, X>(forest, at,
                         {first, first + features, first + 2 * features, first + 3 * features});
      for (int w = 0; w < kWalks; ++w) count_votes(forest, at[w], of_row(row + w));
    }
  for (int64_t row = whole; row < count; ++row) {
    const X* const only = x + row * features;
    for (size_t tree = 0; tree < forest.roots.size(); tree += kWalks) {
      const size_t walks = std::min<size_t>(kWalks, forest.roots.size() - tree);
      std::fill_n(at, kWalks, forest.roots[tree]);
      std::copy_n(forest.roots.begin() + static_cast<std::ptrdiff_t>(tree), walks, at);
      walk<T, kPlain, X>(forest, at, {only, only, only, only});
      for (size_t w = 0; w < walks; ++w) count_votes(forest, at[w], of_row(row));
    }
  }
}

// The same for one row, as the file says it.
template <typename T, typename X>
void tally_row(const Ensemble& ensemble, const X* row, const Tally<T>& tally) {
  for (TreeNode node : ensemble.roots) {
    while (node >= 0) {
      const Branch& branch = ensemble.branches[static_cast<size_t>(node)];
      const T x = static_cast<T>(row[branch.feature]);
      const T t = static_cast<T>(branch.threshold);
      const bool results[] = {x <= t, x<t, x >= t, x> t, x == t, x != t};
      const bool so =
          std::isnan(x) ? branch.missing_is_true : results[static_cast<size_t>(branch.mode)];
      node = so ? branch.when_true : branch.when_false;
    }
    for (int64_t v = ensemble.leaves[static_cast<size_t>(~node)];
         v < ensemble.leaves[static_cast<size_t>(~node) + 1]; ++v) {
      const Vote& vote = ensemble.votes[static_cast<size_t>(v)];
      tally.add(ensemble.aggregate, vote.target, static_cast<T>(vote.weight));
    }
  }
}

}  // namespace sanderling
