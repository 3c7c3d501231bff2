#include "exec/session.h"

#include <cstring>

#include "drift/watch.h"
#include "kernels/table.h"

namespace sanderling {
namespace {

bool overlap(const TensorView& a, const TensorView& b) {
  const auto* const first = static_cast<const std::byte*>(a.data);
  const auto* const second = static_cast<const std::byte*>(b.data);
  return first < second + b.type.bytes() && second < first + a.type.bytes();
}

std::vector<TensorType> types_of(std::span<const TensorView> views) {
  std::vector<TensorType> types;
  for (const TensorView& view : views) types.push_back(view.type);
  return types;
}

void copy(const TensorView& from, void* to) {
  if (const size_t bytes = from.type.bytes(); bytes != 0) std::memcpy(to, from.data, bytes);
}

}  // namespace

Session::Session(std::shared_ptr<const CompiledModel> model, SessionOptions options)
    : model_(std::move(model)),
      options_(std::move(options)),
      pool_([&] {
        if (options_.threads < 1 || options_.threads > kMaxThreads)
          fail(ErrorCode::kInput, "[session] threads is ", options_.threads, ", expected 1 to ",
               kMaxThreads);
        return options_.threads;
      }()),
      check_(model_->graph(), model_->kernels()),
      memory_(std::make_shared<MemoryBudget>(options_.memory_limit_bytes)),
      runner_(model_, options_.threads, /*write_outputs=*/true, memory_,
              options_.watch ? Runner::FindTap([watch = options_.watch](const std::string& value) {
                return &watch->codes(value);
              })
                             : nullptr) {}

Session::~Session() = default;

void Session::check_outputs(const std::vector<TensorType>& types,
                            std::span<const TensorView> inputs,
                            std::span<const TensorView> outputs) const {
  const Graph& graph = model_->graph();
  if (outputs.size() != graph.outputs.size())
    fail(ErrorCode::kInput, "[run] got ", outputs.size(), " outputs, the model has ",
         graph.outputs.size());
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (i < types.size() && !(outputs[i].type == types[i]))
      fail(ErrorCode::kInput, "[run] output '", graph.outputs[i].name, "' is ",
           outputs[i].type.to_string(), ", the model writes ", types[i].to_string());
    for (size_t k = 0; k < inputs.size() + i; ++k) {
      const bool is_input = k < inputs.size();
      if (overlap(outputs[i], is_input ? inputs[k] : outputs[k - inputs.size()]))
        fail(ErrorCode::kInput, "[run] output '", graph.outputs[i].name, "' shares memory with ",
             is_input ? "input '" : "output '",
             is_input ? check_.specs()[k].name : graph.outputs[k - inputs.size()].name,
             "'. Give it an array of its own");
    }
  }
}

std::shared_ptr<const Program> Session::prepare(std::span<const TensorView> inputs) {
  check_.check_types(inputs);
  return runner_.prepare(inputs);
}

std::shared_ptr<const Program> Session::program_for(std::span<const TensorView> inputs,
                                                    const Stop& stop) {
  const std::unique_lock lock = take_turn(stop);
  return prepare(inputs);
}

void Session::check(std::span<const TensorView> inputs, std::span<const TensorView> outputs) {
  const std::unique_lock lock = take_turn(until({}));
  check_outputs(prepare(inputs)->output_types, inputs, outputs);
}

void Session::look_at(std::span<const TensorView> inputs) {
  for (size_t i = 0; options_.watch && i < inputs.size(); ++i)
    if (inputs[i].type.dtype == DType::kFloat32) options_.watch->observe_input(i, inputs[i]);
  check_.check_values(inputs);
}

void Session::observe(std::span<const TensorView> outputs) {
  for (size_t i = 0; options_.watch && i < outputs.size(); ++i)
    if (outputs[i].type.dtype == DType::kFloat32) options_.watch->observe_output(i, outputs[i]);
}

void Session::note_first_run() {
  if (has_run_.load(std::memory_order_relaxed) || has_run_.exchange(true)) return;
  if (!options_.after_first_run) return;
  options_.after_first_run();
  options_.after_first_run = nullptr;
}

void Session::run(std::span<const TensorView> inputs, std::span<const TensorView> outputs,
                  const Stop& stop) {
  run_in_turn(inputs, outputs, stop);
  note_first_run();
}

void Session::run(std::span<const TensorView> inputs, const MakeOutput& make_output,
                  const Stop& stop) {
  run_in_turn(inputs, make_output, stop);
  note_first_run();
}

std::unique_lock<ForkMutex> Session::take_turn(const Stop& stop) {
  std::unique_lock lock(mutex_, std::defer_lock);
  if (stop.deadline())
    while (!lock.try_lock_until(*stop.deadline())) stop.check();
  else
    lock.lock();
  stop.check();
  return lock;
}

void Session::run_in_turn(std::span<const TensorView> inputs, std::span<const TensorView> outputs,
                          const Stop& stop) {
  const std::unique_lock lock = take_turn(stop);
  const std::shared_ptr<const Program> program = prepare(inputs);
  check_outputs(program->output_types, inputs, outputs);
  look_at(inputs);
  const ThreadPool::OpenRun open(pool_, stop);
  const std::span<const TensorView> results = runner_.run(inputs, outputs, pool_);
  if (!program->writes_outputs) {
    check_outputs(types_of(results), inputs, outputs);
    for (size_t i = 0; i < results.size(); ++i) copy(results[i], outputs[i].data);
  }
  observe(outputs);
}

void Session::run_in_turn(std::span<const TensorView> inputs, const MakeOutput& make_output,
                          const Stop& stop) {
  const std::unique_lock lock = take_turn(stop);
  const std::shared_ptr<const Program> program = prepare(inputs);
  look_at(inputs);
  const ThreadPool::OpenRun open(pool_, stop);
  std::vector<TensorView> outputs;
  if (program->writes_outputs) {
    for (size_t i = 0; i < program->output_types.size(); ++i)
      outputs.push_back({program->output_types[i], make_output(i, program->output_types[i])});
    runner_.run(inputs, outputs, pool_);
  } else {
    const std::span<const TensorView> results = runner_.run(inputs, {}, pool_);
    for (size_t i = 0; i < results.size(); ++i) {
      outputs.push_back({results[i].type, make_output(i, results[i].type)});
      copy(results[i], outputs[i].data);
    }
  }
  observe(outputs);
}

std::vector<StepTime> Session::profile(std::span<const TensorView> inputs) {
  const Stop stop = until({});
  const std::unique_lock lock = take_turn(stop);
  const std::shared_ptr<const Program> program = prepare(inputs);
  check_.check_values(inputs);
  const ThreadPool::OpenRun open(pool_, stop);
  std::vector<Tensor> made;
  std::vector<TensorView> outputs;
  for (const TensorType& type : program->output_types) {
    made.emplace_back(type);
    outputs.push_back(made.back().view());
  }
  std::vector<StepTime> times;
  runner_.run(inputs, outputs, pool_, &times);
  return times;
}

size_t Session::arena_bytes() const { return memory_->used(); }

}  // namespace sanderling
