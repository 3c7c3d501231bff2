// What readers of ensembles (ensemble.h) share: the file ensemble.cc and tree_ensemble's reader.
#pragma once

#include <string>

#include "ops/ai_onnx_ml/ensemble.h"

namespace sanderling {

// A tensor attribute of numbers as doubles, in order; empty if the node has none.
std::vector<double> tensor_numbers(const InferContext& context, const std::string& name);
// Fails unless a list has `expected` entries.
void check_length(const InferContext& context, const std::string& name, size_t length,
                  size_t expected);
// Fails if a walk from a root could come back to where it was; sets ensemble.features.
void check_branches(const InferContext& context, Ensemble& ensemble);

}  // namespace sanderling
