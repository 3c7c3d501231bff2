#include <stdlib.h>

#include <algorithm>
#include <string>

#include "core/error.h"
#include "kernels/table.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace sanderling {

#define ISA(name)                 \
  namespace name {                \
  extern const KernelTable table; \
  }
#include "built_isas.inc"
#undef ISA

namespace {

constexpr std::string_view kKnown[] = {
#define ISA(name, processor, flags) #name,
#include "kernels/cpu/isas.inc"
#undef ISA
};

const std::vector<const KernelTable*>& built_tables() {
  static const std::vector<const KernelTable*> tables = {
#define ISA(name) &name::table,
#include "built_isas.inc"
#undef ISA
  };
  return tables;
}

#if defined(__x86_64__)
// A bit of EAX of CPUID leaf 7, subleaf 1: compilers do not know all of their names.
bool has_leaf_7_1(int bit) {
  unsigned eax, ebx, ecx, edx;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax >> bit & 1) != 0;
}
constexpr int kAvxVnni = 4;
constexpr int kAvx512BF16 = 5;
#endif

// What this CPU, and the operating system's saving of registers (XCR0), allow.
bool can_run(std::string_view isa) {
  if (isa == "scalar") return true;
#if defined(__x86_64__)
  const auto has_avx2 = [] {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  };
  if (isa == "sse41") return __builtin_cpu_supports("sse4.1");
  if (isa == "avx2") return has_avx2();
  if (isa == "avx_vnni") return has_avx2() && has_leaf_7_1(kAvxVnni);
  const auto has_avx512_vnni = [] {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
  };
  if (isa == "avx512_vnni") return has_avx512_vnni();
  if (isa == "avx512_bf16") return has_avx512_vnni() && has_leaf_7_1(kAvx512BF16);
#elif defined(__aarch64__)
  constexpr unsigned long kI8mm = 1UL << 13;  // HWCAP2_I8MM, which headers before Linux 5.10 lack
  if (isa == "neon") return (getauxval(AT_HWCAP) & HWCAP_ASIMD) != 0;
  if (isa == "neon_dotprod") return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
  if (isa == "neon_i8mm") {
    return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0 && (getauxval(AT_HWCAP2) & kI8mm) != 0;
  }
#endif
  return false;
}

template <typename Names>
std::string joined(const Names& names) {
  std::string text;
  for (const std::string_view name : names) {
    if (!text.empty()) text += ", ";
    text += name;
  }
  return text;
}

std::vector<std::string_view> names_of(const std::vector<const KernelTable*>& tables) {
  std::vector<std::string_view> names;
  for (const KernelTable* table : tables) names.emplace_back(table->isa);
  return names;
}

// The runnable tables that have bfloat16 products, with these in the place of float32's.
const std::vector<KernelTable>& bfloat16_tables() {
  static const std::vector<KernelTable> tables = [] {
    std::vector<KernelTable> found;
    for (const KernelTable* table : runnable_tables()) {
      if (table->gemm_bf16 == nullptr) continue;
      KernelTable copy = *table;
      copy.float_products = FloatProducts::kBFloat16;
      copy.packed_bytes_f32 = copy.packed_bytes_bf16;
      copy.pack_f32 = copy.pack_bf16;
      copy.gemm_f32 = copy.gemm_bf16;
      found.push_back(copy);
    }
    return found;
  }();
  return tables;
}

template <typename Names>
bool contains(const Names& names, std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

}  // namespace

const std::vector<const KernelTable*>& runnable_tables() {
  static const std::vector<const KernelTable*> tables = [] {
    std::vector<const KernelTable*> runnable;
    for (const KernelTable* table : built_tables()) {
      if (can_run(table->isa)) runnable.push_back(table);
    }
    return runnable;
  }();
  return tables;
}

std::vector<std::string_view> built_isas() { return names_of(built_tables()); }

const KernelTable& table_named(std::string_view isa) {
  for (const KernelTable* table : runnable_tables()) {
    if (table->isa == isa) return *table;
  }
  const std::string runnable = joined(names_of(runnable_tables()));
  if (!contains(kKnown, isa)) {
    fail(ErrorCode::kUnsupported, "[kernels] '", isa,
         "' is not an instruction set that Sanderling knows (", joined(kKnown),
         "). Name one that runs here: ", runnable, "; or unset SANDERLING_ISA for the fastest.");
  }
  if (!contains(built_isas(), isa)) {
    fail(ErrorCode::kUnsupported, "[kernels] ", isa,
         " is for another processor and not in this build (built: ", joined(built_isas()),
         "). Name one that runs here: ", runnable, "; or unset SANDERLING_ISA for the fastest.");
  }
  fail(ErrorCode::kUnsupported, "[kernels] ", isa,
       " is in this build, but this CPU or operating system does not run it. ",
       "Name one that runs here: ", runnable, "; or unset SANDERLING_ISA for the fastest.");
}

const KernelTable& default_table() {
  const char* wanted = getenv("SANDERLING_ISA");
  if (wanted != nullptr && wanted[0] != '\0') return table_named(wanted);
  return *runnable_tables().back();
}

std::string_view name_of(FloatProducts products) {
  return products == FloatProducts::kFloat32 ? "float32" : "bfloat16";
}

FloatProducts float_products_named(std::string_view name) {
  for (const FloatProducts products : {FloatProducts::kFloat32, FloatProducts::kBFloat16}) {
    if (name == name_of(products)) return products;
  }
  fail(ErrorCode::kInput, "[kernels] float_products is '", name,
       "', expected 'float32' or 'bfloat16'");
}

const KernelTable& with_float_products(const KernelTable& table, FloatProducts products) {
  if (products == table.float_products) return table;
  if (products == FloatProducts::kFloat32) return table_named(table.isa);
  for (const KernelTable& other : bfloat16_tables()) {
    if (other.isa == std::string_view(table.isa)) return other;
  }
  std::vector<std::string_view> have;
  for (const KernelTable& other : bfloat16_tables()) have.emplace_back(other.isa);
  fail(ErrorCode::kUnsupported, "[kernels] ", table.isa,
       " has no bfloat16 products. Leave float_products at 'float32'",
       have.empty() ? ": this CPU has none (it runs " + joined(names_of(runnable_tables())) + ")."
                    : ", or name with SANDERLING_ISA one that has them: " + joined(have) + ".");
}

}  // namespace sanderling
