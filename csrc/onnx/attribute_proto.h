// AttributeProto.
#pragma once

#include <optional>
#include <string_view>

#include "graph/graph.h"
#include "onnx/external_data.h"
#include "onnx/wire.h"

namespace sanderling {

// Decodes float, int, string, tensor (also sparse), floats, ints and strings. Throws kUnsupported
// for the other types (graphs, types) and kModel for damaged ones; `what` is such as "attribute
// 'value' of node 'c' (Constant)".
Attribute read_attribute(const WireMessage& message, std::string_view what,
                         const ExternalData& external = {});
// The attribute of the function around that this one stands for; "" if it has a value of its own.
std::string_view referred_attribute(const WireMessage& message);

// The GraphProto of an attribute of type graph; nothing if it is of another type.
std::optional<WireMessage> read_graph_attribute(const WireMessage& message, std::string_view what);

}  // namespace sanderling
