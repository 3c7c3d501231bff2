// An einsum equation with what it says about the operands of one node.
#pragma once

#include <vector>

#include "graph/operator.h"

namespace sanderling {

// Indices are small numbers: letters, then the axes that "..." stands for.
using EinsumIndices = std::vector<int>;

struct EinsumEquation {
  std::vector<EinsumIndices> operands;  // per axis
  EinsumIndices output;
  EinsumIndices summed;          // those that are not in the output
  std::vector<int64_t> extents;  // by index; 1 for those that do not occur

  int64_t extent(int index) const { return extents[static_cast<size_t>(index)]; }
  int64_t elements(const EinsumIndices& indices) const;
  // The elements that one step along an index moves within an operand: along several axes where it
  // has the index more than once, along none where the operand is repeated.
  int64_t stride(const Shape& shape, size_t operand, int index) const;
  Shape output_shape(const InferContext& context) const;
};

// Fails where the equation is none, or does not fit the operands.
EinsumEquation einsum_equation(const InferContext& context);

}  // namespace sanderling
