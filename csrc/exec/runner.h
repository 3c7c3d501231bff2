// Runs one compiled graph for inputs of any types: keeps its plans and the memory they run in.
// Session makes it safe and checks what users give; a node's subgraph is run by one of its own.
#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/workers.h"
#include "plan/program.h"

namespace sanderling {

class CodeTap;  // drift/watch.h

// How long a step took; those of subgraphs are part of the step that runs them.
struct StepTime {
  int node;  // index in the lowered graph; -1 for a copy at the end
  const char* kernel;
  TensorType type;  // of its first output
  int64_t nanoseconds;
};

// What a session and the runners of its subgraphs may hold together for activations and scratch.
class MemoryBudget {
 public:
  explicit MemoryBudget(std::optional<size_t> limit) : limit_(limit) {}
  // Throws kInput, naming both numbers, where `bytes` more are not to be had.
  void take(size_t bytes);
  void give_back(size_t bytes) { used_ -= bytes; }
  size_t used() const { return used_; }

 private:
  const std::optional<size_t> limit_;
  std::atomic<size_t> used_ = 0;  // a plan, and so a subgraph's runner, may go with its last reader
};

// Not safe to call from several threads.
class Runner {
 public:
  static constexpr size_t kMaxPrograms =
      16;  // plans kept for different input shapes; the least recently used one goes
  using FindTap = std::function<CodeTap*(const std::string& value)>;

  // `find_tap` gives what counts the codes of a value; nullptr: nothing is counted.
  // `write_outputs`: whether plans may write where the caller wants, else results stay in here.
  // `budget` is shared with the runners of subgraphs.
  Runner(std::shared_ptr<const CompiledModel> model, int threads, bool write_outputs,
         std::shared_ptr<MemoryBudget> budget, FindTap find_tap = nullptr);
  ~Runner();

  const CompiledModel& model() const { return *model_; }
  // The program for these types, planned if they are new. Throws what planning throws.
  std::shared_ptr<const Program> prepare(std::span<const TensorView> inputs);
  std::shared_ptr<const Program> prepare(const std::vector<TensorType>& types);
  // Runs it; `times` gets an entry for each step that ran, in order. With a program that writes
  // outputs these are where it does so, and nothing is returned; else `outputs` is not read and the
  // results stand until the next run.
  std::span<const TensorView> run(std::span<const TensorView> inputs,
                                  std::span<const TensorView> outputs, Workers& workers,
                                  std::vector<StepTime>* times = nullptr);

 private:
  // A program with its operands' addresses.
  struct Stage {
    std::shared_ptr<const Program> program;
    std::vector<void*> pointers;  // one per operand; inputs and outputs are filled in at each run
    std::vector<CodeTap*> taps;   // one per WatchedCodes, when watching
    uint64_t resolved_for = 0;    // the arena's generation that `pointers` were made for
    std::list<std::unique_ptr<Stage>> next;  // after a cut; most recently used first
  };
  // Stages follow each other, and what one leaves is read by the next: each depth has its memory.
  struct Arena {
    std::shared_ptr<std::byte[]> memory;
    size_t bytes = 0;
    uint64_t generation = 1;
  };

  // What the node of a cut gave, until the next run.
  struct CutOutputs {
    std::vector<Tensor> tensors;
    size_t bytes = 0;  // taken from the budget
  };

  template <typename Matches, typename Make>
  Stage& find_or_plan(std::list<std::unique_ptr<Stage>>& stages, size_t depth,
                      const Matches& matches, const Make& make);
  Stage& first_stage(std::span<const TensorView> inputs);
  Stage& next_stage(Stage& stage, size_t depth);
  void grow(const Program& program, size_t depth);
  // Gives `memory` room for `bytes`, of which `held` are there; its old contents are lost.
  void enlarge(std::shared_ptr<std::byte[]>& memory, size_t& held, size_t bytes);
  void release();
  void resolve(Stage& stage, size_t depth) const;
  void execute(Stage& stage, size_t depth, std::span<const TensorView> inputs,
               std::span<const TensorView> outputs, Workers& workers, std::vector<StepTime>* times);
  void count_codes(const Stage& stage, size_t step, size_t& next) const;
  void drop(CutOutputs& outputs);
  void compute_cut(const Stage& stage, size_t depth, std::span<const TensorView> inputs,
                   Workers& workers, std::vector<StepTime>* times);
  void* place(const Operand& operand, size_t depth, std::span<const TensorView> inputs) const;
  PlanOptions plan_options() const;

  const std::shared_ptr<const CompiledModel> model_;
  const int threads_;
  const bool write_outputs_;
  const std::shared_ptr<MemoryBudget> budget_;
  const FindTap find_tap_;
  std::list<std::unique_ptr<Stage>> stages_;  // most recently used first
  std::vector<Arena> arenas_;                 // by depth
  std::vector<CutOutputs> cut_outputs_;       // by depth of the stage before
  std::shared_ptr<std::byte[]> scratch_;
  size_t scratch_bytes_ = 0;
  size_t scratch_stride_ = 0;                   // per thread
  std::vector<std::vector<TensorView>> given_;  // by depth, for stages after the first
  std::vector<TensorView> results_;
};

}  // namespace sanderling
