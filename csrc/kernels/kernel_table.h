#pragma once

#include "kernels/params.h"

namespace sanderling {

// The kernels of one instruction set; kernels.inc lists them, cpu/isa_unit.cc fills one table per
// line of cpu/isas.inc.
struct KernelTable {
  const char* isa;
#define KERNEL(name, result, parameters) result(*name) parameters;
#include "kernels/kernels.inc"
#undef KERNEL
};

}  // namespace sanderling
