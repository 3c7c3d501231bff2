#pragma once

#include <string_view>
#include <vector>

#include "kernels/kernel_table.h"

namespace sanderling {

// The tables that this build has and this CPU runs, slowest first; "scalar" always leads.
const std::vector<const KernelTable*>& runnable_tables();
std::vector<std::string_view> built_isas();

// The fastest runnable table, or the one that SANDERLING_ISA names. Throws kUnsupported, naming
// those there are, if that one is not known, not built or not runnable here. Called when a session
// is made, never in a loop.
const KernelTable& default_table();
const KernelTable& table_named(std::string_view isa);

// "float32", "bfloat16".
std::string_view name_of(FloatProducts products);
// Throws kInput for another name.
FloatProducts float_products_named(std::string_view name);
// The same kernels with these float products: one table for each pair. Throws kUnsupported, naming
// what runs here, if this instruction set has none.
const KernelTable& with_float_products(const KernelTable& table, FloatProducts products);

}  // namespace sanderling
