// The types of all values of a graph for given input types, node by node, and the elements of those
// that follow from shapes: so shape arithmetic is done before the model runs.
#pragma once

#include <memory>
#include <vector>

#include "graph/graph.h"
#include "graph/operator.h"

namespace sanderling {

class TypeInference {
 public:
  // Knows the graph's constants; the graph must outlive it.
  explicit TypeInference(const Graph& graph);

  const TensorType& type(ValueId id) const { return types_[index(id)]; }
  // Whether a type was set or inferred.
  bool has_type(ValueId id) const { return has_type_[index(id)]; }
  void set_type(ValueId id, TensorType type);
  // The elements, where they follow from shapes or are constant; else nullptr.
  const Tensor* known(ValueId id) const;
  void set_known(ValueId id, Tensor tensor);

  // What contexts for a node are made of. Valid until this or the result is gone; the node's inputs
  // must have types.
  struct Inputs {
    std::vector<const TensorType*> types;
    std::vector<const void*> data;
  };
  Inputs inputs_of(const Node& node) const;

  // Infers the node's outputs, and their elements if all inputs are known and they are few. Throws
  // what its shape rule throws: NeedsValue if it depends on elements that are not known.
  void infer(const Node& node, std::span<const std::unique_ptr<Body>> bodies = {});

 private:
  static size_t index(ValueId id) { return static_cast<size_t>(id); }
  bool can_evaluate(const Operator& op, const Node& node, const Inputs& inputs,
                    std::span<const TensorType> outputs) const;

  const Graph& graph_;
  std::vector<TensorType> types_;
  std::vector<bool> has_type_;
  std::vector<std::shared_ptr<const Tensor>> known_;  // without the graph's own constants
};

}  // namespace sanderling
