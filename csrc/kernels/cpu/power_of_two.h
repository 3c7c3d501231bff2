// x * 2^n, for units that have no instruction for it. They include this after their lanes.
#pragma once

#include "kernels/cpu/whole.h"

namespace sanderling::SANDERLING_ISA_NAME {
namespace {

// x * 2^n for whole n in [-252, 254], in two steps, as 2^n may be no normal float: the result is
// rounded once where |x| is near 1.
inline F times_power_of_two(F x, F n) {
  const F half = sub(multiply_add(n, splat(0.5f), splat(kWhole)), splat(kWhole));
  const F biased = splat(kWhole + 127.0f);
  const F first = float_of(shift_left<23>(bits_of(add(half, biased))));
  return mul(mul(x, first), float_of(shift_left<23>(bits_of(add(sub(n, half), biased)))));
}

}  // namespace
}  // namespace sanderling::SANDERLING_ISA_NAME
