#include <algorithm>

#include "bind/bind.h"
#include "bind/model.h"
#include "graph/operator.h"
#include "graph/type_inference.h"

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
  TypeInference types(*graph);
  for (size_t i = 0; i < shapes.size(); ++i)
    types.set_type(graph->inputs[i].value, {graph->inputs[i].dtype, Shape(shapes[i])});

  py::list layers;
  for (const Node& node : graph->nodes) {
    const Operator* op = find_operator(node.op);
    const bool has_types = std::all_of(node.inputs.begin(), node.inputs.end(), [&](ValueId id) {
      return id == kNoValue || types.has_type(id);
    });
    try {
      if (has_types) types.infer(node);
    } catch (const NeedsValue&) {
      // Known only when the model runs, and so is what follows.
    }
    const bool known = std::all_of(node.outputs.begin(), node.outputs.end(), [&](ValueId id) {
      return id == kNoValue || types.has_type(id);
    });
    size_t weight_bytes = 0;
    for (ValueId id : node.inputs)
      if (const Tensor* constant = graph->constant(id)) weight_bytes += constant->type().bytes();
    std::vector<TensorType> outputs;
    py::list output_types;
    for (ValueId id : node.outputs) {
      outputs.push_back(id == kNoValue || !known ? TensorType{} : types.type(id));
      if (id == kNoValue) continue;
      if (!known) {
        output_types.append(py::make_tuple(graph->value(id).name, py::none(), py::none()));
        continue;
      }
      output_types.append(py::make_tuple(graph->value(id).name,
                                         std::string(name_of(outputs.back().dtype)),
                                         to_tuple(outputs.back().shape)));
    }
    const TypeInference::Inputs inputs = known ? types.inputs_of(node) : TypeInference::Inputs{};
    const InferContext context({*graph, node, inputs.types, inputs.data, outputs});
    py::dict layer;
    layer["op"] = node.op;
    layer["name"] = node.name;
    layer["outputs"] = output_types;
    layer["macs"] = op->macs && known ? op->macs(context, outputs[0]) : int64_t{0};
    layer["weight_bytes"] = weight_bytes;
    layers.append(layer);
  }
  return layers;
}

}  // namespace sanderling
