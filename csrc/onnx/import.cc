#include "onnx/import.h"

#include <algorithm>
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

bool same_domain(std::string_view a, std::string_view b) {
  return a == b || (is_default_domain(a) && is_default_domain(b));
}

std::string registry_name(const OnnxNode& node) {
  return is_default_domain(node.domain) ? std::string(node.op_type)
                                        : cat(node.domain, ".", node.op_type);
}

// The registered operator of a node, nullptr if there is none. The engine's own operators are not
// for files to name.
const Operator* operator_of(const OnnxNode& node) {
  const Operator* op = find_operator(registry_name(node));
  return op && op->since_opset > 0 ? op : nullptr;
}

std::string describe(const OnnxAttribute& attribute, const OnnxNode& node) {
  return cat("attribute '", attribute.name, "' of node '", node.name, "' (", node.op_type, ")");
}

// What holds for the whole file.
class Versions {
 public:
  explicit Versions(const OnnxModel& model) : opsets_(model.opsets) {
    if (model.ir_version > kNewestIrVersion)
      fail(ErrorCode::kUnsupported, "[onnx] the model has ONNX IR version ", model.ir_version,
           "; this version reads up to ", kNewestIrVersion,
           ". Export it with ir_version=", kNewestIrVersion, " or lower");
    for (const OnnxOpset& opset : opsets_) {
      if (const int64_t first = of(opset.domain); first != opset.version)
        fail(ErrorCode::kModel, "[onnx] the model imports both opset ", first, " and opset ",
             opset.version, " of ",
             is_default_domain(opset.domain) ? "the default domain"
                                             : cat("domain '", opset.domain, "'"));
      if (!is_default_domain(opset.domain)) continue;
      if (opset.version < kOldestOpset || opset.version > kNewestOpset)
        fail(ErrorCode::kUnsupported, "[onnx] the model has opset ", opset.version,
             "; the native engine reads opsets ", kOldestOpset, " to ", kNewestOpset,
             ". Convert it with onnx.version_converter.convert_version(model, ",
             opset.version > kNewestOpset ? kNewestOpset : 13,
             "), or use backend='onnxruntime' or backend='auto'");
    }
  }

  // The model's opset of a domain; 0 if it imports none.
  int64_t of(std::string_view domain) const {
    for (const OnnxOpset& opset : opsets_)
      if (same_domain(opset.domain, domain)) return opset.version;
    return 0;
  }

 private:
  const std::vector<OnnxOpset>& opsets_;
};

// Which operators of a model and its subgraphs the engine lacks.
class UnknownOperators {
 public:
  void look(const OnnxGraph& graph) {
    for (const OnnxNode& node : graph.nodes) {
      if (node.op_type.empty())
        fail(ErrorCode::kModel, "[onnx] node '", node.name, "' has no operator type");
      if (!operator_of(node)) add(node);
      for (const OnnxAttribute& attribute : node.attributes)
        if (const auto body = read_graph_attribute(attribute.proto, describe(attribute, node)))
          look(read_graph(*body));
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
         "): ", list, ". ", kOtherBackend);
  }

 private:
  struct Unknown {
    size_t count = 0;
    std::string first;
  };

  void add(const OnnxNode& node) {
    const auto domain = is_default_domain(node.domain) ? std::string() : std::string(node.domain);
    Unknown& entry = unknown_[{domain, std::string(node.op_type)}];
    if (entry.count++ == 0)
      entry.first = node.name.empty() && !node.outputs.empty() ? node.outputs.front() : node.name;
  }

  std::map<std::pair<std::string, std::string>, Unknown> unknown_;
};

// Imports the model's graph, or a subgraph of one of its nodes.
class Importer {
 public:
  Importer(const OnnxGraph& source, const Versions& versions, Importer* around = nullptr)
      : source_(source), versions_(versions), around_(around) {}

