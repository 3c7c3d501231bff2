#include "onnx/import.h"

#include <map>
#include <set>
#include <string>

#include "onnx/attribute_proto.h"
#include "onnx/declined.h"
#include "onnx/importer.h"
#include "onnx/opsets.h"

namespace sanderling {
namespace {

// Which operators of a model and its subgraphs the engine lacks.
class UnknownOperators {
 public:
  explicit UnknownOperators(const OnnxModel& model) : model_(model) {}

  void look(const std::vector<OnnxNode>& nodes) {
    for (const OnnxNode& node : nodes) {
      if (node.op_type.empty())
        fail(ErrorCode::kModel, "[onnx] node '", node.name, "' has no operator type");
      if (const OnnxFunction* function = function_of(model_, node)) {
        if (seen_.insert(function).second) look(function->nodes);
      } else if (!operator_of(node)) {
        add(node);
      }
      for (const OnnxAttribute& attribute : node.attributes) {
        if (!referred_attribute(attribute.proto).empty()) continue;
        if (const auto body = read_graph_attribute(attribute.proto, describe(attribute, node)))
          look(read_graph(*body).nodes);
      }
    }
  }

  void refuse(int64_t opset) const {
    if (unknown_.empty()) return;
    std::string list;
    size_t listed = 0;
    constexpr size_t kMostListed = 100;  // more than that is a hostile file
    for (const auto& [key, entry] : unknown_) {
      if (++listed > kMostListed) {
        list += cat(", and ", unknown_.size() - kMostListed, " more");
        break;
      }
      list += cat(list.empty() ? "" : ", ", key.second,
                  key.first.empty() ? "" : cat(" of domain '", key.first, "'"), " (", entry.count,
                  entry.count == 1 ? " node, '" : " nodes, the first is '", entry.first, "')");
    }
    fail(ErrorCode::kUnsupported, "[onnx] the native engine lacks ", unknown_.size(),
         unknown_.size() == 1 ? " operator" : " operators", " of this model (opset ", opset,
         "): ", list, ". ", hints(), kOtherBackend);
  }

 private:
  struct Unknown {
    size_t count = 0;
    std::string first;
  };

  // What to do about those that are left out on purpose, each thing once: "A, B: ... . C: ... . ".
  std::string hints() const {
    std::map<std::string_view, std::string> names;
    for (const auto& [key, entry] : unknown_) {
      const std::string name = key.first.empty() ? key.second : cat(key.first, ".", key.second);
      if (const std::string_view hint = declined_hint(name); !hint.empty())
        names[hint] += cat(names[hint].empty() ? "" : ", ", key.second);
    }
    std::string text;
    for (const auto& [hint, of] : names) text += cat(of, ": ", hint, ". ");
    return text;
  }

  void add(const OnnxNode& node) {
    const auto domain = is_default_domain(node.domain) ? std::string() : std::string(node.domain);
    Unknown& entry = unknown_[{domain, std::string(node.op_type)}];
    if (entry.count++ == 0)
      entry.first = node.name.empty() && !node.outputs.empty() ? node.outputs.front() : node.name;
  }

  const OnnxModel& model_;
  std::set<const OnnxFunction*> seen_;
  std::map<std::pair<std::string, std::string>, Unknown> unknown_;
};

}  // namespace

Graph import_model(std::span<const std::byte> bytes, const ExternalData& external) {
  const OnnxModel model = read_model(bytes);
  if (!model.graph)
    fail(ErrorCode::kModel,
         "[onnx] the model has no graph: the file is empty, truncated or is not an ONNX model");
  if (model.ir_version > kNewestIrVersion)
    fail(ErrorCode::kUnsupported, "[onnx] the model has ONNX IR version ", model.ir_version,
         "; this version reads up to ", kNewestIrVersion,
         ". Export it with ir_version=", kNewestIrVersion, " or lower");
  const Opsets opsets(model.opsets);
  if (model.opsets.empty())
    fail(ErrorCode::kModel,
         "[onnx] the model imports no opset: the file is truncated or was written without "
         "opset_import");
  UnknownOperators unknown(model);
  unknown.look(model.graph->nodes);
  unknown.refuse(opsets.of(""));
  Graph graph = import_graph({model, opsets, external});
  graph.info.producer_name = model.producer_name;
  graph.info.producer_version = model.producer_version;
  graph.info.ir_version = model.ir_version;
  graph.info.opset = opsets.of("");
  for (const auto& [key, value] : model.metadata) graph.info.metadata[std::string(key)] = value;
  return graph;
}

}  // namespace sanderling
