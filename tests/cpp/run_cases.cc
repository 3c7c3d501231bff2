// Replays the cases that the Python tests wrote (tests/ops/runner.py, SANDERLING_WRITE_CASES=DIR)
// on the reference functions and every instruction set that this CPU runs, or on those that are
// named: the operator tests where there is no Python, such as on emulated Arm.
//
//   run_cases DIR [reference|ISA ...]
//
// DIR/cases.txt has a line "NAME exact" or "NAME float ATOL RTOL" per case, DIR/NAME/ has
// model.onnx, input_<i>.npy and output_<i>.npy in the model's order. Integer outputs must be equal
// whatever the line says. A second run of a plan that has kernels for all of it must take no
// memory.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <span>
#include <sstream>

#include "allocations.h"
#include "exec/session.h"
#include "graph/passes/passes.h"
#include "kernels/table.h"
#include "npy.h"
#include "onnx/import.h"

namespace sanderling {
namespace {

struct Tolerance {
  bool exact = true;
  double absolute = 0.0, relative = 0.0;
};

std::vector<Tensor> read_arrays(const std::filesystem::path& folder, const char* kind,
                                size_t count) {
  std::vector<Tensor> arrays;
  for (size_t i = 0; i < count; ++i) arrays.push_back(read_npy(folder / cat(kind, "_", i, ".npy")));
  return arrays;
}

template <typename T>
void compare_floats(const Tensor& got, const Tensor& wanted, const Tolerance& tolerance) {
  for (size_t i = 0; i < got.data<T>().size(); ++i) {
    const double a = static_cast<double>(got.data<T>()[i]);
    const double b = static_cast<double>(wanted.data<T>()[i]);
    if (a == b || (std::isnan(a) && std::isnan(b))) continue;
    const double allowed =
        tolerance.exact ? 0.0 : tolerance.absolute + tolerance.relative * std::abs(b);
    if (!(std::abs(a - b) <= allowed))
      fail(ErrorCode::kInternal, "element ", i, " is ", a, ", expected ", b, ", may differ by ",
           allowed);
  }
}

void compare(const Tensor& got, const Tensor& wanted, const Tolerance& tolerance) {
  if (!(got.type() == wanted.type()))
    fail(ErrorCode::kInternal, "got ", got.type().to_string(), ", expected ",
         wanted.type().to_string());
  if (got.dtype() == DType::kFloat32) return compare_floats<float>(got, wanted, tolerance);
  if (got.dtype() == DType::kFloat64) return compare_floats<double>(got, wanted, tolerance);
  const auto* a = static_cast<const uint8_t*>(got.raw());
  const auto* b = static_cast<const uint8_t*>(wanted.raw());
  for (size_t i = 0; i < got.type().bytes(); ++i)
    if (a[i] != b[i])
      fail(ErrorCode::kInternal, "byte ", i, " is ", static_cast<int>(a[i]), ", expected ",
           static_cast<int>(b[i]));
}

// Whether runs of this program allocate nothing: it is planned to its end, and neither reference
// functions nor those that make their outputs while they compute are among its steps.
bool is_steady(const Program& program) {
  return program.writes_outputs &&
         std::none_of(program.steps.begin(), program.steps.end(), [](const Step& step) {
           return step.kernel == std::string_view("reference") ||
                  step.kernel == std::string_view("compute");
         });
}

void check_steady(Session& session, std::span<const TensorView> inputs,
                  std::span<const TensorView> outputs) {
  const auto program = session.program_for(inputs);
  if (!is_steady(*program)) return;
  session.run(inputs, outputs);
  const size_t before = allocations();
  session.run(inputs, outputs);
  if (const size_t made = allocations() - before; made != 0) {
    std::string steps;
    for (const Step& step : program->steps)
      steps += cat(" ", step.node < 0 ? "" : session.model().graph().nodes[step.node].op, "(",
                   step.kernel, ")");
    fail(ErrorCode::kInternal, "a second run allocates ", made, " times; its steps are", steps);
  }
}

void run_case(const std::filesystem::path& folder, const Tolerance& tolerance,
              const KernelTable& kernels, bool reference) {
  std::ifstream file(folder / "model.onnx", std::ios::binary);
  const std::string model_bytes{std::istreambuf_iterator<char>(file), {}};
  Graph graph = import_model(std::as_bytes(std::span(model_bytes)));
  lower(graph);
  const auto model = std::make_shared<const CompiledModel>(std::move(graph), kernels, reference);
  Session session(model, {.threads = 1, .watch = nullptr});
  const std::vector<Tensor> inputs = read_arrays(folder, "input", model->graph().inputs.size());
  const std::vector<Tensor> wanted = read_arrays(folder, "output", model->graph().outputs.size());
  std::vector<TensorView> input_views;
  for (const Tensor& input : inputs) input_views.push_back(input.view());
  std::vector<Tensor> outputs;
  session.run(input_views, [&](size_t, const TensorType& type) {
    return outputs.emplace_back(type).mutable_raw();
  });
  for (size_t i = 0; i < outputs.size(); ++i) compare(outputs[i], wanted[i], tolerance);
  std::vector<TensorView> output_views;
  for (const Tensor& output : outputs) output_views.push_back(output.view());
  check_steady(session, input_views, output_views);
}

constexpr std::string_view kReference = "reference";

// How many cases failed on one instruction set, or on the reference functions.
int run_all(const std::filesystem::path& folder, std::string_view where) {
  const bool reference = where == kReference;
  const KernelTable& kernels = reference ? *runnable_tables().front() : table_named(where);
  std::ifstream list(folder / "cases.txt");
  if (!list)
    fail(ErrorCode::kInput, "[run_cases] '", (folder / "cases.txt").string(), "' cannot be read");
  int cases = 0, failures = 0;
  for (std::string line; std::getline(list, line);) {
    std::istringstream words(line);
    std::string name, kind;
    Tolerance tolerance;
    words >> name >> kind;
    tolerance.exact = kind == "exact";
    if (!tolerance.exact) words >> tolerance.absolute >> tolerance.relative;
    if (!words || (kind != "exact" && kind != "float"))
      fail(ErrorCode::kInput, "[run_cases] cases.txt has the line '", line, "'");
    ++cases;
    try {
      run_case(folder / name, tolerance, kernels, reference);
    } catch (const std::exception& problem) {
      ++failures;
      std::cerr << where << ", " << name << ": " << problem.what() << "\n";
    }
  }
  std::cout << where << ": " << cases - failures << " of " << cases << " cases agree" << std::endl;
  return cases == 0 ? 1 : failures;
}

}  // namespace
}  // namespace sanderling

int main(int count, char** arguments) {
  using namespace sanderling;
  if (count < 2) {
    std::cerr
        << "usage: run_cases DIR [reference|ISA ...], DIR being a folder that the Python tests "
           "wrote under SANDERLING_WRITE_CASES=DIR\n";
    return 2;
  }
  try {
    std::vector<std::string_view> where(arguments + 2, arguments + count);
    if (where.empty()) {
      where.push_back(kReference);
      for (const KernelTable* kernels : runnable_tables()) where.push_back(kernels->isa);
    }
    int failures = 0;
    for (const std::string_view name : where) failures += run_all(arguments[1], name);
    return failures == 0 ? 0 : 1;
  } catch (const std::exception& problem) {
    std::cerr << problem.what() << "\n";
    return 2;
  }
}
