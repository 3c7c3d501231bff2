#include "bind/plan.h"

#include <pybind11/stl.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <system_error>

#include "bind/bind.h"
#include "bind/build_id.h"
#include "bind/gil.h"
#include "bind/model.h"
#include "core/mapped_file.h"
#include "kernels/table.h"
#include "plan/plan_file.h"

namespace py = pybind11;

namespace sanderling {
namespace {

PlanKey to_key(const py::bytes& key) {
  const std::string_view given = key;
  PlanKey result;
  if (given.size() != result.size())
    fail(ErrorCode::kInput, "[plan] the key has ", given.size(), " bytes, expected ",
         result.size());
  std::memcpy(result.data(), given.data(), given.size());
  return result;
}

void write_all(int descriptor, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw std::system_error(errno, std::generic_category());
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
}

void write(const BoundPlan& plan, int descriptor, const py::bytes& key) {
  const PlanKey plan_key = to_key(key);
  int reason = 0;
  {
    const WithoutGil released;
    try {
      write_plan(*plan.model, plan_key, [&](auto bytes) { write_all(descriptor, bytes); });
    } catch (const std::system_error& error) {
      reason = error.code().value();
    }
  }
  if (reason == 0) return;
  errno = reason;
  PyErr_SetFromErrno(PyExc_OSError);
  throw py::error_already_set();
}

std::optional<BoundPlan> read(int descriptor, const py::bytes& key, const std::string& isa,
                              const std::string& float_products) {
  const PlanKey plan_key = to_key(key);
  const WithoutGil released;
  const auto file = MappedFile::of(descriptor);
  if (!file) return std::nullopt;
  const KernelTable& kernels =
      with_float_products(table_named(isa), float_products_named(float_products));
  auto model = read_plan(file->bytes(), file, plan_key, kernels);
  if (!model) return std::nullopt;
  return BoundPlan{std::move(model)};
}

}  // namespace

void bind_plan(py::module_& m) {
  py::class_<BoundPlan>(m, "Plan", "A model compiled for one instruction set.")
      .def_property_readonly(
          "inputs", [](const BoundPlan& plan) { return describe_inputs(plan.model->graph()); })
      .def_property_readonly(
          "outputs", [](const BoundPlan& plan) { return describe_outputs(plan.model->graph()); })
      .def_property_readonly(
          "has_made_tensors", [](const BoundPlan& plan) { return plan.model->has_made_tensors(); },
          "Whether sessions have packed weights that were not in the file it was read from.")
      .def("write", &write, py::arg("descriptor"), py::arg("key"),
           "Writes the plan's file. Raises OSError.")
      .def_static("read", &read, py::arg("descriptor"), py::arg("key"), py::arg("isa"),
                  py::arg("float_products") = "float32",
                  "The plan in an open file, which is mapped; None if the file is not the plan of "
                  "this key, ISA and float products, or is damaged.");
  m.def("build_id", &build_id, "The linker's hash of this module; '' if it has none.");
}

}  // namespace sanderling
