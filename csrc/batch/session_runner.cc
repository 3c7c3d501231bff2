#include "batch/session_runner.h"

namespace sanderling {

std::vector<TensorView> SessionRunner::run(std::span<const TensorView> inputs) {
  const Stop stop = session_->until({});
  std::shared_ptr<const Program> program = session_->program_for(inputs, stop);
  if (program != program_) {
    outputs_.clear();
    for (const TensorType& type : program->output_types) outputs_.emplace_back(type);
    program_ = std::move(program);
  }
  std::vector<TensorView> outputs;
  if (!program_->writes_outputs) {  // their shapes may differ from run to run
    outputs_.clear();
    const Session::MakeOutput make_output = [&](size_t, const TensorType& type) {
      outputs_.emplace_back(type);
      outputs.push_back(outputs_.back().view());
      return outputs_.back().mutable_raw();
    };
    session_->run(inputs, make_output, stop);
    return outputs;
  }
  for (const Tensor& output : outputs_) outputs.push_back(output.view());
  session_->run(inputs, outputs, stop);
  return outputs;
}

}  // namespace sanderling
