#include "bind/bind.h"
#include "bind/model.h"
#include "graph/operator.h"

namespace py = pybind11;

namespace sanderling {
namespace {

py::tuple to_tuple(const Shape& shape) {
  py::list dims;
  for (int64_t dim : shape.dims()) dims.append(dim);
  return py::tuple(dims);
}

}  // namespace

py::list describe_plan(const BoundModel& model, const std::vector<std::vector<int64_t>>& shapes) {
  const std::shared_ptr<const Graph> graph = model.imported();
  if (shapes.size() != graph->inputs.size())
    fail(ErrorCode::kInput, "[show] got ", shapes.size(), " shapes, the model has ",
         graph->inputs.size(), " inputs");
  std::vector<TensorType> types(graph->values.size());
  for (size_t id = 0; id < types.size(); ++id)
    if (graph->values[id].constant) types[id] = graph->values[id].constant->type();
  for (size_t i = 0; i < shapes.size(); ++i)
    types[static_cast<size_t>(graph->inputs[i].value)] = {graph->inputs[i].dtype, Shape(shapes[i])};

  py::list layers;
  for (const Node& node : graph->nodes) {
    const Operator* op = find_operator(node.op);
    std::vector<const TensorType*> inputs;
    size_t weight_bytes = 0;
    for (ValueId id : node.inputs) {
      inputs.push_back(id == kNoValue ? nullptr : &types[static_cast<size_t>(id)]);
      if (const Tensor* constant = graph->constant(id)) weight_bytes += constant->type().bytes();
    }
    std::vector<TensorType> outputs(node.outputs.size());
    InferContext context(*graph, node, inputs, outputs);
    infer_types(*op, context);
    py::list output_types;
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (node.outputs[i] == kNoValue) continue;
      types[static_cast<size_t>(node.outputs[i])] = outputs[i];
      output_types.append(py::make_tuple(graph->value(node.outputs[i]).name,
                                         std::string(name_of(outputs[i].dtype)),
                                         to_tuple(outputs[i].shape)));
    }
    py::dict layer;
    layer["op"] = node.op;
    layer["name"] = node.name;
    layer["outputs"] = output_types;
    layer["macs"] = op->macs ? op->macs(context, outputs[0]) : int64_t{0};
    layer["weight_bytes"] = weight_bytes;
    layers.append(layer);
  }
  return layers;
}

}  // namespace sanderling
