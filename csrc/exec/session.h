#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "exec/input_check.h"
#include "exec/thread_pool.h"
#include "plan/program.h"

namespace sanderling {

class Watch;    // drift/watch.h
class CodeTap;  // drift/watch.h

struct SessionOptions {
  int threads = 1;
  std::shared_ptr<Watch> watch;  // nullptr: nothing is watched
};

// Runs a compiled model. Safe to call from several threads: runs take turns. One arena; after the
// first run with a set of input shapes, a run with these shapes allocates nothing.
class Session {
 public:
  static constexpr size_t kMaxPrograms =
      16;  // plans kept for different input shapes; the least recently used one goes
  static constexpr int kMaxThreads = 256;

  Session(std::shared_ptr<const CompiledModel> model, SessionOptions options);
  ~Session();

  const CompiledModel& model() const { return *model_; }
  const std::shared_ptr<Watch>& watch() const { return options_.watch; }
  int threads() const { return options_.threads; }
  const InputCheck& input_check() const { return check_; }

  // Throws kInput when a dtype, rank or fixed extent differs from the graph's, or a batch is empty.
  // Only the types of the views matter.
  std::shared_ptr<const Program> program_for(std::span<const TensorView> inputs);
  // Throws what run() would for these types and addresses.
  void check(std::span<const TensorView> inputs, std::span<const TensorView> outputs);
  // Inputs and outputs in the graph's order; outputs must have the program's types and share no
  // memory. Throws kInput on a NaN among the inputs, which are counted by the watch before: a
  // sensor that sends NaN is to be seen.
  void run(std::span<const TensorView> inputs, std::span<const TensorView> outputs);
  // Bytes that this session holds for activations and scratch now.
  size_t arena_bytes() const;

 private:
  struct Prepared {
    std::shared_ptr<const Program> program;
    std::vector<void*>
        pointers;  // one per operand; graph inputs and outputs are filled in at each run
    std::vector<CodeTap*> taps;  // one per WatchedCodes, when watching
  };

  Prepared& prepare(std::span<const TensorView> inputs);
  Prepared& plan(std::span<const TensorView> inputs);
  void check_outputs(const Program& program, std::span<const TensorView> inputs,
                     std::span<const TensorView> outputs) const;
  void grow(const Program& program);
  void resolve(Prepared& prepared) const;
  void execute(const Prepared& prepared);
  void count_codes(const Prepared& prepared, size_t step, size_t& next) const;

  std::shared_ptr<const CompiledModel> model_;
  SessionOptions options_;
  ThreadPool pool_;
  const InputCheck check_;
  mutable std::mutex mutex_;
  std::list<Prepared> prepared_;  // most recently used first
  std::shared_ptr<std::byte[]> arena_;
  size_t arena_bytes_ = 0;
  size_t scratch_stride_ = 0;
};

}  // namespace sanderling
