#include "onnx/import.h"

#include <map>
#include <string>
#include <string_view>

#include "graph/operator.h"
#include "onnx/attribute_proto.h"
#include "onnx/model.h"
#include "onnx/tensor_proto.h"

namespace sanderling {
namespace {

constexpr const char* kOtherBackend = "Use backend='onnxruntime' or backend='auto'";

bool is_default_domain(std::string_view domain) { return domain.empty() || domain == "ai.onnx"; }

// The registered operator of a node, nullptr if there is none. The engine's own operators are not
// for files to name.
const Operator* operator_of(const OnnxNode& node) {
  if (!is_default_domain(node.domain)) return nullptr;
  const Operator* op = find_operator(node.op_type);
  return op && op->since_opset > 0 ? op : nullptr;
}

class Importer {
 public:
  explicit Importer(const OnnxModel& model) : model_(model) {}

  Graph run() {
    if (!model_.graph)
      fail(ErrorCode::kModel,
           "[onnx] the model has no graph: the file is empty, truncated or is not an ONNX model");
    const OnnxGraph& source = *model_.graph;
    check_versions();
    check_contents(source);
    check_operators(source);
    set_info(source);
    add_inputs(source);
    add_initializers(source);
    // Outputs first: the nodes may stand in any order.
    for (size_t n = 0; n < source.nodes.size(); ++n) add_node(source.nodes[n], n);
    for (size_t n = 0; n < source.nodes.size(); ++n) connect(source.nodes[n], graph_.nodes[n]);
    add_outputs(source);
    sort_and_prune(graph_);
    return std::move(graph_);
  }

 private:
  void check_versions() {
    if (model_.ir_version > kNewestIrVersion)
      fail(ErrorCode::kUnsupported, "[onnx] the model has ONNX IR version ", model_.ir_version,
           "; this version reads up to ", kNewestIrVersion,
           ". Export it with ir_version=", kNewestIrVersion, " or lower");
    for (const OnnxOpset& opset : model_.opsets) {
      if (!is_default_domain(opset.domain)) continue;
      if (opset_ != 0 && opset_ != opset.version)
        fail(ErrorCode::kModel, "[onnx] the model imports both opset ", opset_, " and opset ",
             opset.version, " of the default domain");
      opset_ = opset.version;
      if (opset_ < kOldestOpset || opset_ > kNewestOpset)
        fail(ErrorCode::kUnsupported, "[onnx] the model has opset ", opset_,
             "; the native engine reads opsets ", kOldestOpset, " to ", kNewestOpset,
             ". Convert it with onnx.version_converter.convert_version(model, ",
             opset_ > kNewestOpset ? kNewestOpset : 13,
             "), or use backend='onnxruntime' or backend='auto'");
    }
  }

  void check_contents(const OnnxGraph& source) const {
    if (model_.opsets.empty())
      fail(ErrorCode::kModel,
           "[onnx] the model imports no opset: the file is truncated or was written without "
           "opset_import");
    if (!model_.functions.empty())
      fail(ErrorCode::kUnsupported, "[onnx] the model defines ", model_.functions.size(),
           " local functions (the first is '", model_.functions.front(),
           "'), which the native engine does not run. Inline them with "
           "onnx.inliner.inline_local_functions(model), or use "
           "backend='onnxruntime' or backend='auto'");
    if (!source.sparse_initializers.empty())
      fail(ErrorCode::kUnsupported, "[onnx] initializer '", source.sparse_initializers.front().name,
           "' is sparse, which the native engine does not run. Store it as a dense tensor, or use "
           "backend='onnxruntime' or "
           "backend='auto'");
    if (source.outputs.empty())
      fail(ErrorCode::kModel, "[onnx] graph '", source.name, "' has no outputs");
    for (const OnnxNode& node : source.nodes)
      if (node.op_type.empty())
        fail(ErrorCode::kModel, "[onnx] node '", node.name, "' has no operator type");
  }

