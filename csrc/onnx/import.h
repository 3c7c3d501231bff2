#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "graph/graph.h"
#include "onnx/external_data.h"

namespace sanderling {

// The opsets of the default domain that import_model takes. Most operators are known from 7 on,
// where broadcasting became NumPy's, and say so (Operator::since_opset); models of older opsets run
// where theirs are known.
constexpr int64_t kOldestOpset = 1;
constexpr int64_t kNewestOpset = 28;
constexpr int64_t kNewestIrVersion = 14;

// Reads an ONNX file (the bytes may go away afterwards) into a graph in topological order without
// dead nodes; local functions stand in place of their calls. Throws kModel if it is damaged,
// inconsistent or over a limit of OnnxLimits, and kUnsupported, naming all of them at once, if it
// has operators that are not registered. Constant stays a node, with its attributes decoded;
// folding it is a pass.
Graph import_model(std::span<const std::byte> bytes, const ExternalData& external = {});

}  // namespace sanderling
