#pragma once

#include "graph/type_inference.h"

namespace sanderling {

// What types a graph's values would have if its inputs' dynamic extents were these. No pass may
// rely on them: they tell what is likely.
struct TrialTypes {
  TypeInference types;
  bool complete;  // whether every value has a type
};

// `batch` is for the first extent of an input, `extent` for all others, where they are dynamic.
TrialTypes infer_trial_types(const Graph& graph, int64_t batch, int64_t extent);

}  // namespace sanderling
