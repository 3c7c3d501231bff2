// A program: one graph planned for concrete input types. An executor walks its steps; nothing in it
// changes afterwards.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "graph/graph.h"
#include "graph/operator.h"

namespace sanderling {

// Where a step finds one of its operands.
struct Operand {
  enum class Kind : uint8_t { kAbsent, kConstant, kInput, kOutput, kArena };
  Kind kind = Kind::kAbsent;
  size_t index = 0;                // graph input or output, or byte offset in the arena
  const void* constant = nullptr;  // kConstant
};

struct Step {
  StepFunction function;
  const void* parameters;
  int node;              // index into Program::nodes, for profiles and messages
  uint32_t first_input;  // into Program::operands
  uint32_t first_output;
};

// A tensor of codes that a watching session counts.
struct WatchedCodes {
  int step;        // counted after this step
  size_t operand;  // into Program::operands
  int64_t count;
  ValueId value;
};

struct Program {
  std::vector<TensorType> input_types;
  std::vector<TensorType> output_types;
  std::vector<Step> steps;
  std::vector<Operand> operands;
  std::vector<WatchedCodes> codes;
  size_t arena_bytes = 0;
  size_t scratch_bytes = 0;                        // per thread
  std::vector<std::shared_ptr<const void>> owned;  // step parameters
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
                                      int threads) const;
  // Bytes of packed weights and tables made so far.
  std::shared_ptr<const void> find_or_make(
      const std::string& key, const std::function<std::shared_ptr<const void>()>& make) const;

 private:
  const Graph graph_;
  const KernelTable& kernels_;
  const bool reference_;
  mutable std::mutex mutex_;
  mutable std::unordered_map<std::string, std::shared_ptr<const void>> shared_;
};

}  // namespace sanderling
