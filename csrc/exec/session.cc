#include "exec/session.h"

#include <algorithm>

#include "drift/watch.h"
#include "kernels/table.h"

namespace sanderling {
namespace {

std::string expected(const GraphInput& input) {
  std::string text = cat(name_of(input.dtype), "[");
  for (size_t i = 0; i < input.dims.size(); ++i) {
    text += i ? ", " : "";
    if (input.dims[i] >= 0)
      text += std::to_string(input.dims[i]);
    else
      text += input.symbols[i].empty() ? "?" : input.symbols[i];
  }
  return text + "]";
}

size_t align(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

Session::Session(std::shared_ptr<const CompiledModel> model, SessionOptions options)
    : model_(std::move(model)), options_(std::move(options)), pool_([&] {
        if (options_.threads < 1 || options_.threads > kMaxThreads)
          fail(ErrorCode::kInput, "[session] threads is ", options_.threads, ", expected 1 to ",
               kMaxThreads);
        return options_.threads;
      }()) {}

Session::~Session() = default;

void Session::check_types(const std::vector<TensorType>& types) const {
  const Graph& graph = model_->graph();
  if (types.size() != graph.inputs.size())
    fail(ErrorCode::kInput, "[run] got ", types.size(), " inputs, the model has ",
         graph.inputs.size());
  for (size_t i = 0; i < types.size(); ++i) {
    const GraphInput& input = graph.inputs[i];
    const TensorType& type = types[i];
    const std::string& name = graph.value(input.value).name;
    bool same = type.dtype == input.dtype &&
                type.shape.rank() == static_cast<int64_t>(input.dims.size());
    for (size_t d = 0; same && d < input.dims.size(); ++d)
      same = input.dims[d] < 0 || input.dims[d] == type.shape[static_cast<int64_t>(d)];
    if (!same) {
      const bool cast = type.dtype != input.dtype;
      fail(ErrorCode::kInput, "[run] input '", name, "' is ", type.to_string(), ", the model expects ",
           expected(input), cast ? cat(". Convert it with .astype('", name_of(input.dtype), "')") : "");
    }
    if (type.shape.elements() == 0)
      fail(ErrorCode::kInput, "[run] input '", name, "' is empty: ", type.to_string(),
           ". Pass at least one row");
  }
}

void Session::check_values(std::span<const TensorView> inputs) const {
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].type.dtype != DType::kFloat32) continue;
    const int64_t count = inputs[i].type.shape.elements();
    const int64_t nans = model_->kernels().count_nan_f32(inputs[i].as<float>(), count);
    if (nans != 0)
      fail(ErrorCode::kInput, "[run] input '", model_->graph().value(model_->graph().inputs[i].value).name,
           "' has ", nans, " NaN among ", count,
           " values. Replace missing values before inference, e.g. with numpy.nan_to_num");
  }
}

Session::Prepared& Session::prepare(const std::vector<TensorType>& input_types) {
  check_types(input_types);
  std::shared_ptr<const Program> program = model_->plan(input_types, options_.threads);
  grow(*program);
  prepared_.push_front({program, std::vector<void*>(program->operands.size(), nullptr), {}});
  Prepared& prepared = prepared_.front();
  resolve(prepared);
  if (options_.watch)
    for (const WatchedCodes& codes : program->codes)
      prepared.taps.push_back(&options_.watch->codes(model_->graph().value(codes.value).name));
  if (prepared_.size() > kMaxPrograms) prepared_.pop_back();
  return prepared;
}

Session::Prepared& Session::prepare(std::span<const TensorView> inputs) {
  const auto matches = [&](const Prepared& prepared) {
    const auto& types = prepared.program->input_types;
    return std::equal(types.begin(), types.end(), inputs.begin(), inputs.end(),
                      [](const TensorType& type, const TensorView& view) { return type == view.type; });
  };
  const auto found = std::find_if(prepared_.begin(), prepared_.end(), matches);
  if (found != prepared_.end()) {
    if (found != prepared_.begin()) prepared_.splice(prepared_.begin(), prepared_, found);
    return prepared_.front();
  }
  std::vector<TensorType> types;
  for (const TensorView& input : inputs) types.push_back(input.type);
  return prepare(types);
}

std::shared_ptr<const Program> Session::program_for(const std::vector<TensorType>& input_types) {
  const std::lock_guard lock(mutex_);
  std::vector<TensorView> views;
  for (const TensorType& type : input_types) views.push_back({type, nullptr});
  return prepare(views).program;
}

void Session::grow(const Program& program) {
  const size_t stride = std::max(scratch_stride_, align(program.scratch_bytes + kSlackBytes));
  const size_t bytes = std::max(arena_bytes_, align(program.arena_bytes));
  if (arena_ && stride == scratch_stride_ && bytes == arena_bytes_) return;
  scratch_stride_ = stride;
  arena_bytes_ = bytes;
  arena_.reset();
  arena_ = allocate(arena_bytes_ + scratch_stride_ * static_cast<size_t>(options_.threads));
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
  if (outputs.size() != program.output_types.size())
    fail(ErrorCode::kInput, "[run] got ", outputs.size(), " outputs, the model has ",
         program.output_types.size());
  for (size_t i = 0; i < outputs.size(); ++i)
    if (!(outputs[i].type == program.output_types[i]))
      fail(ErrorCode::kInput, "[run] output '", model_->graph().outputs[i].name, "' is ",
           outputs[i].type.to_string(), ", the model writes ", program.output_types[i].to_string());
  for (size_t i = 0; options_.watch && i < inputs.size(); ++i)
    if (inputs[i].type.dtype == DType::kFloat32) options_.watch->observe_input(i, inputs[i]);
  check_values(inputs);

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
    prepared.taps[next]->update({static_cast<const uint8_t*>(prepared.pointers[codes[next].operand]),
                                 static_cast<size_t>(codes[next].count)});
}

size_t Session::arena_bytes() const {
  const std::lock_guard lock(mutex_);
  return arena_bytes_ + scratch_stride_ * static_cast<size_t>(options_.threads);
}

}  // namespace sanderling
