#include "onnx/importer.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "onnx/attribute_proto.h"
#include "onnx/sparse_tensor.h"
#include "onnx/tensor_proto.h"

namespace sanderling {
namespace {

// The beginning of an advice; other domains have no converter.
std::string how_to_convert(std::string_view domain, int since_opset) {
  constexpr int kCommonOpset = 13;
  if (!is_default_domain(domain)) return "Export it with a newer opset of its domain, or ";
  return cat("Convert the model with onnx.version_converter.convert_version(model, ",
             std::max(since_opset, kCommonOpset), "), or ");
}

// Attributes of a call of a function by name, for those inside that stand for them.
using Bindings = std::map<std::string_view, WireMessage>;

// Of all graphs and calls: functions that call each other may ask for exponentially many nodes.
struct Progress {
  size_t expanded = 0;  // nodes that came from functions
};

// The names of one graph, or of one call of a function, and the nodes that belong to them.
class Scope {
 public:
  Scope(const OnnxFile& file, Progress& progress, Graph& graph, const Opsets& opsets)
      : file_(file), progress_(progress), graph_(graph), opsets_(opsets) {}

  // A graph, the model's or a subgraph of a node of `around`.
  static Graph import(const OnnxFile& file, Progress& progress, const OnnxGraph& source,
                      Scope* around, std::vector<ValueId>* captured);

 private:
  // A call of a function: its body's scope, and those outputs that are inputs of it.
  struct Call {
    const OnnxNode* source;
    const OnnxFunction* function;
    std::unique_ptr<Opsets> opsets;
    std::unique_ptr<Scope> body;
    std::vector<std::pair<std::string_view, ValueId>> passed;  // input, and the value it becomes
  };

  // A new value under a name that nothing else may define.
  ValueId define(std::string_view name, std::string_view definer) {
    if (name.empty()) fail(ErrorCode::kModel, "[onnx] ", definer, " has no name");
    const ValueId id = graph_.add_value(prefix_ + std::string(name));
    bind(name, id, definer);
    return id;
  }

