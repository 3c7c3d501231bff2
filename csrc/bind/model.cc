#include "bind/model.h"

#include <pybind11/stl.h>

#include "bind/bind.h"
#include "bind/gil.h"
#include "bind/plan.h"
#include "graph/operator.h"
#include "graph/passes/passes.h"
#include "kernels/table.h"
#include "onnx/import.h"

namespace py = pybind11;

namespace sanderling {
namespace {

py::tuple dims_tuple(const std::vector<int64_t>& dims, const std::vector<std::string>& symbols) {
  py::list list;
  for (size_t d = 0; d < dims.size(); ++d) {
    if (dims[d] >= 0)
      list.append(dims[d]);
    else if (symbols[d].empty())
      list.append(py::none());
    else
      list.append(symbols[d]);
  }
  return py::tuple(list);
}

}  // namespace

py::list describe_inputs(const Graph& graph) {
  py::list list;
  for (const GraphInput& input : graph.inputs)
    list.append(py::make_tuple(graph.value(input.value).name, std::string(name_of(input.dtype)),
                               dims_tuple(input.dims, input.symbols)));
  return list;
}

py::list describe_outputs(const Graph& graph) {
  py::list list;
  for (const GraphOutput& output : graph.outputs) {
    py::object dtype = py::none(), shape = py::none();
    if (output.dtype) dtype = py::str(std::string(name_of(*output.dtype)));
    if (output.dims) shape = dims_tuple(*output.dims, output.symbols);
    list.append(py::make_tuple(output.name, dtype, shape));
  }
  return list;
}

std::shared_ptr<BoundModel> import_bytes(const py::bytes& data, const std::string& folder) {
  const std::string_view view = data;
  const ExternalData external = folder.empty() ? ExternalData() : ExternalData(folder);
  const WithoutGil release;
  return std::make_shared<BoundModel>(
      import_model(std::as_bytes(std::span(view.data(), view.size())), external));
}

std::shared_ptr<const Graph> BoundModel::imported() const {
  const std::lock_guard lock(mutex_);
  return imported_;
}

std::shared_ptr<const CompiledModel> BoundModel::compiled(const KernelTable& kernels,
                                                          bool reference) const {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<const CompiledModel>& entry = compiled_[{&kernels, reference}];
  if (!entry) {
    Graph graph = *imported_;
    lower(graph);
    entry = std::make_shared<const CompiledModel>(std::move(graph), kernels, reference);
  }
  return entry;
}

void bind_model(py::module_& m) {
  py::class_<BoundModel, std::shared_ptr<BoundModel>>(m, "Model")
      .def(py::init(&import_bytes), py::arg("data"), py::arg("folder") = "",
           "folder: where the model's file is, for tensors whose data lies in files beside it.")
      .def_property_readonly(
          "inputs", [](const BoundModel& model) { return describe_inputs(*model.imported()); })
      .def_property_readonly(
          "outputs", [](const BoundModel& model) { return describe_outputs(*model.imported()); })
      .def_property_readonly("info",
                             [](const BoundModel& model) {
                               const ModelInfo& info = model.imported()->info;
                               py::dict dict;
                               dict["producer"] =
                                   info.producer_version.empty()
                                       ? info.producer_name
                                       : cat(info.producer_name, " ", info.producer_version);
                               dict["ir_version"] = info.ir_version;
                               dict["opset"] = info.opset;
                               dict["metadata"] = info.metadata;
                               return dict;
                             })
      .def_property_readonly("operators",
                             [](const BoundModel& model) {
                               std::map<std::string, int> counts;
                               for (const Node& node : model.imported()->nodes) ++counts[node.op];
                               return counts;
                             })
      .def(
          "compile",
          [](const BoundModel& model, const std::string& isa, const std::string& float_products) {
            const WithoutGil released;
            const KernelTable& kernels =
                with_float_products(table_named(isa), float_products_named(float_products));
            return BoundPlan{model.compiled(kernels, /*reference=*/false)};
          },
          py::arg("isa"), py::arg("float_products") = "float32",
          "The model's one plan for this ISA and these float products ('float32' or 'bfloat16'), "
          "made if it is not there.")
      .def(
          "plan",
          [](const BoundModel& model, const std::vector<std::vector<int64_t>>& shapes) {
            return describe_plan(model, shapes);
          },
          py::arg("shapes"),
          "The model's own nodes for these input shapes: a list of dicts with op, name, outputs, "
          "macs, weight_bytes.");
  m.def("built_isas", &built_isas);
  m.def("runnable_isas", [] {
    std::vector<std::string> names;
    for (const KernelTable* table : runnable_tables()) names.emplace_back(table->isa);
    return names;
  });
  m.def(
      "float_products",
      [](const std::string& isa) {
        std::vector<std::string_view> names = {name_of(FloatProducts::kFloat32)};
        if (table_named(isa).gemm_bf16 != nullptr)
          names.push_back(name_of(FloatProducts::kBFloat16));
        return names;
      },
      py::arg("isa"), "The float products that a runnable ISA has.");
  m.def(
      "default_isa", [] { return std::string(default_table().isa); },
      "The ISA that a new session uses: the fastest runnable one, or the one that SANDERLING_ISA "
      "names.");
}

}  // namespace sanderling
