// Any bytes give a graph or an Error that blames the file; anything else (a sanitizer's report,
// another exception, an internal error) is a finding.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>

#include "graph/graph.h"
#include "onnx/import.h"
#include "proto_mutator.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sanderling;
  try {
    Graph graph = import_model(std::as_bytes(std::span(data, size)));
    // What the importer hands out is sorted, so that sorting again finds nothing to complain about
    // or to drop.
    const size_t nodes = graph.nodes.size();
    sort_and_prune(graph);
    if (graph.nodes.size() != nodes) std::abort();
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
