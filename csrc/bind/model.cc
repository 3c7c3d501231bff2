#include <pybind11/stl.h>

#include "bind/bind.h"
#include "bind/model.h"
#include "core/mapped_file.h"
#include "graph/operator.h"
#include "graph/passes/passes.h"
#include "kernels/table.h"
#include "onnx/import.h"

namespace py = pybind11;

namespace sanderling {
namespace {

py::list describe_inputs(const Graph& graph) {
  py::list list;
  for (const GraphInput& input : graph.inputs) {
    py::list dims;
    for (size_t d = 0; d < input.dims.size(); ++d) {
      if (input.dims[d] >= 0)
        dims.append(input.dims[d]);
      else if (input.symbols[d].empty())
        dims.append(py::none());
      else
        dims.append(input.symbols[d]);
    }
    list.append(py::make_tuple(graph.value(input.value).name, std::string(name_of(input.dtype)), py::tuple(dims)));
  }
  return list;
}

}  // namespace

std::shared_ptr<const Graph> BoundModel::imported() const {
  const std::lock_guard lock(mutex_);
  return imported_;
}

std::shared_ptr<const CompiledModel> BoundModel::compiled(const KernelTable& kernels, bool reference) const {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<const CompiledModel>& entry = compiled_[{kernels.isa, reference}];
  if (!entry) {
    Graph graph = *imported_;
    lower(graph);
    entry = std::make_shared<const CompiledModel>(std::move(graph), kernels, reference);
  }
  return entry;
}

void bind_model(py::module_& m) {
  py::class_<BoundModel, std::shared_ptr<BoundModel>>(m, "Model")
      .def(py::init([](const py::bytes& bytes) {
             const std::string_view view = bytes;
             py::gil_scoped_release release;
             return std::make_shared<BoundModel>(
                 import_model(std::as_bytes(std::span(view.data(), view.size()))));
           }),
           py::arg("data"))
      .def_property_readonly("inputs", [](const BoundModel& model) { return describe_inputs(*model.imported()); })
      .def_property_readonly("output_names",
                             [](const BoundModel& model) {
                               std::vector<std::string> names;
                               for (const auto& output : model.imported()->outputs) names.push_back(output.name);
                               return names;
                             })
      .def_property_readonly("operators",
                             [](const BoundModel& model) {
                               std::map<std::string, int> counts;
                               for (const Node& node : model.imported()->nodes) ++counts[node.op];
                               return counts;
                             })
      .def("plan",
           [](const BoundModel& model, const std::vector<std::vector<int64_t>>& shapes) {
             return describe_plan(model, shapes);
           },
           py::arg("shapes"),
           "The model's own nodes for these input shapes: a list of dicts with op, name, outputs, macs, weight_bytes.");
  m.def("operator_names", &operator_names);
  m.def("built_isas", &built_isas);
  m.def("runnable_isas", [] {
    std::vector<std::string> names;
    for (const KernelTable* table : runnable_tables()) names.emplace_back(table->isa);
    return names;
  });
  m.def("default_isa", [] { return std::string(default_table().isa); },
        "The ISA that a new session uses: the fastest runnable one, or the one that SANDERLING_ISA names.");
}

}  // namespace sanderling
