#pragma once

#include <pybind11/numpy.h>

#include <optional>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

#include "exec/input_check.h"

namespace sanderling {

// (name, dtype, shape) as Python's TensorSpec has them.
using BoundSpec = std::tuple<std::string, std::string,
                             std::vector<std::optional<std::variant<int64_t, std::string>>>>;

// Throws kUnsupported for a dtype that tensors of the engine cannot have.
InputCheck make_input_check(const std::vector<BoundSpec>& specs);

// Borrowed views of one array per input; kInput for another number, a dtype that the engine does
// not have, or an array that is not C-contiguous and aligned.
std::vector<TensorView> input_views(const InputCheck& check,
                                    const std::vector<pybind11::array>& arrays);

}  // namespace sanderling
