// Runs an ONNX model on rows of float32 numbers from standard input, one row per line, and writes
// the first output of each: a gateway between a sensor's text and whatever reads the answers.
//
//   gateway MODEL.onnx < rows.txt
#include <sanderling/sanderling.h>

#include <cstdio>
#include <iostream>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using Model = std::unique_ptr<sanderling_model, decltype(&sanderling_model_free)>;
using Session = std::unique_ptr<sanderling_session, decltype(&sanderling_session_free)>;

// Calls a function of the C interface with its last argument, the error, and throws what it says.
template <typename Function, typename... Arguments>
void call(Function function, Arguments... arguments) {
  sanderling_error error;
  if (function(arguments..., &error) != SANDERLING_OK) throw std::runtime_error(error.message);
}

size_t elements(const sanderling_tensor& tensor) {
  size_t count = 1;
  for (int axis = 0; axis < tensor.rank; ++axis) count *= static_cast<size_t>(tensor.dims[axis]);
  return count;
}

// The only input, for one row: dimensions chosen at run time are 1.
sanderling_tensor input_of(const sanderling_model* model) {
  if (sanderling_model_inputs(model) != 1)
    throw std::runtime_error("the model must have one input");
  sanderling_spec spec;
  call(sanderling_model_input, model, size_t{0}, &spec);
  if (spec.dtype != SANDERLING_FLOAT32) throw std::runtime_error("the input must be float32");
  sanderling_tensor input{spec.dtype, spec.rank, {}, nullptr};
  for (int axis = 0; axis < spec.rank; ++axis)
    input.dims[axis] = spec.dims[axis] < 0 ? 1 : spec.dims[axis];
  return input;
}

void serve(const char* path) {
  sanderling_model* loaded = nullptr;
  call(sanderling_model_load, path, &loaded);
  const Model model(loaded, sanderling_model_free);
  sanderling_session* created = nullptr;
  call(sanderling_session_create, model.get(), 1, static_cast<const char*>(nullptr), &created);
  const Session session(created, sanderling_session_free);

  sanderling_tensor input = input_of(model.get());
  std::vector<float> row(elements(input));
  input.data = row.data();
  std::vector<sanderling_tensor> outputs(sanderling_model_outputs(model.get()));
  call(sanderling_session_output_types, session.get(), &input, size_t{1}, outputs.data(),
       outputs.size());
  if (outputs[0].dtype != SANDERLING_FLOAT32)
    throw std::runtime_error("the output must be float32");
  std::vector<std::vector<double>> memory;  // 8 bytes hold an element of any type
  for (sanderling_tensor& output : outputs)
    output.data = memory.emplace_back(elements(output)).data();

  std::cerr << "sanderling " << sanderling_version() << " on "
            << sanderling_session_isa(session.get()) << "\n";
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream numbers(line);
    for (float& number : row)
      if (!(numbers >> number)) throw std::runtime_error("a row has too few numbers: " + line);
    call(sanderling_session_run, session.get(), &input, size_t{1}, outputs.data(), outputs.size());
    const auto* answer = static_cast<const float*>(outputs[0].data);
    for (size_t i = 0; i < elements(outputs[0]); ++i)
      std::printf(i == 0 ? "%.9g" : " %.9g", answer[i]);
    std::printf("\n");
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) {
    std::cerr << "usage: gateway MODEL.onnx, rows of numbers on standard input\n";
    return 2;
  }
  try {
    serve(arguments[1]);
    return 0;
  } catch (const std::exception& problem) {
    std::cerr << "gateway: " << problem.what() << "\n";
    return 1;
  }
}
