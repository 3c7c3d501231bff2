// What And, Or and Xor share.
#pragma once

#include "ops/pairs.h"

namespace sanderling {

inline void infer_logical(InferContext& context) {
  for (size_t i = 0; i < 2; ++i)
    if (context.input(i).dtype != DType::kBool)
      context.error("input ", i, " is ", name_of(context.input(i).dtype),
                    ", expected bool. Cast it in the model");
  context.set_output(0, DType::kBool, broadcast_inputs(context));
}

// Combine is std::bit_and<> or one of its like: of bools it branches no more than of integers.
template <typename Combine>
bool combine(bool a, bool b) {
  return static_cast<bool>(Combine{}(static_cast<int>(a), static_cast<int>(b)));
}

template <typename Combine>
void reference_logical(const ReferenceContext& context) {
  reference_pairs<bool, bool, bool>(context, combine<Combine>);
}

template <typename Combine>
void plan_logical(PlanContext& context) {
  emit_pairs<bool, bool, bool>(context, [](bool a, bool b) { return combine<Combine>(a, b); });
}

}  // namespace sanderling