  Graph run() {
    if (!source_.sparse_initializers.empty())
      fail(ErrorCode::kUnsupported, "[onnx] initializer '",
           source_.sparse_initializers.front().name,
           "' is sparse, which the native engine does not run. Store it as a dense tensor, or use "
           "backend='onnxruntime' or "
           "backend='auto'");
    if (source_.outputs.empty())
      fail(ErrorCode::kModel, "[onnx] graph '", source_.name, "' has no outputs");
    graph_.name = source_.name;
    add_inputs();
    add_initializers();
    // Outputs first: the nodes may stand in any order.
    for (size_t n = 0; n < source_.nodes.size(); ++n) add_node(source_.nodes[n], n);
    for (size_t n = 0; n < source_.nodes.size(); ++n) connect(source_.nodes[n], graph_.nodes[n]);
    add_outputs();
    sort_and_prune(graph_);
    return std::move(graph_);
  }

  // What this subgraph reads from the graph around it, as values of that graph.
  const std::vector<ValueId>& captured() const { return captured_; }

 private:
  // A new value under a name that nothing else may define.
  ValueId define(std::string_view name, std::string_view definer) {
    if (name.empty()) fail(ErrorCode::kModel, "[onnx] ", definer, " has no name");
    const ValueId id = graph_.add_value(std::string(name));
    if (!ids_.emplace(name, id).second)
      fail(ErrorCode::kModel, "[onnx] value '", name, "' is defined twice, the second time by ",
           definer);
    return id;
  }

  // The value of a name here or in the graphs around, which becomes an input or a constant here;
  // kNoValue if there is none.
  ValueId find(std::string_view name) {
    const auto it = ids_.find(name);
    if (it != ids_.end()) return it->second;
    const ValueId outer = around_ ? around_->find(name) : kNoValue;
    if (outer == kNoValue) return kNoValue;
    const ValueId id = define(name, "a value of the graph around");
    if (const Tensor* constant = around_->graph_.constant(outer)) {
      graph_.value(id).constant = *constant;
    } else {
      graph_.inputs.push_back({id, DType::kFloat32, {}, {}});
      captured_.push_back(outer);
    }
    return id;
  }

