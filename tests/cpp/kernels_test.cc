// Every kernel of every table that runs here, and dispatch. `kernels_test [SEEDS]` (default 3)
// repeats it with other numbers.
#include "kernels_test.h"

#include <stdlib.h>

#include <algorithm>

#include "kernels/table.h"

#if defined(SANDERLING_TEST_EMULATED)
#define ISA(name)                         \
  namespace sanderling::name##_emulated { \
    extern const KernelTable table;       \
  }
#include "emulated_isas.inc"
#undef ISA
#endif

namespace sanderling::test {
namespace {

constexpr const char* kKnownIsas[] = {
#define ISA(name, processor, flags) #name,
#include "kernels/cpu/isas.inc"
#undef ISA
};
constexpr const char* kKernels[] = {
#define KERNEL(name, result, parameters) #name,
#include "kernels/kernels.inc"
#undef KERNEL
};

std::vector<KernelTest> all_tests() {
  std::vector<KernelTest> all = product_tests();
  for (const auto& more : {code_tests(), float_tests(), function_tests()})
    all.insert(all.end(), more.begin(), more.end());
  return all;
}

void every_kernel_has_a_test() {
  std::string tested = " ";
  for (const KernelTest& test : all_tests()) tested += cat(test.kernels, " ");
  for (const char* kernel : kKernels) {
    CHECK(tested.find(cat(" ", kernel, " ")) != std::string::npos, "no test of ", kernel);
  }
}

// The message of the Error that `body` must throw.
template <typename Body>
std::string refusal_of(const Body& body, ErrorCode code = ErrorCode::kUnsupported) {
  try {
    body();
  } catch (const Error& error) {
    CHECK(error.code() == code, "wrong code: ", error.what());
    return error.what();
  }
  CHECK(false, "nothing was thrown");
  return "";
}

bool names(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

void dispatch() {
  const auto& runnable = runnable_tables();
  const std::vector<std::string_view> built = built_isas();
  CHECK(!runnable.empty() && runnable[0]->isa == std::string_view("scalar"),
        "scalar does not lead");
  for (const KernelTable* table : runnable) {
    CHECK(std::find(built.begin(), built.end(), table->isa) != built.end(), table->isa);
    CHECK(&table_named(table->isa) == table, table->isa);
    setenv("SANDERLING_ISA", table->isa, 1);
    CHECK(&default_table() == table, "SANDERLING_ISA=", table->isa, " gave ", default_table().isa);
  }
  setenv("SANDERLING_ISA", "", 1);
  CHECK(&default_table() == runnable.back(), "an empty SANDERLING_ISA gave ", default_table().isa);
  unsetenv("SANDERLING_ISA");
  CHECK(&default_table() == runnable.back(), "the default is ", default_table().isa);

  setenv("SANDERLING_ISA", "sse9", 1);
  const std::string unknown = refusal_of([] { default_table(); });
  unsetenv("SANDERLING_ISA");
  CHECK(names(unknown, "'sse9'") && names(unknown, "knows (scalar, "), unknown);
  for (const KernelTable* table : runnable) CHECK(names(unknown, table->isa), unknown);
  for (const std::string_view isa : kKnownIsas) {
    const bool is_built = std::find(built.begin(), built.end(), isa) != built.end();
    const bool runs = std::any_of(runnable.begin(), runnable.end(),
                                  [&](auto* table) { return table->isa == isa; });
    if (runs) continue;
    const std::string text = refusal_of([&] { table_named(isa); });
    CHECK(names(text, is_built ? "does not run it" : "not in this build") && names(text, "scalar"),
          text);
  }
}

void float_products() {
  CHECK(float_products_named("float32") == FloatProducts::kFloat32, "float32");
  CHECK(float_products_named("bfloat16") == FloatProducts::kBFloat16, "bfloat16");
  const std::string unknown =
      refusal_of([] { float_products_named("float16"); }, ErrorCode::kInput);
  CHECK(names(unknown, "'float16'") && names(unknown, "'bfloat16'"), unknown);
  for (const KernelTable* table : runnable_tables()) {
    CHECK(&with_float_products(*table, FloatProducts::kFloat32) == table, table->isa);
    if (table->gemm_bf16 == nullptr) {
      const std::string text =
          refusal_of([&] { with_float_products(*table, FloatProducts::kBFloat16); });
      CHECK(names(text, cat(table->isa, " has no bfloat16 products")), text);
      continue;
    }
    const KernelTable& rounding = with_float_products(*table, FloatProducts::kBFloat16);
    CHECK(rounding.gemm_f32 == table->gemm_bf16 && rounding.pack_f32 == table->pack_bf16,
          table->isa);
    CHECK(rounding.isa == std::string_view(table->isa), rounding.isa);
    CHECK(&with_float_products(rounding, FloatProducts::kBFloat16) == &rounding, table->isa);
    CHECK(&with_float_products(rounding, FloatProducts::kFloat32) == table, table->isa);
  }
  const auto& runnable = runnable_tables();
  const bool has_unit = std::any_of(runnable.begin(), runnable.end(), [](auto* table) {
    return table->isa == std::string_view("avx512_bf16");
  });
  CHECK(!has_unit || table_named("avx512_bf16").gemm_bf16 != nullptr, "avx512_bf16 has no gemm");
}

struct Candidate {
  std::string name;
  const KernelTable* table;
};

std::vector<Candidate> candidates() {
  std::vector<Candidate> all;
  for (const KernelTable* table : runnable_tables()) all.push_back({table->isa, table});
#if defined(SANDERLING_TEST_EMULATED)
#define ISA(name) all.push_back({#name " (emulated)", &name##_emulated::table});
#include "emulated_isas.inc"
#undef ISA
#endif
  return all;
}

void name_the_skipped() {
  const auto tests = static_cast<int>(all_tests().size());
  const auto built = built_isas();
  for (const std::string_view isa : kKnownIsas) {
    const auto& runnable = runnable_tables();
    if (std::any_of(runnable.begin(), runnable.end(),
                    [&](auto* table) { return table->isa == isa; }))
      continue;
    const bool is_built = std::find(built.begin(), built.end(), isa) != built.end();
    skip(std::string(isa), tests,
         is_built ? "this CPU does not run it" : "not built for this processor");
  }
#if !defined(SANDERLING_TEST_EMULATED)
#define ISA(name) skip(#name " (emulated)", tests, SANDERLING_TEST_NOT_EMULATED);
#include "emulated_isas.inc"
#undef ISA
#endif
}

}  // namespace
}  // namespace sanderling::test

int main(int argc, char** argv) {
  using namespace sanderling;
  using namespace sanderling::test;
  const int seeds = argc > 1 ? std::max(1, atoi(argv[1])) : 3;
  name_crashes();
  run("every kernel has a test", every_kernel_has_a_test);
  run("dispatch", dispatch);
  run("float products", float_products);
  const KernelTable& scalar = table_named("scalar");
  for (const auto& [name, table] : candidates()) {
    for (const KernelTest& test : all_tests()) {
      run(cat(name, ": ", test.kernels), [&] {
        for (int seed = 0; seed < seeds; ++seed)
          test.body(*table, scalar, static_cast<uint64_t>(seed));
      });
    }
  }
  name_the_skipped();
  return finish();
}
