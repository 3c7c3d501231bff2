#include "plan/program.h"

#include <algorithm>
#include <cstring>

#include "kernels/table.h"
#include "plan/memory.h"

namespace sanderling {
namespace {

class NodePlan final : public PlanContext {
 public:
  NodePlan(const CompiledModel& model, size_t node, std::span<const TensorType* const> inputs,
           std::span<TensorType> outputs, int threads)
      : PlanContext(model.graph(), model.graph().nodes[node], inputs, outputs, model.kernels(),
                    threads),
        model_(model),
        index_(node) {}

  StepFunction function() const { return function_; }
  const std::shared_ptr<const void>& parameters() const { return parameters_; }
  size_t scratch_bytes() const { return scratch_; }

 private:
  std::shared_ptr<const void> find_or_make(
      std::string_view tag, const std::function<std::shared_ptr<const void>()>& make) override {
    return model_.find_or_make(cat(index_, "/", tag), make);
  }

  const CompiledModel& model_;
  size_t index_;
};

// Runs an operator's reference function as a step.
struct ReferenceStep {
  const Graph* graph;
  const Node* node;
  const Operator* op;
  std::vector<TensorType> types;  // of the inputs that are there
  std::vector<const TensorType*> inputs;
  mutable std::vector<TensorType> outputs;

  static void run(const void* parameters, const StepArgs& args) {
    const auto& step = *static_cast<const ReferenceStep*>(parameters);
    const ReferenceContext context(
        *step.graph, *step.node, step.inputs, step.outputs,
        {const_cast<const void* const*>(args.inputs), step.inputs.size()},
        {args.outputs, step.outputs.size()});
    step.op->reference(context);
  }
};

struct CopyStep {
  size_t bytes;

  static void run(const void* parameters, const StepArgs& args) {
    const size_t bytes = static_cast<const CopyStep*>(parameters)->bytes;
    if (bytes != 0) std::memcpy(args.outputs[0], args.inputs[0], bytes);
  }
};

class Planner {
 public:
  Planner(const CompiledModel& model, const std::vector<TensorType>& input_types, int threads)
      : model_(model),
        graph_(model.graph()),
        threads_(threads),
        types_(graph_.values.size()),
        root_(graph_.values.size()),
        program_(std::make_shared<Program>()) {
    program_->input_types = input_types;
    for (size_t id = 0; id < graph_.values.size(); ++id) {
      root_[id] = static_cast<ValueId>(id);
      if (graph_.values[id].constant) types_[id] = graph_.values[id].constant->type();
    }
    for (size_t i = 0; i < graph_.inputs.size(); ++i) type(graph_.inputs[i].value) = input_types[i];
  }

  std::shared_ptr<const Program> plan() {
    for (size_t n = 0; n < graph_.nodes.size(); ++n) add_node(n);
    place_values();
    return program_;
  }

 private:
  struct PlannedStep {
    int node;
    StepFunction function;
    std::shared_ptr<const void> parameters;
    std::vector<ValueId> inputs;
    std::vector<ValueId> outputs;
  };

  TensorType& type(ValueId id) { return types_[static_cast<size_t>(id)]; }
  ValueId root(ValueId id) const { return root_[static_cast<size_t>(id)]; }

  void add_node(size_t n) {
    const Node& node = graph_.nodes[n];
    const Operator* op = find_operator(node.op);
    SANDERLING_ASSERT(op != nullptr, node.op);
    std::vector<const TensorType*> inputs;
    for (ValueId id : node.inputs) inputs.push_back(id == kNoValue ? nullptr : &type(id));
    std::vector<TensorType> outputs(node.outputs.size());

    NodePlan context(model_, n, inputs, outputs, threads_);
    infer_types(*op, context);
    for (size_t i = 0; i < outputs.size(); ++i)
      if (node.outputs[i] != kNoValue) type(node.outputs[i]) = outputs[i];

    const bool view = op->view || (op->view_if && op->view_if(context));
    if (view && !graph_.is_output(node.outputs[0]) && !graph_.constant(node.inputs[0])) {
      root_[static_cast<size_t>(node.outputs[0])] = root(node.inputs[0]);
      return;
    }
    if (view) {
      add_copy(static_cast<int>(n), node.inputs[0], node.outputs[0]);
      return;
    }
    if (op->plan && !model_.reference()) op->plan(context);
    PlannedStep step{static_cast<int>(n), context.function(), context.parameters(), node.inputs,
                     node.outputs};
    program_->scratch_bytes = std::max(program_->scratch_bytes, context.scratch_bytes());
    if (!step.function) {
      auto reference = std::make_shared<ReferenceStep>();
      reference->graph = &graph_;
      reference->node = &node;
      reference->op = op;
      reference->types.reserve(inputs.size());
      for (const TensorType* input : inputs)
        reference->types.push_back(input ? *input : TensorType{});
      for (size_t i = 0; i < inputs.size(); ++i)
        reference->inputs.push_back(inputs[i] ? &reference->types[i] : nullptr);
      reference->outputs = outputs;
      step.function = ReferenceStep::run;
      step.parameters = reference;
    }
    steps_.push_back(std::move(step));
  }

  void add_copy(int node, ValueId from, ValueId to) {
    steps_.push_back({node,
                      CopyStep::run,
                      std::make_shared<const CopyStep>(CopyStep{type(to).bytes()}),
                      {from},
                      {to}});
  }

