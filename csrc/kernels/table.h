#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernels/params.h"

namespace sanderling {

// The kernels of one instruction set; kernels.inc lists them, cpu/isa_unit.cc fills one table per line of cpu/isas.inc.
struct KernelTable {
  const char* isa;
#define KERNEL(name, result, parameters) result(*name) parameters;
#include "kernels/kernels.inc"
#undef KERNEL
};

// The tables that this build has and this CPU runs, slowest first; "scalar" always leads.
const std::vector<const KernelTable*>& runnable_tables();
std::vector<std::string_view> built_isas();

// The fastest runnable table, or the one that SANDERLING_ISA names. Throws kUnsupported, naming those there are, if that one
// is not built or not runnable here. Called when a session is made, never in a loop.
const KernelTable& default_table();
const KernelTable& table_named(std::string_view isa);

}  // namespace sanderling
