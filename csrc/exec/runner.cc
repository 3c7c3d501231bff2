#include "exec/runner.h"

#include <algorithm>
#include <chrono>

#include "drift/watch.h"
#include "graph/evaluate.h"

namespace sanderling {
namespace {

size_t align(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// A subgraph, run by a Runner of its own.
class RunnerBody final : public Body {
 public:
  RunnerBody(std::shared_ptr<const CompiledModel> model, int threads,
             std::shared_ptr<MemoryBudget> budget)
      : runner_(std::move(model), threads, /*write_outputs=*/false, std::move(budget)) {}

  const std::vector<TensorType>* output_types(std::span<const TensorType> inputs) override {
    check_count(inputs.size());
    try {
      planned_ = runner_.prepare(std::vector<TensorType>(inputs.begin(), inputs.end()));
    } catch (const NeedsValue&) {
      return nullptr;
    }
    return planned_->cut ? nullptr : &planned_->output_types;
  }

  std::span<const TensorView> run(std::span<const TensorView> inputs, Workers& workers) override {
    check_count(inputs.size());
    return runner_.run(inputs, {}, workers);
  }

 private:
  void check_count(size_t given) const {
    const size_t expected = runner_.model().graph().inputs.size();
    if (given != expected)
      fail(ErrorCode::kModel, "[graph] a subgraph takes ", expected, " inputs, its node gives it ",
           given, ". Export the model again");
  }

  Runner runner_;
  std::shared_ptr<const Program> planned_;
};

class Stopwatch {
 public:
  int64_t nanoseconds() const {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start_).count();
  }

 private:
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start_ = Clock::now();
};

std::vector<TensorType> types_of(std::span<const TensorView> views) {
  std::vector<TensorType> types;
  for (const TensorView& view : views) types.push_back(view.type);
  return types;
}

// An operand among the caller's arrays; one that is empty may have no address.
void* at(std::span<const TensorView> arrays, const Operand& operand) {
  void* const data = arrays[operand.index].data;
  return operand.offset == 0 ? data : static_cast<std::byte*>(data) + operand.offset;
}

}  // namespace

void MemoryBudget::take(size_t bytes) {
  const size_t needed = used_.fetch_add(bytes) + bytes;  // others may give back at the same time
  if (!limit_ || needed <= *limit_) return;
  give_back(bytes);
  fail(ErrorCode::kInput, "[run] these inputs need ", needed,
       " bytes for activations, memory_limit_bytes is ", *limit_,
       ". Run fewer rows at once or raise the limit");
}

Runner::Runner(std::shared_ptr<const CompiledModel> model, int threads, bool write_outputs,
               std::shared_ptr<MemoryBudget> budget, FindTap find_tap)
    : model_(std::move(model)),
      threads_(threads),
      write_outputs_(write_outputs),
      budget_(std::move(budget)),
      find_tap_(std::move(find_tap)) {}

Runner::~Runner() { release(); }

PlanOptions Runner::plan_options() const {
  return {.threads = threads_,
          .write_outputs = write_outputs_,
          .make_body = [threads = threads_,
                        budget = budget_](std::shared_ptr<const CompiledModel> model) {
            return std::make_unique<RunnerBody>(std::move(model), threads, budget);
          }};
}

template <typename Matches, typename Make>
Runner::Stage& Runner::find_or_plan(std::list<std::unique_ptr<Stage>>& stages, size_t depth,
                                    const Matches& matches, const Make& make) {
  const auto found = std::find_if(stages.begin(), stages.end(), [&](const auto& stage) {
    return matches(stage->program->input_types);
  });
  if (found != stages.end()) {
    if (found != stages.begin()) stages.splice(stages.begin(), stages, found);
    return *stages.front();
  }
  // Makes all that may fail first and keeps the result afterwards.
  auto stage = std::make_unique<Stage>();
  stage->program = make();
  const Program& program = *stage->program;
  stage->pointers.resize(program.operands.size());
  if (find_tap_)
    for (const WatchedCodes& codes : program.codes)
      stage->taps.push_back(find_tap_(model_->graph().value(codes.value).name));
  grow(program, depth);
  stages.push_front(std::move(stage));
  if (stages.size() > kMaxPrograms) stages.pop_back();
  return *stages.front();
}

Runner::Stage& Runner::first_stage(std::span<const TensorView> inputs) {
  for (CutOutputs& outputs : cut_outputs_) drop(outputs);  // a run begins: the last one's are over
  return find_or_plan(
      stages_, 0,
      [&](const std::vector<TensorType>& types) {
        return std::equal(
            types.begin(), types.end(), inputs.begin(), inputs.end(),
            [](const TensorType& type, const TensorView& view) { return type == view.type; });
      },
      [&] { return model_->plan(types_of(inputs), plan_options()); });
}

Runner::Stage& Runner::next_stage(Stage& stage, size_t depth) {
  const Cut& cut = *stage.program->cut;
  const std::vector<Tensor>& outputs = cut_outputs_[depth].tensors;
  return find_or_plan(
      stage.next, depth + 1,
      [&](const std::vector<TensorType>& types) {
        return std::equal(
            types.begin() + static_cast<ptrdiff_t>(cut.live.size()), types.end(), outputs.begin(),
            outputs.end(),
            [](const TensorType& type, const Tensor& tensor) { return type == tensor.type(); });
      },
      [&] {
        std::vector<TensorType> types;
        for (const Tensor& output : outputs) types.push_back(output.type());
        return model_->plan_after(cut, types, plan_options());
      });
}

std::shared_ptr<const Program> Runner::prepare(std::span<const TensorView> inputs) {
  return first_stage(inputs).program;
}

std::shared_ptr<const Program> Runner::prepare(const std::vector<TensorType>& types) {
  std::vector<TensorView> inputs;
  for (const TensorType& type : types) inputs.push_back({type, nullptr});
  return prepare(inputs);
}

// Forgets all plans with their memory.
void Runner::release() {
  for (CutOutputs& outputs : cut_outputs_) drop(outputs);
  size_t held = scratch_bytes_;
  for (const Arena& arena : arenas_) held += arena.bytes;
  stages_.clear();
  arenas_.clear();
  scratch_.reset();
  scratch_bytes_ = scratch_stride_ = 0;
  budget_->give_back(held);
}

void Runner::enlarge(std::shared_ptr<std::byte[]>& memory, size_t& held, size_t bytes) {
  budget_->take(bytes - held);
  memory.reset();  // first: both together may be more than the device has
  held = bytes;
  try {
    memory = allocate(bytes);
  } catch (const std::bad_alloc&) {
    release();
    fail(ErrorCode::kInput, "[run] these inputs need ", bytes,
         " bytes for activations, which the system does not give. Run fewer rows at once");
  }
}

void Runner::grow(const Program& program, size_t depth) {
  if (arenas_.size() <= depth) {
    arenas_.resize(depth + 1);
    given_.resize(depth + 1);
  }
  Arena& arena = arenas_[depth];
  const size_t bytes = std::max(arena.bytes, align(program.arena_bytes));
  const size_t stride = std::max(scratch_stride_, align(program.scratch_bytes + kSlackBytes));
  const size_t scratch = stride * static_cast<size_t>(threads_);
  // Both are refused together, before one of them is there.
  budget_->take(bytes - arena.bytes + scratch - scratch_bytes_);
  budget_->give_back(bytes - arena.bytes + scratch - scratch_bytes_);
  if (bytes > arena.bytes) {
    ++arena.generation;
    enlarge(arena.memory, arena.bytes, bytes);
  }
  if (scratch > scratch_bytes_) {
    enlarge(scratch_, scratch_bytes_, scratch);
    scratch_stride_ = stride;
  }
}

void Runner::resolve(Stage& stage, size_t depth) const {
  const Arena& arena = arenas_[depth];
  if (stage.resolved_for == arena.generation) return;
  for (size_t i = 0; i < stage.pointers.size(); ++i) {
    const Operand& operand = stage.program->operands[i];
    if (operand.kind == Operand::Kind::kConstant)
      stage.pointers[i] = const_cast<void*>(operand.constant);
    else if (operand.kind == Operand::Kind::kArena)
      stage.pointers[i] = arena.memory.get() + operand.offset;
  }
  stage.resolved_for = arena.generation;
}

void Runner::execute(Stage& stage, size_t depth, std::span<const TensorView> inputs,
                     std::span<const TensorView> outputs, Workers& workers,
                     std::vector<StepTime>* times) {
  resolve(stage, depth);
  const Program& program = *stage.program;
  for (size_t i = 0; i < program.operands.size(); ++i) {
    const Operand& operand = program.operands[i];
    if (operand.kind == Operand::Kind::kInput) stage.pointers[i] = at(inputs, operand);
    if (operand.kind == Operand::Kind::kOutput) stage.pointers[i] = at(outputs, operand);
  }
  StepArgs args{.inputs = nullptr,
                .outputs = nullptr,
                .scratch = scratch_.get(),
                .scratch_stride = scratch_stride_,
                .workers = &workers};
  size_t next_codes = 0;
  for (size_t s = 0; s < program.steps.size(); ++s) {
    workers.check_stop();
    const Step& step = program.steps[s];
    args.inputs = stage.pointers.data() + step.first_input;
    args.outputs = stage.pointers.data() + step.first_output;
    if (times) {
      const Stopwatch watch;
      step.function(step.parameters, args);
      times->push_back({step.node, step.kernel, program.step_types[s], watch.nanoseconds()});
    } else {
      step.function(step.parameters, args);
    }
    if (!stage.taps.empty()) count_codes(stage, s, next_codes);
  }
}

// Codes are counted right after the step that wrote them: later steps may reuse their memory.
void Runner::count_codes(const Stage& stage, size_t step, size_t& next) const {
  const std::vector<WatchedCodes>& codes = stage.program->codes;
  for (; next < codes.size() && codes[next].step == static_cast<int>(step); ++next)
    stage.taps[next]->update({static_cast<const uint8_t*>(stage.pointers[codes[next].operand]),
                              static_cast<size_t>(codes[next].count)});
}

void* Runner::place(const Operand& operand, size_t depth,
                    std::span<const TensorView> inputs) const {
  switch (operand.kind) {
    case Operand::Kind::kConstant:
      return const_cast<void*>(operand.constant);
    case Operand::Kind::kInput:
      return at(inputs, operand);
    case Operand::Kind::kArena:
      return arenas_[depth].memory.get() + operand.offset;
    default:
      return nullptr;
  }
}

void Runner::drop(CutOutputs& outputs) {
  outputs.tensors.clear();
  budget_->give_back(outputs.bytes);
  outputs.bytes = 0;
}

// Runs the node of the cut and collects in given_[depth + 1] what the next stage is given.
void Runner::compute_cut(const Stage& stage, size_t depth, std::span<const TensorView> inputs,
                         Workers& workers, std::vector<StepTime>* times) {
  const Stopwatch watch;
  const Cut& cut = *stage.program->cut;
  std::vector<TensorView> live;
  for (size_t i = 0; i < cut.live.size(); ++i)
    live.push_back({cut.types->type(cut.live[i]), place(cut.places[i], depth, inputs)});

  const Graph& graph = model_->graph();
  const Node& node = graph.nodes[cut.node];
  std::vector<const TensorType*> types;
  std::vector<const void*> data;
  for (ValueId id : node.inputs) {
    if (id == kNoValue) {
      types.push_back(nullptr);
      data.push_back(nullptr);
    } else if (const Tensor* constant = graph.constant(id)) {
      types.push_back(&constant->type());
      data.push_back(constant->raw());
    } else {
      const auto at = std::find(cut.live.begin(), cut.live.end(), id) - cut.live.begin();
      types.push_back(&live[static_cast<size_t>(at)].type);
      data.push_back(live[static_cast<size_t>(at)].data);
    }
  }
  if (cut_outputs_.size() <= depth) cut_outputs_.resize(depth + 1);
  CutOutputs& made = cut_outputs_[depth];
  const auto take = [&](size_t bytes) {
    budget_->take(bytes);
    made.bytes += bytes;
  };
  try {
    made.tensors = evaluate(graph, node, types, data, cut.bodies, &workers, take);
  } catch (...) {
    drop(made);
    throw;
  }
  size_t kept = 0;
  for (const Tensor& output : made.tensors) {
    live.push_back(output.view());
    if (output.raw()) kept += output.type().bytes();
  }
  budget_->give_back(made.bytes - kept);  // what the operator held for itself
  made.bytes = kept;
  if (given_.size() <= depth + 1) given_.resize(depth + 2);
  given_[depth + 1] = std::move(live);
  if (times)
    times->push_back({static_cast<int>(cut.node), "compute",
                      made.tensors.empty() ? TensorType{} : made.tensors[0].type(),
                      watch.nanoseconds()});
}

std::span<const TensorView> Runner::run(std::span<const TensorView> inputs,
                                        std::span<const TensorView> outputs, Workers& workers,
                                        std::vector<StepTime>* times) {
  workers.check_stop();  // planning took time; a loop's body may have no step at all
  Stage* stage = &first_stage(inputs);
  execute(*stage, 0, inputs, outputs, workers, times);
  if (stage->program->writes_outputs) return {};
  size_t depth = 0;
  while (stage->program->cut) {
    compute_cut(*stage, depth, inputs, workers, times);
    stage = &next_stage(*stage, depth);
    inputs = given_[++depth];
    execute(*stage, depth, inputs, {}, workers, times);
  }
  const Program& program = *stage->program;
  results_.clear();
  for (size_t i = 0; i < program.outputs.size(); ++i)
    results_.push_back({program.output_types[i], place(program.outputs[i], depth, inputs)});
  return results_;
}

}  // namespace sanderling
