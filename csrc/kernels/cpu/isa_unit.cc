// Compiled once per instruction set (isas.inc) with that set's flags. Whatever this unit emits
// apart from `table` must be static: the linker keeps one copy of a shared inline function, and it
// may be the one that the host cannot run. For the same reason no header of the standard library
// with code in it (<vector>, <algorithm>) may be included here or in cpu/.
#include SANDERLING_SIMD_HEADER

#include "kernels/cpu/elementwise.h"
#include "kernels/cpu/gemm_tiles.h"
#include "kernels/cpu/softmax.h"
#include "kernels/kernel_table.h"

#define SANDERLING_TEXT_OF(x) #x
#define SANDERLING_TEXT(x) SANDERLING_TEXT_OF(x)

namespace sanderling::SANDERLING_ISA_NAME {

#include "kernel_bodies.inc"

extern const KernelTable table;
const KernelTable table = {
    SANDERLING_TEXT(SANDERLING_ISA_NAME),
    FloatProducts::kFloat32,
#define KERNEL(name, result, parameters) name,
#include "kernels/kernels.inc"
#undef KERNEL
};

}  // namespace sanderling::SANDERLING_ISA_NAME
