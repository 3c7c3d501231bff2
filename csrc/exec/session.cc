#include "exec/session.h"

#include <algorithm>
#include <new>

#include "drift/watch.h"
#include "kernels/table.h"

namespace sanderling {
namespace {

size_t align(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

bool overlap(const TensorView& a, const TensorView& b) {
  const auto* const first = static_cast<const std::byte*>(a.data);
  const auto* const second = static_cast<const std::byte*>(b.data);
  return first < second + b.type.bytes() && second < first + a.type.bytes();
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
      check_(model_->graph(), model_->kernels()) {}

Session::~Session() = default;

void Session::check_outputs(const Program& program, std::span<const TensorView> inputs,
                            std::span<const TensorView> outputs) const {
  const Graph& graph = model_->graph();
  if (outputs.size() != program.output_types.size())
    fail(ErrorCode::kInput, "[run] got ", outputs.size(), " outputs, the model has ",
         program.output_types.size());
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (!(outputs[i].type == program.output_types[i]))
      fail(ErrorCode::kInput, "[run] output '", graph.outputs[i].name, "' is ",
           outputs[i].type.to_string(), ", the model writes ", program.output_types[i].to_string());
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

// Makes all that may fail first and keeps the result afterwards.
Session::Prepared& Session::plan(std::span<const TensorView> inputs) {
  check_.check_types(inputs);
  std::vector<TensorType> types;
  for (const TensorView& input : inputs) types.push_back(input.type);
  Prepared prepared{model_->plan(types, options_.threads), {}, {}};
  const Program& program = *prepared.program;
  prepared.pointers.resize(program.operands.size());
  if (options_.watch)
    for (const WatchedCodes& codes : program.codes)
      prepared.taps.push_back(&options_.watch->codes(model_->graph().value(codes.value).name));
  grow(program);
  resolve(prepared);
  prepared_.push_front(std::move(prepared));
  if (prepared_.size() > kMaxPrograms) prepared_.pop_back();
  return prepared_.front();
}

Session::Prepared& Session::prepare(std::span<const TensorView> inputs) {
  const auto matches = [&](const Prepared& prepared) {
    const auto& types = prepared.program->input_types;
    return std::equal(
        types.begin(), types.end(), inputs.begin(), inputs.end(),
        [](const TensorType& type, const TensorView& view) { return type == view.type; });
  };
  const auto found = std::find_if(prepared_.begin(), prepared_.end(), matches);
  if (found != prepared_.end()) {
    if (found != prepared_.begin()) prepared_.splice(prepared_.begin(), prepared_, found);
    return prepared_.front();
  }
  return plan(inputs);
}

std::shared_ptr<const Program> Session::program_for(std::span<const TensorView> inputs) {
  const std::lock_guard lock(mutex_);
  return prepare(inputs).program;
}

void Session::check(std::span<const TensorView> inputs, std::span<const TensorView> outputs) {
  const std::lock_guard lock(mutex_);
  check_outputs(*prepare(inputs).program, inputs, outputs);
}

void Session::grow(const Program& program) {
  const size_t stride = std::max(scratch_stride_, align(program.scratch_bytes + kSlackBytes));
  const size_t bytes = std::max(arena_bytes_, align(program.arena_bytes));
  if (arena_ && stride == scratch_stride_ && bytes == arena_bytes_) return;
  const size_t total = bytes + stride * static_cast<size_t>(options_.threads);
  arena_.reset();  // first: both together may be more than the device has
  arena_bytes_ = scratch_stride_ = 0;
  try {
    arena_ = allocate(total);
  } catch (const std::bad_alloc&) {
    prepared_.clear();
    fail(ErrorCode::kInput, "[run] these inputs need ", total,
         " bytes for activations, which the system does not give. Run fewer rows at once");
  }
  scratch_stride_ = stride;
  arena_bytes_ = bytes;
  for (Prepared& prepared : prepared_) resolve(prepared);
}

void Session::resolve(Prepared& prepared) const {
  for (size_t i = 0; i < prepared.pointers.size(); ++i) {
    const Operand& operand = prepared.program->operands[i];
    if (operand.kind == Operand::Kind::kConstant)
      prepared.pointers[i] = const_cast<void*>(operand.constant);
    else if (operand.kind == Operand::Kind::kArena)
      prepared.pointers[i] = arena_.get() + operand.index;
  }
}

void Session::run(std::span<const TensorView> inputs, std::span<const TensorView> outputs) {
  const std::lock_guard lock(mutex_);
  Prepared& prepared = prepare(inputs);
  const Program& program = *prepared.program;
  check_outputs(program, inputs, outputs);
  for (size_t i = 0; options_.watch && i < inputs.size(); ++i)
    if (inputs[i].type.dtype == DType::kFloat32) options_.watch->observe_input(i, inputs[i]);
  check_.check_values(inputs);

  for (size_t i = 0; i < program.operands.size(); ++i) {
    const Operand& operand = program.operands[i];
    if (operand.kind == Operand::Kind::kInput) prepared.pointers[i] = inputs[operand.index].data;
    if (operand.kind == Operand::Kind::kOutput) prepared.pointers[i] = outputs[operand.index].data;
  }
  execute(prepared);
  for (size_t i = 0; options_.watch && i < outputs.size(); ++i)
    if (outputs[i].type.dtype == DType::kFloat32) options_.watch->observe_output(i, outputs[i]);
}

void Session::execute(const Prepared& prepared) {
  const ThreadPool::OpenRun open(pool_);
  StepArgs args{.inputs = nullptr,
                .outputs = nullptr,
                .scratch = arena_.get() + arena_bytes_,
                .scratch_stride = scratch_stride_,
                .workers = &pool_};
  const std::vector<Step>& steps = prepared.program->steps;
  size_t next_codes = 0;
  for (size_t s = 0; s < steps.size(); ++s) {
    args.inputs = prepared.pointers.data() + steps[s].first_input;
    args.outputs = prepared.pointers.data() + steps[s].first_output;
    steps[s].function(steps[s].parameters, args);
    if (!prepared.taps.empty()) count_codes(prepared, s, next_codes);
  }
}

// Codes are counted right after the step that wrote them: later steps may reuse their memory.
void Session::count_codes(const Prepared& prepared, size_t step, size_t& next) const {
  const std::vector<WatchedCodes>& codes = prepared.program->codes;
  for (; next < codes.size() && codes[next].step == static_cast<int>(step); ++next)
    prepared.taps[next]->update(
        {static_cast<const uint8_t*>(prepared.pointers[codes[next].operand]),
         static_cast<size_t>(codes[next].count)});
}

size_t Session::arena_bytes() const {
  const std::lock_guard lock(mutex_);
  return arena_bytes_ + scratch_stride_ * static_cast<size_t>(options_.threads);
}

}  // namespace sanderling