  void check_operators(const OnnxGraph& source) const {
    struct Unknown {
      size_t count = 0;
      std::string_view first;
    };
    std::map<std::pair<std::string_view, std::string_view>, Unknown> unknown;
    for (const OnnxNode& node : source.nodes) {
      if (operator_of(node)) continue;
      const auto domain = is_default_domain(node.domain) ? std::string_view() : node.domain;
      Unknown& entry = unknown[{domain, node.op_type}];
      if (entry.count++ == 0)
        entry.first = node.name.empty() && !node.outputs.empty() ? node.outputs.front() : node.name;
    }
    if (unknown.empty()) return;
    std::string list;
    size_t listed = 0;
    constexpr size_t kMostListed = 100;  // more than that is a hostile file
    for (const auto& [key, entry] : unknown) {
      if (++listed > kMostListed) {
        list += cat(", and ", unknown.size() - kMostListed, " more");
        break;
      }
      list += cat(list.empty() ? "" : ", ", key.second,
                  key.first.empty() ? "" : cat(" of domain '", key.first, "'"), " (", entry.count,
                  entry.count == 1 ? " node, '" : " nodes, the first is '", entry.first, "')");
    }
    fail(ErrorCode::kUnsupported, "[onnx] the native engine lacks ", unknown.size(),
         unknown.size() == 1 ? " operator" : " operators", " of this model (opset ", opset_,
         "): ", list, ". ", kOtherBackend);
  }

  void set_info(const OnnxGraph& source) {
    graph_.name = source.name;
    graph_.info.producer_name = model_.producer_name;
    graph_.info.producer_version = model_.producer_version;
    graph_.info.ir_version = model_.ir_version;
    graph_.info.opset = opset_;
    for (const auto& [key, value] : model_.metadata) graph_.info.metadata[std::string(key)] = value;
  }

  // A new value under a name that nothing else may define.
  ValueId define(std::string_view name, std::string_view definer) {
    if (name.empty()) fail(ErrorCode::kModel, "[onnx] ", definer, " has no name");
    const ValueId id = graph_.add_value(std::string(name));
    if (!ids_.emplace(name, id).second)
      fail(ErrorCode::kModel, "[onnx] value '", name, "' is defined twice, the second time by ",
           definer);
    return id;
  }

  void add_inputs(const OnnxGraph& source) {
    std::map<std::string_view, bool> initialized;
    for (const OnnxInitializer& tensor : source.initializers) initialized[tensor.name] = true;
    for (const OnnxValueInfo& info : source.inputs) {
      // Before IR version 4 every initializer was listed as an input too.
      if (initialized.count(info.name)) continue;
      const std::string what = cat("input '", info.name, "'");
      check_tensor_type(info, what);
      if (!info.is_tensor) fail(ErrorCode::kModel, "[onnx] ", what, " has no type");
      if (!info.has_shape)
        fail(ErrorCode::kUnsupported, "[onnx] ", what,
             " has no shape, so that its rank is unknown. State one in the model (a "
             "dimension may be symbolic), or use backend='onnxruntime' or backend='auto'");
      GraphInput input{define(info.name, what), read_dtype(info.element_type, what), {}, {}};
      set_dims(info, what, input.dims, input.symbols);
      graph_.inputs.push_back(std::move(input));
    }
  }

  static void check_tensor_type(const OnnxValueInfo& info, const std::string& what) {
    if (info.is_other)
      fail(ErrorCode::kUnsupported, "[onnx] ", what,
           " is a sequence, map, optional or sparse tensor, which the native engine does not run. ",
           kOtherBackend);
  }

  static void set_dims(const OnnxValueInfo& info, const std::string& what,
                       std::vector<int64_t>& dims, std::vector<std::string>& symbols) {
    std::vector<int64_t> known;
    if (info.dims.size() > static_cast<size_t>(Shape::kMaxRank))
      fail(ErrorCode::kModel, "[onnx] ", what, " has ", info.dims.size(),
           " dimensions; the limit is ", Shape::kMaxRank);
    for (const OnnxDim& dim : info.dims) {
      dims.push_back(dim.extent < 0 ? -1 : dim.extent);  // some exporters write -1 for "any"
      symbols.emplace_back(dim.symbol);
      if (dim.extent >= 0) known.push_back(dim.extent);
    }
    try {
      Shape{known};
    } catch (const Error& problem) {
      fail(ErrorCode::kModel, "[onnx] ", what, ": ", problem.what());
    }
  }

  void add_initializers(const OnnxGraph& source) {
    for (const OnnxInitializer& tensor : source.initializers) {
      const std::string what = cat("initializer '", tensor.name, "'");
      graph_.value(define(tensor.name, what)).constant = read_tensor(tensor.proto, what);
    }
  }

