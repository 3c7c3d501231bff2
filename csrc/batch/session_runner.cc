#include "batch/session_runner.h"

namespace sanderling {

std::vector<TensorView> SessionRunner::run(std::span<const TensorView> inputs) {
  std::shared_ptr<const Program> program = session_->program_for(inputs);
  if (program != program_) {
    outputs_.clear();
    for (const TensorType& type : program->output_types) outputs_.emplace_back(type);
    program_ = std::move(program);
  }
  std::vector<TensorView> outputs;
  for (const Tensor& output : outputs_) outputs.push_back(output.view());
  session_->run(inputs, outputs);
  return outputs;
}

}  // namespace sanderling
