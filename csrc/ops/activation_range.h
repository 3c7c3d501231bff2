#pragma once

#include "graph/activation_range.h"
#include "graph/operator.h"

namespace sanderling {

inline ActivationRange activation_range(const InferContext& context) {
  const ActivationRange all;
  return {context.attributes().number("low", all.low),
          context.attributes().number("high", all.high)};
}

}  // namespace sanderling
