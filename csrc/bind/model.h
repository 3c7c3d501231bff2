#pragma once

#include <pybind11/pybind11.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "graph/graph.h"
#include "plan/program.h"

namespace sanderling {

// A model as Python holds it: imported once, lowered once per instruction set, shared by its
// sessions. Thread-safe.
class BoundModel {
 public:
  explicit BoundModel(Graph imported)
      : imported_(std::make_shared<const Graph>(std::move(imported))) {}

  std::shared_ptr<const Graph> imported() const;
  // Lowers it if nothing did so before.
  std::shared_ptr<const CompiledModel> compiled(const KernelTable& kernels, bool reference) const;

 private:
  mutable ForkMutex mutex_{"model"};
  std::shared_ptr<const Graph> imported_;
  // By table and whether by reference functions.
  mutable std::map<std::pair<const KernelTable*, bool>, std::shared_ptr<const CompiledModel>>
      compiled_;
};

std::shared_ptr<BoundModel> import_bytes(const pybind11::bytes& data,
                                         const std::string& folder = "");

// (name, dtype, shape) of each input and output; None where the file does not say.
pybind11::list describe_inputs(const Graph& graph);
pybind11::list describe_outputs(const Graph& graph);
// The model's own nodes, inferred for these input shapes, as a list of dicts.
pybind11::list describe_plan(const BoundModel& model,
                             const std::vector<std::vector<int64_t>>& shapes);

}  // namespace sanderling
