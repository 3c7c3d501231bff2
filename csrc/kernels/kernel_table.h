#pragma once

#include "kernels/params.h"

namespace sanderling {

// What float matrix products and convolutions multiply: both factors as they are, or rounded to
// bfloat16. Sums are float32.
enum class FloatProducts : uint8_t { kFloat32, kBFloat16 };

// The kernels of one instruction set; kernels.inc lists them, cpu/isa_unit.cc fills one table per
// line of cpu/isas.inc.
struct KernelTable {
  const char* isa;
  FloatProducts float_products;  // of gemm_f32
#define KERNEL(name, result, parameters) result(*name) parameters;
#include "kernels/kernels.inc"
#undef KERNEL
};

}  // namespace sanderling