  void add_inputs() {
    std::map<std::string_view, bool> initialized;
    for (const OnnxInitializer& tensor : source_.initializers) initialized[tensor.name] = true;
    for (const OnnxValueInfo& info : source_.inputs) {
      // Before IR version 4 every initializer was listed as an input too.
      if (initialized.count(info.name)) continue;
      const std::string what = cat("input '", info.name, "'");
      check_tensor_type(info, what);
      if (around_) {  // whoever runs it says what it gets
        graph_.inputs.push_back({define(info.name, what), DType::kFloat32, {}, {}});
        continue;
      }
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

  void add_initializers() {
    for (const OnnxInitializer& tensor : source_.initializers) {
      const std::string what = cat("initializer '", tensor.name, "'");
      graph_.value(define(tensor.name, what)).constant = read_tensor(tensor.proto, what);
    }
  }

  void add_node(const OnnxNode& source, size_t index) {
    Node node;
    node.op = registry_name(source);
    node.name = source.name.empty() ? cat(source.op_type, "_", index) : std::string(source.name);
    const Operator& op = *operator_of(source);
    node.opset = versions_.of(source.domain);
    if (node.opset == 0 && is_default_domain(source.domain))
      fail(ErrorCode::kModel, "[", node.op, "] node '", node.name,
           "' is of the default domain, of which the model imports no opset");
    if (node.opset == 0) node.opset = 1;  // some tools forget to import com.microsoft
    if (node.opset < op.since_opset)
      fail(ErrorCode::kUnsupported, "[", node.op, "] node '", node.name,
           "' has the meaning of opset ", node.opset, "; the native engine knows it from opset ",
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
      const auto same_name = [&](const Subgraph& other) {
        return other.attribute == attribute.name;
      };
      if (attribute.name.empty() || node.attributes.has(std::string(attribute.name)) ||
          std::any_of(node.subgraphs.begin(), node.subgraphs.end(), same_name))
        fail(ErrorCode::kModel, "[onnx] ", what,
             attribute.name.empty() ? " has no name" : " is there twice");
      if (read_graph_attribute(attribute.proto, what))
        node.subgraphs.push_back({std::string(attribute.name), nullptr, {}});  // connect() reads it
      else
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
      node.inputs.push_back(name.empty() ? kNoValue : find(name));
      if (!name.empty() && node.inputs.back() == kNoValue)
        fail(ErrorCode::kModel, "[", node.op, "] node '", node.name, "' reads '", name,
             "', which is no input, initializer or output of a node");
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
    node.formal_inputs = node.inputs.size();
    for (Subgraph& subgraph : node.subgraphs) import_subgraph(source, node, subgraph);
  }

  void import_subgraph(const OnnxNode& source, Node& node, Subgraph& subgraph) {
    for (const OnnxAttribute& attribute : source.attributes) {
      if (attribute.name != subgraph.attribute) continue;
      const OnnxGraph graph =
          read_graph(*read_graph_attribute(attribute.proto, describe(attribute, source)));
      Importer importer(graph, versions_, this);
      subgraph.graph = std::make_shared<const Graph>(importer.run());
      for (ValueId id : importer.captured()) {
        subgraph.captures.push_back(node.inputs.size());
        node.inputs.push_back(id);
      }
    }
  }

  void add_outputs() {
    std::map<std::string_view, bool> seen;
    for (const OnnxValueInfo& info : source_.outputs) {
      const std::string what = cat("output '", info.name, "'");
      const ValueId id = find(info.name);
      if (id == kNoValue)
        fail(ErrorCode::kModel, "[onnx] ", what,
             " of the graph is produced by no node, input or initializer");
      if (!seen.emplace(info.name, true).second && !around_)
        fail(ErrorCode::kModel, "[onnx] ", what, " of the graph is listed twice");
      check_tensor_type(info, what);
      GraphOutput output{id, std::string(info.name)};
      if (info.is_tensor && info.element_type != 0)
        output.dtype = read_dtype(info.element_type, what);
      if (info.has_shape) set_dims(info, what, output.dims.emplace(), output.symbols);
      graph_.outputs.push_back(std::move(output));
    }
  }

  const OnnxGraph& source_;
  const Versions& versions_;
  Importer* const around_;
  Graph graph_;
  std::vector<ValueId> captured_;
  // Ordered, so that names chosen to collide in a hash cannot slow it down.
  std::map<std::string_view, ValueId> ids_;
};

}  // namespace

Graph import_model(std::span<const std::byte> bytes) {
  const OnnxModel model = read_model(bytes);
  if (!model.graph)
    fail(ErrorCode::kModel,
         "[onnx] the model has no graph: the file is empty, truncated or is not an ONNX model");
  const Versions versions(model);
  if (model.opsets.empty())
    fail(ErrorCode::kModel,
         "[onnx] the model imports no opset: the file is truncated or was written without "
         "opset_import");
  if (!model.functions.empty())
    fail(ErrorCode::kUnsupported, "[onnx] the model defines ", model.functions.size(),
         " local functions (the first is '", model.functions.front(),
         "'), which the native engine does not run. Inline them with "
         "onnx.inliner.inline_local_functions(model), or use "
         "backend='onnxruntime' or backend='auto'");
  UnknownOperators unknown;
  unknown.look(*model.graph);
  unknown.refuse(versions.of(""));
  Graph graph = Importer(*model.graph, versions).run();
  graph.info.producer_name = model.producer_name;
  graph.info.producer_version = model.producer_version;
  graph.info.ir_version = model.ir_version;
  graph.info.opset = versions.of("");
  for (const auto& [key, value] : model.metadata) graph.info.metadata[std::string(key)] = value;
  return graph;
}

}  // namespace sanderling
