// AttributeProto.
#pragma once

#include <optional>
#include <string_view>

#include "graph/graph.h"
#include "onnx/wire.h"

namespace sanderling {

// Decodes float, int, string, tensor, floats, ints and strings. Throws kUnsupported for the other
// types (graphs, sparse tensors, types) and kModel for damaged ones; `what` is such as "attribute
// 'value' of node 'c' (Constant)".
Attribute read_attribute(const WireMessage& message, std::string_view what);

// The GraphProto of an attribute of type graph; nothing if it is of another type.
std::optional<WireMessage> read_graph_attribute(const WireMessage& message, std::string_view what);

}  // namespace sanderling
