// A model of one node with any attributes, types and constants runs on small inputs or gives an
// Error; anything else (a sanitizer's report, another exception, an internal error) is a finding.
// Operators have the sanitizers in `make sanitize` only (CMakeLists.txt).

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "exec/session.h"
#include "graph/passes/passes.h"
#include "kernels/table.h"
#include "onnx/import.h"
#include "proto_mutator.h"

namespace sanderling {
namespace {

constexpr double kMostSeconds = 2;               // a mutant may ask for a loop without end
constexpr size_t kMostBytes = size_t{16} << 20;  // and for tensors of any size
constexpr int64_t kFreeExtent = 3;

// Small whole numbers, some negative: axes, indices and counts as often as not. Nothing where no
// caller has such an array.
std::vector<Tensor> inputs_of(const Graph& graph) {
  std::vector<Tensor> inputs;
  size_t bytes = 0;
  for (const GraphInput& input : graph.inputs) {
    std::vector<int64_t> dims = input.dims;
    std::replace(dims.begin(), dims.end(), int64_t{-1}, kFreeExtent);
    const TensorType type{input.dtype, Shape(dims)};
    if ((bytes += type.bytes()) > kMostBytes)
      fail(ErrorCode::kInput, "[fuzz] inputs of more than ", kMostBytes, " bytes");
    inputs.emplace_back(type);
    auto* const to = static_cast<uint8_t*>(inputs.back().mutable_raw());
    const bool is_bool = type.dtype == DType::kBool;
    for (int64_t i = 0; i < type.shape.elements(); ++i)
      to[static_cast<size_t>(i) * size_of(type.dtype)] =
          static_cast<uint8_t>(is_bool ? i % 2 : i * 7 % 5);
  }
  return inputs;
}

void run(Graph graph) {
  lower(graph);
  const auto model = std::make_shared<const CompiledModel>(std::move(graph), default_table());
  Session session(model, {.threads = 1, .memory_limit_bytes = kMostBytes});
  const std::vector<Tensor> inputs = inputs_of(model->graph());
  std::vector<TensorView> views;
  for (const Tensor& input : inputs) views.push_back(input.view());
  std::vector<Tensor> outputs;
  const Session::MakeOutput make_output = [&](size_t, const TensorType& type) {
    if (type.bytes() > kMostBytes)
      fail(ErrorCode::kInput, "[fuzz] an output of more than ", kMostBytes, " bytes");
    return outputs.emplace_back(type).mutable_raw();
  };
  session.run(views, make_output, session.until(kMostSeconds));
}

}  // namespace
}  // namespace sanderling

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sanderling;
  try {
    run(import_model(std::as_bytes(std::span(data, size))));
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInternal) return 0;
    std::fprintf(stderr, "wrong kind of error: %s\n", error.what());
    std::abort();
  }
  return 0;
}

// The model stays a message: what is looked for lies behind the reader, which onnx_fuzz is for.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int seed) {
  return sanderling::mutate_proto(data, size, max_size, seed);
}
