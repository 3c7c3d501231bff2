// A program on its way: its steps and the values between them, before these have places.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "graph/operator.h"
#include "graph/type_inference.h"
#include "plan/storage.h"

namespace sanderling {

struct PlannedStep {
  int node;
  StepFunction function;
  std::shared_ptr<const void> parameters;
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  const char* kernel = "copy";
  size_t scratch_bytes = 0;
  // Whether output 0 may be in the place of input 0 or 1 (Operator::elementwise).
  bool writes_in_place = false;
  // Of a step that only puts its inputs one after the other: where each is in output 0.
  std::vector<size_t> piece_offsets{};
  // Of a copy to a part of output 0, which other steps complete: where that is.
  std::optional<size_t> part_offset{};
  // Values that are there when this step has run, though no step makes them: parts of an output, or
  // what its outputs are the last piece of.
  std::vector<ValueId> completes{};
};

struct PlannedSteps {
  const Graph& graph;
  TypeInference types;
  std::vector<ValueId> given;  // the program's inputs
  std::vector<PlannedStep> steps;
  std::vector<ValueId> results;  // what must be there when the last step has run
  Storage storage;

  size_t bytes(ValueId id) const { return types.type(id).bytes(); }
};

// A step that copies `bytes` from its input to its output.
struct CopyStep {
  size_t bytes;

  static void run(const void* parameters, const StepArgs& args);
};
PlannedStep copy_step(int node, ValueId from, ValueId to, size_t bytes);

}  // namespace sanderling
