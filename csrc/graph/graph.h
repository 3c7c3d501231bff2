// A model as the engine sees it: values, and nodes in topological order. Shapes are not stored
// here: they are inferred for concrete input shapes when a plan is made (plan/program.h), so one
// graph serves every batch size.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/tensor.h"

namespace sanderling {

using ValueId = int32_t;
constexpr ValueId kNoValue = -1;  // an optional input that was left out

// real = scale * (code - zero_point), one pair for the whole tensor; codes are uint8
// (kernels/kernels.inc says why).
struct Quantization {
  float scale = 1.0f;
  int32_t zero_point = 0;
  bool operator==(const Quantization&) const = default;
};

struct Value {
  std::string name;                // the ONNX name, or one made by a pass
  std::optional<Tensor> constant;  // set for initializers and folded results
  std::optional<Quantization>
      quantization;  // set for tensors of uint8 codes, by the QDQ lowering pass
  int rank = -1;     // where a pass has found it out, else -1
};

using Attribute = std::variant<int64_t, float, std::string, std::vector<int64_t>,
                               std::vector<float>, std::vector<std::string>, Tensor>;

class Attributes {
 public:
  bool has(const std::string& name) const { return values_.count(name) != 0; }
  void set(const std::string& name, Attribute value) { values_[name] = std::move(value); }
  // A missing attribute gives the default; one of another type throws kModel.
  int64_t integer(const std::string& name, int64_t otherwise) const;
  float number(const std::string& name, float otherwise) const;
  std::string text(const std::string& name, const std::string& otherwise) const;
  std::vector<int64_t> integers(const std::string& name, std::vector<int64_t> otherwise) const;
  std::vector<float> numbers(const std::string& name, std::vector<float> otherwise) const;
  const Tensor* tensor(const std::string& name) const;  // nullptr if missing
  const std::map<std::string, Attribute>& all() const { return values_; }

 private:
  std::map<std::string, Attribute> values_;
};

struct Graph;

// A graph that is an attribute of a node: a branch of If, the body of Loop or Scan. Its inputs are
// its formal ones, then what it reads from the graphs around it, which the node reads for it.
struct Subgraph {
  std::string attribute;  // "then_branch"
  std::shared_ptr<const Graph> graph;
  std::vector<size_t> captures;  // indices into the node's inputs, one per such input of the graph
};

struct Node {
  std::string op;                // registry name (graph/operator.h)
  std::string name;              // for messages; never empty after import
  std::vector<ValueId> inputs;   // kNoValue where an optional input is left out
  std::vector<ValueId> outputs;  // kNoValue where an output is not wanted
  Attributes attributes;
  int64_t opset = 0;  // the model's opset for the node's domain
  std::vector<Subgraph> subgraphs{};
  size_t formal_inputs = 0;  // of a node with subgraphs: those before what the subgraphs capture
};

struct GraphInput {
  ValueId value;
  DType dtype;                       // of a subgraph's input only what the file says, if anything
  std::vector<int64_t> dims;         // -1 where the extent is chosen at run time
  std::vector<std::string> symbols;  // the ONNX dim_param per dimension, "" where it has none
};

struct GraphOutput {
  ValueId value;
  std::string name;
  // What the file declares, for people to read; the engine goes by what shape inference finds.
  std::optional<DType> dtype{};
  std::optional<std::vector<int64_t>> dims{};  // -1 where the extent is not stated
  std::vector<std::string> symbols{};  // the ONNX dim_param per dimension, "" where it has none
};

// Where a model comes from.
struct ModelInfo {
  std::string producer_name;
  std::string producer_version;
  int64_t ir_version = 0;
  int64_t opset = 0;  // of the default domain; 0 if the model has no node of it
  std::map<std::string, std::string> metadata;  // ONNX metadata_props
};

struct Graph {
  std::string name;
  ModelInfo info;
  std::vector<Value> values;
  std::vector<Node> nodes;
  std::vector<GraphInput> inputs;  // without initializers
  std::vector<GraphOutput> outputs;

  Value& value(ValueId id) { return values[static_cast<size_t>(id)]; }
  const Value& value(ValueId id) const { return values[static_cast<size_t>(id)]; }
  ValueId add_value(std::string name);
  ValueId add_constant(std::string name, Tensor tensor);
  const Tensor* constant(ValueId id) const;  // nullptr if absent or computed
  bool is_output(ValueId id) const;
};

// Who makes and who reads each value; valid until the graph changes.
class Uses {
 public:
  explicit Uses(const Graph& graph);
  int producer(ValueId id) const { return producer_[static_cast<size_t>(id)]; }  // node index or -1
  const std::vector<int>& readers(ValueId id) const { return readers_[static_cast<size_t>(id)]; }
  bool read_once(ValueId id) const {
    return readers(id).size() == 1 && !output_[static_cast<size_t>(id)];
  }

 private:
  std::vector<int> producer_;
  std::vector<std::vector<int>> readers_;
  std::vector<bool> output_;
};

// Orders nodes so that each follows its producers, and drops the nodes and constants that no output
// needs. Throws kModel on a cycle or a value that nothing produces.
void sort_and_prune(Graph& graph);

}  // namespace sanderling
