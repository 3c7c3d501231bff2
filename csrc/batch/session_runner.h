#pragma once

#include <memory>

#include "batch/batcher.h"
#include "exec/session.h"

namespace sanderling {

// Runs batches on the native engine. Keeps its outputs from one run to the next of the same size.
class SessionRunner final : public BatchRunner {
 public:
  explicit SessionRunner(std::shared_ptr<Session> session) : session_(std::move(session)) {}
  std::vector<TensorView> run(std::span<const TensorView> inputs) override;

 private:
  std::shared_ptr<Session> session_;
  std::shared_ptr<const Program> program_;
  std::vector<Tensor> outputs_;
};

}  // namespace sanderling