  // Gives every value that a step writes a home: a graph output's own buffer, or a place in the
  // arena.
  void place_values() {
    std::vector<Operand> home(graph_.values.size());
    for (size_t id = 0; id < graph_.values.size(); ++id)
      if (graph_.values[id].constant)
        home[id] = {Operand::Kind::kConstant, 0, graph_.values[id].constant->raw()};
    // Integer kernels read past the end of codes (kSlackBytes), which a caller's array does not
    // allow: codes that come in from outside are copied into the arena first.
    std::vector<size_t> copied_inputs;
    for (size_t i = 0; i < graph_.inputs.size(); ++i) {
      if (graph_.value(graph_.inputs[i].value).quantization)
        copied_inputs.push_back(i);
      else
        home[static_cast<size_t>(graph_.inputs[i].value)] = {Operand::Kind::kInput, i, nullptr};
    }
    std::vector<std::pair<size_t, ValueId>> copies;  // graph outputs that no step can write itself
    for (size_t i = 0; i < graph_.outputs.size(); ++i) {
      const ValueId id = graph_.outputs[i].value;
      program_->output_types.push_back(type(id));
      Operand& place = home[static_cast<size_t>(root(id))];
      const bool copied =
          std::any_of(copied_inputs.begin(), copied_inputs.end(),
                      [&](size_t input) { return graph_.inputs[input].value == root(id); });
      if (place.kind == Operand::Kind::kAbsent && !copied)
        place = {Operand::Kind::kOutput, i, nullptr};
      else
        copies.emplace_back(i, id);
    }

    std::vector<BufferUse> buffers;
    std::vector<int> buffer_of(graph_.values.size(), -1);
    const auto touch = [&](ValueId id, int step) {
      if (id == kNoValue) return;
      const auto r = static_cast<size_t>(root(id));
      if (home[r].kind != Operand::Kind::kAbsent) return;
      if (buffer_of[r] < 0) {
        buffer_of[r] = static_cast<int>(buffers.size());
        buffers.push_back({types_[r].bytes(), step, step});
      }
      buffers[static_cast<size_t>(buffer_of[r])].last_step = step;
    };
    for (size_t i : copied_inputs) touch(graph_.inputs[i].value, 0);
    for (size_t s = 0; s < steps_.size(); ++s) {
      for (ValueId id : steps_[s].inputs) touch(id, static_cast<int>(s));
      for (ValueId id : steps_[s].outputs) touch(id, static_cast<int>(s));
    }
    const MemoryPlan memory = plan_memory(buffers);
    program_->arena_bytes = memory.total_bytes;
    for (size_t id = 0; id < home.size(); ++id)
      if (buffer_of[id] >= 0)
        home[id] = {Operand::Kind::kArena, memory.offsets[static_cast<size_t>(buffer_of[id])],
                    nullptr};

    const auto operand = [&](ValueId id) {
      return id == kNoValue ? Operand{} : home[static_cast<size_t>(root(id))];
    };
    for (size_t i : copied_inputs)
      copy({Operand::Kind::kInput, i, nullptr}, operand(graph_.inputs[i].value),
           program_->input_types[i].bytes());
    for (PlannedStep& step : steps_) {
      const auto first_input = static_cast<uint32_t>(program_->operands.size());
      for (ValueId id : step.inputs) program_->operands.push_back(operand(id));
      const auto first_output = static_cast<uint32_t>(program_->operands.size());
      for (ValueId id : step.outputs) {
        if (id != kNoValue && graph_.value(id).quantization)
          program_->codes.push_back({static_cast<int>(program_->steps.size()),
                                     program_->operands.size(), type(id).shape.elements(), id});
        program_->operands.push_back(operand(id));
      }
      program_->steps.push_back(
          {step.function, step.parameters.get(), step.node, first_input, first_output});
      program_->owned.push_back(std::move(step.parameters));
    }
    for (const auto& [output, id] : copies)
      copy(operand(id), {Operand::Kind::kOutput, output, nullptr}, type(id).bytes());
  }

  void copy(const Operand& from, const Operand& to, size_t bytes) {
    const auto first = static_cast<uint32_t>(program_->operands.size());
    program_->operands.push_back(from);
    program_->operands.push_back(to);
    program_->owned.push_back(std::make_shared<const CopyStep>(CopyStep{bytes}));
    program_->steps.push_back({CopyStep::run, program_->owned.back().get(), -1, first, first + 1});
  }

  const CompiledModel& model_;
  const Graph& graph_;
  const int threads_;
  std::vector<TensorType> types_;
  std::vector<ValueId> root_;  // the value whose bytes a view shares
  std::vector<PlannedStep> steps_;
  std::shared_ptr<Program> program_;
};

}  // namespace

CompiledModel::CompiledModel(Graph graph, const KernelTable& kernels, bool reference)
    : graph_(std::move(graph)), kernels_(kernels), reference_(reference) {}

std::shared_ptr<const Program> CompiledModel::plan(const std::vector<TensorType>& input_types,
                                                   int threads) const {
  return Planner(*this, input_types, threads).plan();
}

std::shared_ptr<const void> CompiledModel::find_or_make(
    const std::string& key, const std::function<std::shared_ptr<const void>()>& make) const {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<const void>& entry = shared_[key];
  if (!entry) entry = make();
  return entry;
}

}  // namespace sanderling
