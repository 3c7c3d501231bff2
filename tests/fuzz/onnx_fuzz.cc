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

namespace sanderling {
namespace {

// Lowers and plans the graph for rows that are small, as a caller's are.
void plan(Graph graph) {
  lower(graph);
  const CompiledModel model(std::move(graph), table_named("scalar"));
  std::vector<TensorType> types;
  for (const GraphInput& input : model.graph().inputs) {
    std::vector<int64_t> dims = input.dims;
    std::replace(dims.begin(), dims.end(), int64_t{-1}, int64_t{2});
    try {
      types.push_back({input.dtype, Shape(dims)});
    } catch (const Error&) {
      return;  // no caller has such an array
    }
  }
  model.plan(types, {.threads = 1});
}

}  // namespace
}  // namespace sanderling

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sanderling;
  try {
    Graph graph = import_model(std::as_bytes(std::span(data, size)));
    // What the importer hands out is sorted, so that sorting again finds nothing to complain about
    // or to drop.
    const size_t nodes = graph.nodes.size();
    sort_and_prune(graph);
    if (graph.nodes.size() != nodes) std::abort();
    plan(std::move(graph));
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kModel || error.code() == ErrorCode::kUnsupported) return 0;
    std::fprintf(stderr, "wrong kind of error: %s\n", error.what());
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
  return sanderling::mutate_proto(data, size, max_size, seed);
}
