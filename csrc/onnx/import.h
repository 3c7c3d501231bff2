#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "graph/graph.h"
#include "onnx/external_data.h"

namespace sanderling {

// The opsets of the default domain that import_model takes. 7 is where broadcasting became NumPy's;
// of 27 and 28 we know that they change no operator of the engine except for element types that it
// refuses by name.
constexpr int64_t kOldestOpset = 7;
constexpr int64_t kNewestOpset = 28;
constexpr int64_t kNewestIrVersion = 14;

// Reads an ONNX file (the bytes may go away afterwards) into a graph in topological order without
// dead nodes; local functions stand in place of their calls. Throws kModel if it is damaged,
// inconsistent or over a limit of OnnxLimits, and kUnsupported, naming all of them at once, if it
// has operators that are not registered. Constant stays a node, with its attributes decoded;
// folding it is a pass.
Graph import_model(std::span<const std::byte> bytes, const ExternalData& external = {});

}  // namespace sanderling
