#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/tensor.h"
#include "graph/graph.h"

namespace sanderling {

struct KernelTable;

// What a model expects of one input.
struct InputSpec {
  std::string name;
  DType dtype = DType::kFloat32;
  std::vector<int64_t> dims;         // -1 where the extent is chosen at run time
  std::vector<std::string> symbols;  // per dimension, "" where it has no name
  bool takes_nan = false;            // a NaN there cannot be overlooked in the answer
};

// Whether arrays fit a model, in the same words for every backend. Immutable.
class InputCheck {
 public:
  InputCheck(std::vector<InputSpec> specs, const KernelTable& kernels);
  InputCheck(const Graph& graph, const KernelTable& kernels);

  const std::vector<InputSpec>& specs() const { return specs_; }
  std::string expected(size_t input) const;  // "float32[N, 3, 32, 32]"
  // Throws kInput when the number of inputs, a dtype, a rank or a fixed extent differs, one symbol
  // has two extents, or an input has no rows: axis 0 is chosen at run time and is 0. A list of
  // integers (rank 1: axes, sizes, indices) may have none, and gives what its readers make of it.
  void check_types(std::span<const TensorView> inputs) const;
  // Throws kInput when axis 0 of an input is 0, for who needs rows of a list too.
  void require_rows(size_t input, const TensorType& type) const;
  // Throws kInput when a float input has NaN that it does not take. The types must be right.
  void check_values(std::span<const TensorView> inputs) const;
  bool has_nan(std::span<const TensorView> inputs) const;

 private:
  // A dimension whose symbol stands at another one before it.
  struct SameExtent {
    size_t input, dim;
    size_t first_input, first_dim;
  };

  void check_symbols(std::span<const TensorView> inputs) const;
  int64_t count_nan(const TensorView& input) const;

  std::vector<InputSpec> specs_;
  std::vector<SameExtent> same_extents_;
  const KernelTable& kernels_;
};

}  // namespace sanderling