  void bind(std::string_view name, ValueId id, std::string_view definer) {
    if (!ids_.emplace(name, id).second)
      fail(ErrorCode::kModel, "[onnx] value '", name, "' is defined twice, the second time by ",
           definer);
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

  // The attribute itself, or that of the call which it stands for; nothing if the call leaves it
  // out.
  std::optional<WireMessage> resolve(const OnnxAttribute& attribute, const OnnxNode& node) const {
    const std::string_view name = referred_attribute(attribute.proto);
    if (name.empty()) return attribute.proto;
    if (!bindings_)
      fail(ErrorCode::kModel, "[onnx] ", describe(attribute, node), " refers to the attribute '",
           name, "' of a function, but stands outside of one");
    const auto it = bindings_->find(name);
    if (it == bindings_->end()) return std::nullopt;
    return it->second;
  }

  void add_inputs(const OnnxGraph& source);
  void add_initializers(const OnnxGraph& source);
  void add_outputs(const OnnxGraph& source);
  // Outputs first, inputs when all are known: the nodes may stand in any order.
  void add_nodes(const std::vector<OnnxNode>& nodes);
  void connect_nodes();

  void add_node(const OnnxNode& source, size_t index);
  void add_attributes(const OnnxNode& source, Node& node);
  void add_call(const OnnxNode& source, const OnnxFunction& function, size_t index);
  void connect(const OnnxNode& source, size_t node);
  void connect(Call& call);
  void import_subgraph(const OnnxNode& source, Node& node, Subgraph& subgraph);

  const OnnxFile& file_;
  Progress& progress_;
  Graph& graph_;
  const Opsets& opsets_;
  Scope* around_ = nullptr;                   // of a subgraph
  std::shared_ptr<const Bindings> bindings_;  // inside a function
  int calls_ = 0;                             // of functions around this one
  std::string prefix_;                        // of names inside a function
  std::vector<ValueId> captured_;
  std::vector<std::pair<const OnnxNode*, size_t>> nodes_;  // and their index in the graph
  std::vector<Call> bodies_;
  // Ordered, so that names chosen to collide in a hash cannot slow it down.
  std::map<std::string_view, ValueId> ids_;
};

void check_tensor_type(const OnnxValueInfo& info, const std::string& what) {
  if (info.is_other)
    fail(ErrorCode::kUnsupported, "[onnx] ", what,
         " is a sequence, map, optional or sparse tensor, which the native engine does not run. ",
         kOtherBackend);
}

// The dimension's name, or "" where what stands there does not say that two are the same: Paddle's
// exporter writes "?" for each one that it does not know, others "*", "-1" or "None".
std::string_view symbol_of(const OnnxDim& dim) {
  for (const std::string_view any : {"?", "*", "-1", "None"})
    if (dim.symbol == any) return "";
  return dim.symbol;
}

void set_dims(const OnnxValueInfo& info, const std::string& what, std::vector<int64_t>& dims,
              std::vector<std::string>& symbols) {
  std::vector<int64_t> known;
  if (info.dims.size() > static_cast<size_t>(Shape::kMaxRank))
    fail(ErrorCode::kModel, "[onnx] ", what, " has ", info.dims.size(),
         " dimensions; the limit is ", Shape::kMaxRank);
  for (const OnnxDim& dim : info.dims) {
    dims.push_back(dim.extent < 0 ? -1 : dim.extent);  // some exporters write -1 for "any"
    symbols.emplace_back(symbol_of(dim));
    if (dim.extent >= 0) known.push_back(dim.extent);
  }
  try {
    Shape{known};
  } catch (const Error& problem) {
    fail(ErrorCode::kModel, "[onnx] ", what, ": ", problem.what());
  }
}

// Optional ones at the end may be left out by an empty name or by ending the list.
void trim(std::vector<ValueId>& ids) {
  while (!ids.empty() && ids.back() == kNoValue) ids.pop_back();
}

Graph Scope::import(const OnnxFile& file, Progress& progress, const OnnxGraph& source,
                    Scope* around, std::vector<ValueId>* captured) {
  if (source.outputs.empty())
    fail(ErrorCode::kModel, "[onnx] graph '", source.name, "' has no outputs");
  Graph graph;
  graph.name = source.name;
  Scope scope(file, progress, graph, around ? around->opsets_ : file.opsets);
  scope.around_ = around;
  if (around) {
    scope.bindings_ = around->bindings_;
    scope.calls_ = around->calls_;
  }
  scope.add_inputs(source);
  scope.add_initializers(source);
  scope.add_nodes(source.nodes);
  scope.connect_nodes();
  scope.add_outputs(source);
  sort_and_prune(graph);
  if (captured) *captured = std::move(scope.captured_);
  return graph;
}

void Scope::add_inputs(const OnnxGraph& source) {
  std::map<std::string_view, bool> initialized;
  for (const OnnxInitializer& tensor : source.initializers) initialized[tensor.name] = true;
  for (const OnnxInitializer& tensor : source.sparse_initializers) initialized[tensor.name] = true;
  for (const OnnxValueInfo& info : source.inputs) {
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

void Scope::add_initializers(const OnnxGraph& source) {
  for (const OnnxInitializer& tensor : source.initializers) {
    const std::string what = cat("initializer '", tensor.name, "'");
    graph_.value(define(tensor.name, what)).constant =
        read_tensor(tensor.proto, what, file_.external);
  }
  for (const OnnxInitializer& tensor : source.sparse_initializers) {
    const std::string what = cat("initializer '", tensor.name, "'");
    graph_.value(define(tensor.name, what)).constant =
        read_sparse_tensor(tensor.proto, what, file_.external);
  }
}

void Scope::add_nodes(const std::vector<OnnxNode>& nodes) {
  for (size_t n = 0; n < nodes.size(); ++n) {
    if (const OnnxFunction* function = function_of(file_.model, nodes[n]))
      add_call(nodes[n], *function, n);
    else
      add_node(nodes[n], n);
  }
}

void Scope::connect_nodes() {
  for (const auto& [source, node] : nodes_) connect(*source, node);
  for (Call& call : bodies_) connect(call);
}

void Scope::add_node(const OnnxNode& source, size_t index) {
  if (calls_ > 0 && ++progress_.expanded > OnnxLimits::kMaxExpanded)
    fail(ErrorCode::kModel, "[onnx] the model's functions make more than ",
         OnnxLimits::kMaxExpanded, " nodes where they stand in place of their calls");
  Node node;
  node.op = registry_name(source);
  node.name =
      prefix_ + (source.name.empty() ? cat(source.op_type, "_", index) : std::string(source.name));
  const Operator& op = *operator_of(source);
  node.opset = opsets_.of(source.domain);
  if (node.opset == 0) node.opset = file_.opsets.of(source.domain);
  if (node.opset == 0 && is_default_domain(source.domain))
    fail(ErrorCode::kModel, "[", node.op, "] node '", node.name,
         "' is of the default domain, of which the model imports no opset");
  if (node.opset == 0) node.opset = 1;  // some tools forget to import com.microsoft
  if (node.opset < op.since_opset)
    fail(ErrorCode::kUnsupported, "[", node.op, "] node '", node.name,
         "' has the meaning of opset ", node.opset, "; the native engine knows it from opset ",
         op.since_opset, " on. ", how_to_convert(source.domain, op.since_opset),
         "use backend='onnxruntime' or backend='auto'");
  for (std::string_view name : source.outputs)
    node.outputs.push_back(name.empty() ? kNoValue : define(name, cat("node '", node.name, "'")));
  trim(node.outputs);
  if (node.outputs.size() > op.max_outputs)
    fail(ErrorCode::kUnsupported, "[", node.op, "] node '", node.name, "' gives ",
         node.outputs.size(), " outputs; the native engine gives ", op.max_outputs, ". ",
         kOtherBackend);
  add_attributes(source, node);
  nodes_.emplace_back(&source, graph_.nodes.size());
  graph_.nodes.push_back(std::move(node));
}

void Scope::add_attributes(const OnnxNode& source, Node& node) {
  for (const OnnxAttribute& attribute : source.attributes) {
    const std::string what =
        cat("attribute '", attribute.name, "' of node '", node.name, "' (", node.op, ")");
    const auto same_name = [&](const Subgraph& other) { return other.attribute == attribute.name; };
    if (attribute.name.empty() || node.attributes.has(std::string(attribute.name)) ||
        std::any_of(node.subgraphs.begin(), node.subgraphs.end(), same_name))
      fail(ErrorCode::kModel, "[onnx] ", what,
           attribute.name.empty() ? " has no name" : " is there twice");
    const std::optional<WireMessage> proto = resolve(attribute, source);
    if (!proto) continue;
    if (read_graph_attribute(*proto, what))
      node.subgraphs.push_back({std::string(attribute.name), nullptr, {}});  // connect() reads it
    else
      node.attributes.set(std::string(attribute.name),
                          read_attribute(*proto, what, file_.external));
  }
}

void Scope::add_call(const OnnxNode& source, const OnnxFunction& function, size_t index) {
  const std::string name =
      prefix_ + (source.name.empty() ? cat(source.op_type, "_", index) : std::string(source.name));
  const std::string what = cat("function '", function.name, "', called by node '", name, "',");
  if (calls_ >= OnnxLimits::kMaxCalls)
    fail(ErrorCode::kModel, "[onnx] ", what, " is the ", OnnxLimits::kMaxCalls,
         "th within each other: functions call themselves");
  if (source.inputs.size() > function.inputs.size() ||
      source.outputs.size() > function.outputs.size())
    fail(ErrorCode::kModel, "[onnx] ", what, " has ", function.inputs.size(), " inputs and ",
         function.outputs.size(), " outputs, the call ", source.inputs.size(), " and ",
         source.outputs.size());
  auto bindings = std::make_shared<Bindings>();
  for (const OnnxAttribute& attribute : source.attributes)
    if (const auto proto = resolve(attribute, source)) bindings->emplace(attribute.name, *proto);
  for (const OnnxAttribute& attribute : function.defaults)
    bindings->emplace(attribute.name, attribute.proto);

  Call call{&source, &function, std::make_unique<Opsets>(function.opsets), nullptr, {}};
  call.body = std::make_unique<Scope>(file_, progress_, graph_, *call.opsets);
  call.body->bindings_ = std::move(bindings);
  call.body->calls_ = calls_ + 1;
  call.body->prefix_ = name + "/";
  call.body->add_nodes(function.nodes);
  for (size_t i = 0; i < source.outputs.size(); ++i) {
    if (source.outputs[i].empty()) continue;
    const std::string_view inner = function.outputs[i];
    const auto made = call.body->ids_.find(inner);
    if (made != call.body->ids_.end()) {
      bind(source.outputs[i], made->second, what);
    } else if (std::find(function.inputs.begin(), function.inputs.end(), inner) !=
               function.inputs.end()) {
      call.passed.emplace_back(inner, define(source.outputs[i], what));
    } else {
      fail(ErrorCode::kModel, "[onnx] ", what, " does not make its output '", inner, "'");
    }
  }
  bodies_.push_back(std::move(call));
}

void Scope::connect(const OnnxNode& source, size_t index) {
  std::vector<ValueId> inputs;
  const std::string name = graph_.nodes[index].name;
  const Operator& op = *operator_of(source);
  for (std::string_view input : source.inputs) {
    const bool left_out = input.empty() || (ids_.count(input) && ids_[input] == kNoValue);
    inputs.push_back(left_out ? kNoValue : find(input));
    if (!left_out && inputs.back() == kNoValue)
      fail(ErrorCode::kModel, "[", op.name, "] node '", name, "' reads '", input,
           "', which is no input, initializer or output of a node");
  }
  trim(inputs);
  if (inputs.size() < op.min_inputs || inputs.size() > op.max_inputs)
    fail(ErrorCode::kModel, "[", op.name, "] node '", name, "' has ", inputs.size(),
         " inputs; the operator takes ", op.min_inputs, " to ", op.max_inputs);
  for (size_t i = 0; i < op.min_inputs; ++i)
    if (inputs[i] == kNoValue)
      fail(ErrorCode::kModel, "[", op.name, "] node '", name, "': input ", i,
           " is required and missing");
  Node& node = graph_.nodes[index];
  node.inputs = std::move(inputs);
  node.formal_inputs = node.inputs.size();
  for (Subgraph& subgraph : node.subgraphs) import_subgraph(source, node, subgraph);
}

// What is left out in a call is left out inside, under the name that it has there.
void Scope::connect(Call& call) {
  for (size_t i = 0; i < call.function->inputs.size(); ++i) {
    const bool given = i < call.source->inputs.size() && !call.source->inputs[i].empty();
    const ValueId id = given ? find(call.source->inputs[i]) : kNoValue;
    if (given && id == kNoValue && !ids_.count(call.source->inputs[i]))
      fail(ErrorCode::kModel, "[onnx] node '", call.source->name, "', a call of function '",
           call.function->name, "', reads '", call.source->inputs[i],
           "', which is no input, initializer or output of a node");
    call.body->bind(call.function->inputs[i], id, "an input of the function");
  }
  for (const auto& [input, id] : call.passed) {
    Node node{.op = "Identity",
              .name = graph_.value(id).name,
              .inputs = {call.body->find(input)},
              .outputs = {id},
              .attributes = {},
              .opset = kNewestOpset};
    if (node.inputs[0] == kNoValue)
      fail(ErrorCode::kModel, "[onnx] function '", call.function->name, "' gives its input '",
           input, "', which the call leaves out");
    node.formal_inputs = 1;
    graph_.nodes.push_back(std::move(node));
  }
  call.body->connect_nodes();
}

void Scope::import_subgraph(const OnnxNode& source, Node& node, Subgraph& subgraph) {
  for (const OnnxAttribute& attribute : source.attributes) {
    if (attribute.name != subgraph.attribute) continue;
    const auto proto = resolve(attribute, source);
    const OnnxGraph graph = read_graph(*read_graph_attribute(*proto, describe(attribute, source)));
    std::vector<ValueId> captured;
    subgraph.graph =
        std::make_shared<const Graph>(Scope::import(file_, progress_, graph, this, &captured));
    for (ValueId id : captured) {
      subgraph.captures.push_back(node.inputs.size());
      node.inputs.push_back(id);
    }
  }
}

void Scope::add_outputs(const OnnxGraph& source) {
  std::map<std::string_view, bool> seen;
  for (const OnnxValueInfo& info : source.outputs) {
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

}  // namespace

Graph import_graph(const OnnxFile& file) {
  Progress progress;
  return Scope::import(file, progress, *file.model.graph, nullptr, nullptr);
}

}  // namespace sanderling
