// Any bytes give a plan or an Error that blames the file; anything else (a sanitizer's report,
// another exception, an internal error) is a finding.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <vector>

#include "graph/graph.h"
#include "graph/passes/passes.h"
#include "kernels/table.h"
#include "onnx/import.h"
#include "plan/program.h"
#include "proto_mutator.h"

namespace {

using namespace sanderling;

// A small extent for every dimension that the file leaves open.
std::vector<TensorType> input_types(const Graph& graph) {
  std::vector<TensorType> types;
  for (const GraphInput& input : graph.inputs) {
    std::vector<int64_t> dims = input.dims;
    std::replace(dims.begin(), dims.end(), int64_t{-1}, int64_t{2});
    types.push_back({input.dtype, Shape(std::move(dims))});
  }
  return types;
}

void import_and_plan(std::span<const std::byte> bytes) {
  Graph graph = import_model(bytes);
  // What the importer hands out is sorted, so that sorting again finds nothing to complain about or
  // to drop.
  const size_t nodes = graph.nodes.size();
  sort_and_prune(graph);
  if (graph.nodes.size() != nodes) std::abort();
  const std::vector<TensorType> types = input_types(graph);
  lower(graph);
  // Not run: how much arithmetic a file asks for is its own affair.
  CompiledModel(std::move(graph), *runnable_tables().front()).plan(types, 1);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    import_and_plan(std::as_bytes(std::span(data, size)));
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInternal) return 0;
    std::fprintf(stderr, "internal error: %s\n", error.what());
    std::abort();
  }
  return 0;
}

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

// Half of the mutants keep the lengths of the enclosing messages right and so reach the code behind
// them.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int seed) {
  if (seed % 2 == 0) return LLVMFuzzerMutate(data, size, max_size);
  return mutate_proto(data, size, max_size, seed);
}
