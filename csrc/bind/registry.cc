#include <pybind11/stl.h>

#include "bind/bind.h"
#include "graph/operator.h"
#include "onnx/import.h"

namespace py = pybind11;

namespace sanderling {
namespace {

// (name, first opset, tier) of each operator that files may name. Tier 1 has kernels or moves
// nothing, tier 2 runs by its reference function.
py::list operators() {
  py::list list;
  for (std::string_view name : operator_names()) {
    const Operator& op = *find_operator(name);
    if (op.since_opset == 0) continue;
    const bool fast = op.plan || op.view || op.from_types;
    list.append(py::make_tuple(std::string(name), op.since_opset, fast ? 1 : 2));
  }
  return list;
}

}  // namespace

void bind_registry(py::module_& m) {
  m.def("operator_names", &operator_names, "All operators, the engine's own included.");
  m.def("operators", &operators,
        "(name, first opset, tier) of each operator that files may name, sorted by name.");
  m.def(
      "opsets", [] { return std::pair(kOldestOpset, kNewestOpset); },
      "The oldest and the newest opset of the default domain that are read.");
}

}  // namespace sanderling
