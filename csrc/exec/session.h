#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/fork.h"
#include "core/stop.h"
#include "exec/input_check.h"
#include "exec/runner.h"
#include "exec/thread_pool.h"
#include "plan/program.h"

namespace sanderling {

class Watch;  // drift/watch.h

struct SessionOptions {
  int threads = 1;
  std::shared_ptr<Watch> watch{};  // nullptr: nothing is watched
  // What may be held for activations and scratch; a run that needs more is refused.
  std::optional<size_t> memory_limit_bytes{};
  // Called once, when the first run has succeeded: by its thread, outside the session's lock. Must
  // not throw.
  std::function<void()> after_first_run{};
};

// Runs a compiled model. Safe to call from several threads: runs take turns. One arena; after the
// first run with a set of input shapes, a run with these shapes allocates nothing. A child made by
// fork() can go on using it, unless it was in use by another thread just then (ForkMutex).
class Session {
 public:
  static constexpr size_t kMaxPrograms = Runner::kMaxPrograms;
  static constexpr int kMaxThreads = 256;

  Session(std::shared_ptr<const CompiledModel> model, SessionOptions options);
  ~Session();

  const CompiledModel& model() const { return *model_; }
  const std::shared_ptr<Watch>& watch() const { return options_.watch; }
  int threads() const { return options_.threads; }
  const InputCheck& input_check() const { return check_; }

  // Throws kInput when a dtype, rank or fixed extent differs from the graph's, or a batch is empty.
  // Only the types of the views matter.
  std::shared_ptr<const Program> program_for(std::span<const TensorView> inputs, const Stop& stop);
  std::shared_ptr<const Program> program_for(std::span<const TensorView> inputs) {
    return program_for(inputs, until({}));
  }
  // Throws what run() would for these types and addresses, as far as it is known before.
  void check(std::span<const TensorView> inputs, std::span<const TensorView> outputs);
  // Inputs and outputs in the graph's order; outputs must have the types that the model gives and
  // share no memory. Throws kInput on a NaN among the inputs, which are counted by the watch
  // before: a sensor that sends NaN is to be seen. Throws kDeadline or kCancelled when `stop` is
  // due: a step that began is finished, outputs may be half written.
  void run(std::span<const TensorView> inputs, std::span<const TensorView> outputs,
           const Stop& stop);
  void run(std::span<const TensorView> inputs, std::span<const TensorView> outputs) {
    run(inputs, outputs, until({}));
  }
  // The same where the outputs' types may depend on data: asks for the memory of each output when
  // its type is known, before or after the run.
  using MakeOutput = std::function<void*(size_t output, const TensorType& type)>;
  void run(std::span<const TensorView> inputs, const MakeOutput& make_output, const Stop& stop);
  void run(std::span<const TensorView> inputs, const MakeOutput& make_output) {
    run(inputs, make_output, until({}));
  }
  // Runs once and says how long each step took; nothing is watched. Throws what run() throws.
  std::vector<StepTime> profile(std::span<const TensorView> inputs);
  // What ends a run that begins now: its timeout, in which it may have to wait for its turn, and
  // cancel(). Throws kInput unless the timeout is positive.
  Stop until(std::optional<double> timeout_s) const { return {cancels_, timeout_s}; }
  // Ends all runs that were called for and have not returned yet, also those that wait for their
  // turn, as kCancelled; later ones are not touched. Does not wait for them.
  void cancel() { cancels_.fetch_add(1, std::memory_order_relaxed); }
  // Bytes that this session holds for activations and scratch now, those of subgraphs included.
  size_t arena_bytes() const;

 private:
  std::shared_ptr<const Program> prepare(std::span<const TensorView> inputs);
  void check_outputs(const std::vector<TensorType>& types, std::span<const TensorView> inputs,
                     std::span<const TensorView> outputs) const;
  void look_at(std::span<const TensorView> inputs);
  void observe(std::span<const TensorView> outputs);
  std::unique_lock<ForkMutex> take_turn(const Stop& stop);
  void run_in_turn(std::span<const TensorView> inputs, std::span<const TensorView> outputs,
                   const Stop& stop);
  void run_in_turn(std::span<const TensorView> inputs, const MakeOutput& make_output,
                   const Stop& stop);
  void note_first_run();

  std::shared_ptr<const CompiledModel> model_;
  SessionOptions options_;
  ThreadPool pool_;
  const InputCheck check_;
  ForkMutex mutex_{"session"};
  const std::shared_ptr<MemoryBudget> memory_;
  Runner runner_;
  std::atomic<bool> has_run_ = false;
  std::atomic<uint32_t> cancels_ = 0;
};

}  // namespace sanderling