  void add_node(const OnnxNode& source, size_t index) {
    Node node;
    node.op = source.op_type;
    node.name = source.name.empty() ? cat(source.op_type, "_", index) : std::string(source.name);
    node.opset = opset_;
    const Operator& op = *operator_of(source);
    if (opset_ == 0)
      fail(ErrorCode::kModel, "[", node.op, "] node '", node.name,
           "' is of the default domain, of which the model imports no opset");
    if (opset_ < op.since_opset)
      fail(ErrorCode::kUnsupported, "[", node.op, "] node '", node.name,
           "' has the meaning of opset ", opset_, "; the native engine knows it from opset ",
           op.since_opset,
           " on. Convert the model with "
           "onnx.version_converter.convert_version(model, 13), or use backend='onnxruntime' or "
           "backend='auto'");
    for (std::string_view name : source.outputs)
      node.outputs.push_back(name.empty() ? kNoValue : define(name, cat("node '", node.name, "'")));
    trim(node.outputs);
    if (node.outputs.size() > op.max_outputs)
      fail(ErrorCode::kUnsupported, "[", node.op, "] node '", node.name, "' gives ",
           node.outputs.size(), " outputs; the native engine gives ", op.max_outputs, ". ",
           kOtherBackend);
    for (const OnnxAttribute& attribute : source.attributes) {
      const std::string what =
          cat("attribute '", attribute.name, "' of node '", node.name, "' (", node.op, ")");
      if (attribute.name.empty() || node.attributes.has(std::string(attribute.name)))
        fail(ErrorCode::kModel, "[onnx] ", what,
             attribute.name.empty() ? " has no name" : " is there twice");
      node.attributes.set(std::string(attribute.name), read_attribute(attribute.proto, what));
    }
    graph_.nodes.push_back(std::move(node));
  }

  // Optional ones at the end may be left out by an empty name or by ending the list.
  static void trim(std::vector<ValueId>& ids) {
    while (!ids.empty() && ids.back() == kNoValue) ids.pop_back();
  }

  void connect(const OnnxNode& source, Node& node) {
    for (std::string_view name : source.inputs) {
      if (name.empty()) {
        node.inputs.push_back(kNoValue);
        continue;
      }
      const auto it = ids_.find(name);
      if (it == ids_.end())
        fail(ErrorCode::kModel, "[", node.op, "] node '", node.name, "' reads '", name,
             "', which is no input, initializer or output of a node");
      node.inputs.push_back(it->second);
    }
    trim(node.inputs);
    const Operator& op = *operator_of(source);
    if (node.inputs.size() < op.min_inputs || node.inputs.size() > op.max_inputs)
      fail(ErrorCode::kModel, "[", node.op, "] node '", node.name, "' has ", node.inputs.size(),
           " inputs; the operator takes ", op.min_inputs, " to ", op.max_inputs);
    for (size_t i = 0; i < op.min_inputs; ++i)
      if (node.inputs[i] == kNoValue)
        fail(ErrorCode::kModel, "[", node.op, "] node '", node.name, "': input ", i,
             " is required and missing");
  }

  void add_outputs(const OnnxGraph& source) {
    std::map<std::string_view, bool> seen;
    for (const OnnxValueInfo& info : source.outputs) {
      const std::string what = cat("output '", info.name, "'");
      const auto it = ids_.find(info.name);
      if (it == ids_.end())
        fail(ErrorCode::kModel, "[onnx] ", what,
             " of the graph is produced by no node, input or initializer");
      if (!seen.emplace(info.name, true).second)
        fail(ErrorCode::kModel, "[onnx] ", what, " of the graph is listed twice");
      check_tensor_type(info, what);
      GraphOutput output{it->second, std::string(info.name)};
      if (info.is_tensor && info.element_type != 0)
        output.dtype = read_dtype(info.element_type, what);
      if (info.has_shape) set_dims(info, what, output.dims.emplace(), output.symbols);
      graph_.outputs.push_back(std::move(output));
    }
  }

  const OnnxModel& model_;
  int64_t opset_ = 0;  // of the default domain
  Graph graph_;
  // Ordered, so that names chosen to collide in a hash cannot slow it down.
  std::map<std::string_view, ValueId> ids_;
};

}  // namespace

Graph import_model(std::span<const std::byte> bytes) {
  const OnnxModel model = read_model(bytes);
  return Importer(model).run();
}

}  // namespace sanderling
