// A program: one graph planned for concrete input types. An executor walks its steps; nothing in it
// changes afterwards.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/fork.h"
#include "graph/graph.h"
#include "graph/operator.h"
#include "graph/type_inference.h"

namespace sanderling {

// Where a step finds one of its operands.
struct Operand {
  enum class Kind : uint8_t { kAbsent, kConstant, kInput, kOutput, kArena };
  Kind kind = Kind::kAbsent;
  size_t index = 0;                // of a program's input or output
  size_t offset = 0;               // in bytes, there or in the arena
  const void* constant = nullptr;  // kConstant
};

struct Step {
  StepFunction function;
  const void* parameters;
  int node;              // index into Program::nodes, for profiles and messages
  uint32_t first_input;  // into Program::operands
  uint32_t first_output;
  const char* kernel =
      "copy";  // what profiles call it: a kernel's name, "loops", "reference", "copy"
};

// A tensor of codes that a watching session counts.
struct WatchedCodes {
  int step;        // counted after this step
  size_t operand;  // into Program::operands
  int64_t count;
  ValueId value;
};

struct Program;

// Where planning had to stop: the types of what comes next depend on data.
struct Cut {
  size_t node;                // the node that runs next, by evaluate()
  std::vector<ValueId> live;  // what it, later nodes and the graph's outputs read of what is there
  std::vector<Operand> places;                 // where these are
  std::shared_ptr<const TypeInference> types;  // of all that is there
  std::vector<std::unique_ptr<Body>> bodies;   // of the node
};

struct Program {
  std::vector<TensorType> input_types;
  std::vector<TensorType> output_types;  // not known where there is a cut
  // Whether the graph's outputs are Operand::Kind::kOutput; else `outputs` says where they end up.
  bool writes_outputs = false;
  std::vector<Operand> outputs;
  std::optional<Cut> cut;
  std::vector<Step> steps;
  std::vector<TensorType> step_types;  // of the first output that each step writes
  std::vector<Operand> operands;
  std::vector<WatchedCodes> codes;
  size_t arena_bytes = 0;
  size_t scratch_bytes = 0;                        // per thread
  std::vector<std::shared_ptr<const void>> owned;  // step parameters, tensors
};

class CompiledModel;
// Makes what runs a subgraph; exec/ has it, which this room does not know.
using MakeBody = std::function<std::unique_ptr<Body>(std::shared_ptr<const CompiledModel>)>;

struct PlanOptions {
  int threads = 1;
  // Whether the program may write the graph's outputs where the caller wants them. It does not if
  // their types depend on data.
  bool write_outputs = true;
  MakeBody make_body{};  // nullptr: nodes with subgraphs are cuts
};

// A lowered graph and what its plans share: packed weights and tables of one kernel table.
// Thread-safe.
class CompiledModel {
 public:
  // `reference` runs every operator by its reference function, for tests. Keeps the graph;
  // `kernels` must outlive it.
  CompiledModel(Graph graph, const KernelTable& kernels, bool reference = false);

  const Graph& graph() const { return graph_; }
  const KernelTable& kernels() const { return kernels_; }
  bool reference() const { return reference_; }
  // Infers all shapes, chooses kernels and lays out memory. Throws what the operators throw.
  std::shared_ptr<const Program> plan(const std::vector<TensorType>& input_types,
                                      const PlanOptions& options) const;
  // The rest of a program after its cut, where the node there gave outputs of these types. Its
  // inputs are Cut::live, then these outputs (all of them, also those that nobody wants).
  std::shared_ptr<const Program> plan_after(const Cut& cut,
                                            const std::vector<TensorType>& node_outputs,
                                            const PlanOptions& options) const;
  // What runs the subgraphs of a node, in their order.
  std::vector<std::unique_ptr<Body>> make_bodies(size_t node, const MakeBody& make_body) const;
  // The models of all nodes' subgraphs, in the order of the nodes.
  std::vector<std::shared_ptr<const CompiledModel>> subgraphs() const;
  // What plans share, made when it is asked for first; keys name the node.
  std::shared_ptr<const void> find_or_make(
      const std::string& key, const std::function<std::shared_ptr<const void>()>& make) const;
  // The same for tensors. One of another type than is asked for is made anew.
  std::shared_ptr<const Tensor> find_or_make_tensor(const std::string& key, const TensorType& type,
                                                    const std::function<Tensor()>& make) const;
  // The tensors that are there, without those of subgraphs.
  std::map<std::string, std::shared_ptr<const Tensor>> tensors() const;
  // Adds one that was made before, with another instance of this model.
  void keep_tensor(const std::string& key, Tensor tensor) const;
  // Whether plans have made tensors that nobody kept with keep_tensor().
  bool has_made_tensors() const;
  // Bytes of the graph's constants and of the tensors that are there, with those of subgraphs.
  size_t weight_bytes() const;

 private:
  const Graph graph_;
  const KernelTable& kernels_;
  const bool reference_;
  // Per node that has subgraphs.
  std::unordered_map<size_t, std::vector<std::shared_ptr<const CompiledModel>>> subgraphs_;
  mutable ForkMutex mutex_{"model"};
  mutable std::unordered_map<std::string, std::shared_ptr<const void>> shared_;
  mutable std::map<std::string, std::shared_ptr<const Tensor>> tensors_;
  mutable bool has_made_tensors_ = false;
};

}  // namespace sanderling
