#include "plan/program.h"

#include <algorithm>
#include <cstring>

#include "kernels/table.h"
#include "plan/memory.h"

namespace sanderling {
namespace {

class NodePlan final : public PlanContext {
 public:
  NodePlan(const CompiledModel& model, size_t node, const NodeView& view, int threads)
      : PlanContext(view, model.kernels(), threads), model_(model), index_(node) {}

  StepFunction function() const { return function_; }
  const std::shared_ptr<const void>& parameters() const { return parameters_; }
  size_t scratch_bytes() const { return scratch_; }
  const char* kernel() const { return kernel_; }

 private:
  std::shared_ptr<const void> find_or_make(
      std::string_view tag, const std::function<std::shared_ptr<const void>()>& make) override {
    return model_.find_or_make(cat(index_, "/", tag), make);
  }
  std::shared_ptr<const Tensor> find_or_make_tensor(std::string_view tag, const TensorType& type,
                                                    const std::function<Tensor()>& make) override {
    return model_.find_or_make_tensor(cat(index_, "/", tag), type, make);
  }

  const CompiledModel& model_;
  size_t index_;
};

// A node as a step that needs no plan function: what it is made of at run time.
struct NodeStep {
  const Graph* graph;
  const Node* node;
  const Operator* op;
  std::vector<TensorType> types;  // of the inputs that are there
  std::vector<const TensorType*> inputs;
  mutable std::vector<TensorType> outputs;
  std::vector<std::unique_ptr<Body>> bodies;

  NodeView view(const StepArgs& args) const {
    return {*graph,  *node, inputs, {const_cast<const void* const*>(args.inputs), inputs.size()},
            outputs, bodies};
  }
};

// Runs an operator's reference function.
void run_reference(const void* parameters, const StepArgs& args) {
  const auto& step = *static_cast<const NodeStep*>(parameters);
  step.op->reference(ReferenceContext(step.view(args), {args.outputs, step.outputs.size()}));
}

// Outputs whose types and places the plan knows.
class PlannedOutputs final : public ComputeContext {
 public:
  PlannedOutputs(const NodeStep& step, const StepArgs& args)
      : ComputeContext(step.view(args), *args.workers), outputs_(args.outputs) {}

  void* make_output(size_t i, const TensorType& type) override {
    if (!(type == output_type(i)))
      error("gives ", type.to_string(), " as output ", i, " where its types promise ",
            output_type(i).to_string());
    return outputs_[i];
  }

 private:
  void* const* outputs_;
};

void run_compute(const void* parameters, const StepArgs& args) {
  const auto& step = *static_cast<const NodeStep*>(parameters);
  PlannedOutputs context(step, args);
  step.op->compute(context);
}

struct CopyStep {
  size_t bytes;

  static void run(const void* parameters, const StepArgs& args) {
    const size_t bytes = static_cast<const CopyStep*>(parameters)->bytes;
    if (bytes != 0) std::memcpy(args.outputs[0], args.inputs[0], bytes);
  }
};

// Plans the nodes of a graph from one on, given the values that are there.
class Planner {
 public:
  Planner(const CompiledModel& model, const PlanOptions& options, TypeInference types,
          std::vector<ValueId> given, size_t first_node)
      : model_(model),
        graph_(model.graph()),
        options_(options),
        types_(std::move(types)),
        given_(std::move(given)),
        first_node_(first_node),
        root_(graph_.values.size()),
        there_(graph_.values.size(), false),
        program_(std::make_shared<Program>()) {
    for (size_t id = 0; id < root_.size(); ++id) root_[id] = static_cast<ValueId>(id);
    for (ValueId id : given_) {
      program_->input_types.push_back(id == kNoValue ? TensorType{} : type(id));
      if (id != kNoValue) there_[index(id)] = true;
    }
  }

  std::shared_ptr<const Program> plan() {
    for (size_t n = first_node_; n < graph_.nodes.size() && !program_->cut; ++n) add_node(n);
    collect_results();
    drop_dead_steps();
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
    const char* kernel = "copy";
    size_t scratch_bytes = 0;
  };

  static size_t index(ValueId id) { return static_cast<size_t>(id); }
  const TensorType& type(ValueId id) const { return types_.type(id); }
  ValueId root(ValueId id) const { return root_[index(id)]; }
  bool empty(ValueId id) const { return type(id).shape.elements() == 0; }

  void add_node(size_t n) {
    const Node& node = graph_.nodes[n];
    const Operator* op = find_operator(node.op);
    SANDERLING_ASSERT(op != nullptr, node.op);
    std::vector<std::unique_ptr<Body>> bodies = model_.make_bodies(n, options_.make_body);
    try {
      types_.infer(node, bodies);
    } catch (const NeedsValue&) {
      program_->cut.emplace(Cut{n, {}, {}, {}, std::move(bodies)});
      return;
    }
    for (ValueId id : node.outputs)
      if (id != kNoValue) there_[index(id)] = true;
    const auto settled = [&](ValueId id) {
      return id == kNoValue || types_.known(id) || empty(id);
    };
    if (std::all_of(node.outputs.begin(), node.outputs.end(), settled)) return;
    plan_node(n, node, *op, std::move(bodies));
  }

  void plan_node(size_t n, const Node& node, const Operator& op,
                 std::vector<std::unique_ptr<Body>> bodies) {
    const TypeInference::Inputs inputs = types_.inputs_of(node);
    std::vector<TensorType> outputs;
    for (ValueId id : node.outputs) outputs.push_back(id == kNoValue ? TensorType{} : type(id));
    NodePlan context(model_, n, {graph_, node, inputs.types, inputs.data, outputs, bodies},
                     options_.threads);
    const bool view = op.view || (op.view_if && op.view_if(context));
    if (view && !graph_.is_output(node.outputs[0]) && !types_.known(node.inputs[0])) {
      root_[index(node.outputs[0])] = root(node.inputs[0]);
      return;
    }
    if (view) {
      add_copy(static_cast<int>(n), node.inputs[0], node.outputs[0]);
      return;
    }
    // Kernels are for tensors that have elements.
    const bool has_empty_input = std::any_of(node.inputs.begin(), node.inputs.end(),
                                             [&](auto id) { return id != kNoValue && empty(id); });
    if (op.plan && !model_.reference() && (!has_empty_input || op.plans_empty_inputs))
      op.plan(context);
    PlannedStep step{static_cast<int>(n), context.function(), context.parameters(),   node.inputs,
                     node.outputs,        context.kernel(),   context.scratch_bytes()};
    if (!step.function) {
      step.function = op.compute ? run_compute : run_reference;
      step.kernel = op.compute ? "compute" : "reference";
      step.parameters = node_step(node, op, inputs, std::move(outputs), std::move(bodies));
    }
    steps_.push_back(std::move(step));
  }

  std::shared_ptr<const NodeStep> node_step(const Node& node, const Operator& op,
                                            const TypeInference::Inputs& inputs,
                                            std::vector<TensorType> outputs,
                                            std::vector<std::unique_ptr<Body>> bodies) const {
    auto step = std::make_shared<NodeStep>();
    step->graph = &graph_;
    step->node = &node;
    step->op = &op;
    step->types.reserve(inputs.types.size());
    for (const TensorType* input : inputs.types)
      step->types.push_back(input ? *input : TensorType{});
    for (size_t i = 0; i < inputs.types.size(); ++i)
      step->inputs.push_back(inputs.types[i] ? &step->types[i] : nullptr);
    step->outputs = std::move(outputs);
    step->bodies = std::move(bodies);
    return step;
  }

  void add_copy(int node, ValueId from, ValueId to) {
    steps_.push_back({node,
                      CopyStep::run,
                      std::make_shared<const CopyStep>(CopyStep{type(to).bytes()}),
                      {from},
                      {to},
                      "copy"});
  }

  // What must be there when the last step has run.
  void collect_results() {
    if (!program_->cut) {
      for (const GraphOutput& output : graph_.outputs) {
        results_.push_back(output.value);
        program_->output_types.push_back(type(output.value));
      }
      program_->writes_outputs = options_.write_outputs;
      return;
    }
    Cut& cut = *program_->cut;
    std::vector<bool> listed(graph_.values.size(), false);
    const auto list = [&](ValueId id) {
      if (id == kNoValue || graph_.constant(id) || !there_[index(id)] || listed[index(id)]) return;
      listed[index(id)] = true;
      cut.live.push_back(id);
    };
    for (size_t n = cut.node; n < graph_.nodes.size(); ++n)
      for (ValueId id : graph_.nodes[n].inputs) list(id);
    for (const GraphOutput& output : graph_.outputs) list(output.value);
    cut.types = std::make_shared<const TypeInference>(types_);
    results_ = cut.live;
  }

  // Steps whose outputs only shape arithmetic would have read.
  void drop_dead_steps() {
    std::vector<bool> needed(graph_.values.size(), false);
    for (ValueId id : results_) needed[index(root(id))] = true;
    for (size_t s = steps_.size(); s-- > 0;) {
      const auto wanted = [&](ValueId id) { return id != kNoValue && needed[index(root(id))]; };
      PlannedStep& step = steps_[s];
      if (!std::any_of(step.outputs.begin(), step.outputs.end(), wanted)) {
        step.function = nullptr;
        continue;
      }
      for (ValueId id : step.inputs)
        if (id != kNoValue) needed[index(root(id))] = true;
    }
    std::erase_if(steps_, [](const PlannedStep& step) { return step.function == nullptr; });
    for (const PlannedStep& step : steps_)
      program_->scratch_bytes = std::max(program_->scratch_bytes, step.scratch_bytes);
  }

  // Gives every value a home: a constant's own memory, an input, a graph output's buffer, or a
  // place in the arena.
  void place_values() {
    std::vector<Operand> home(graph_.values.size());
    for (size_t id = 0; id < home.size(); ++id)
      if (const Tensor* known = types_.known(static_cast<ValueId>(id)))
        home[id] = {Operand::Kind::kConstant, 0, known->raw()};
    // Their elements live in here.
    program_->owned.push_back(std::make_shared<const TypeInference>(types_));
    // Integer kernels read past the end of codes (kSlackBytes), which a caller's array does not
    // allow: codes that come in from outside are copied into the arena first.
    std::vector<size_t> copied_inputs;
    for (size_t i = 0; i < given_.size(); ++i) {
      if (given_[i] == kNoValue || home[index(given_[i])].kind != Operand::Kind::kAbsent) continue;
      if (first_node_ == 0 && graph_.value(given_[i]).quantization)
        copied_inputs.push_back(i);
      else
        home[index(given_[i])] = {Operand::Kind::kInput, i, nullptr};
    }
    std::vector<std::pair<size_t, ValueId>> copies;  // graph outputs that no step can write itself
    for (size_t i = 0; program_->writes_outputs && i < results_.size(); ++i) {
      const ValueId id = results_[i];
      Operand& place = home[index(root(id))];
      const bool copied = std::any_of(copied_inputs.begin(), copied_inputs.end(),
                                      [&](size_t input) { return given_[input] == root(id); });
      if (place.kind == Operand::Kind::kAbsent && !copied)
        place = {Operand::Kind::kOutput, i, nullptr};
      else
        copies.emplace_back(i, id);
    }

    std::vector<BufferUse> buffers;
    std::vector<int> buffer_of(graph_.values.size(), -1);
    const auto touch = [&](ValueId id, int step) {
      if (id == kNoValue) return;
      const auto r = index(root(id));
      if (home[r].kind != Operand::Kind::kAbsent) return;
      if (buffer_of[r] < 0) {
        buffer_of[r] = static_cast<int>(buffers.size());
        buffers.push_back({type(root(id)).bytes(), step, step});
      }
      buffers[static_cast<size_t>(buffer_of[r])].last_step = step;
    };
    for (size_t i : copied_inputs) touch(given_[i], 0);
    for (size_t s = 0; s < steps_.size(); ++s) {
      for (ValueId id : steps_[s].inputs) touch(id, static_cast<int>(s));
      for (ValueId id : steps_[s].outputs) touch(id, static_cast<int>(s));
    }
    for (ValueId id : results_) touch(id, static_cast<int>(steps_.size()));
    const MemoryPlan memory = plan_memory(buffers);
    program_->arena_bytes = memory.total_bytes;
    for (size_t id = 0; id < home.size(); ++id)
      if (buffer_of[id] >= 0)
        home[id] = {Operand::Kind::kArena, memory.offsets[static_cast<size_t>(buffer_of[id])],
                    nullptr};

    const auto operand = [&](ValueId id) {
      return id == kNoValue ? Operand{} : home[index(root(id))];
    };
    for (size_t i : copied_inputs)
      copy({Operand::Kind::kInput, i, nullptr}, operand(given_[i]), program_->input_types[i]);
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
      for (ValueId id : step.outputs) {
        if (id == kNoValue) continue;
        program_->step_types.push_back(type(id));
        break;
      }
      program_->steps.push_back({step.function, step.parameters.get(), step.node, first_input,
                                 first_output, step.kernel});
      program_->owned.push_back(std::move(step.parameters));
    }
    for (const auto& [output, id] : copies)
      copy(operand(id), {Operand::Kind::kOutput, output, nullptr}, type(id));
    if (program_->cut)
      for (ValueId id : results_) program_->cut->places.push_back(operand(id));
    else if (!program_->writes_outputs)
      for (ValueId id : results_) program_->outputs.push_back(operand(id));
  }

  void copy(const Operand& from, const Operand& to, const TensorType& type) {
    const auto first = static_cast<uint32_t>(program_->operands.size());
    program_->operands.push_back(from);
    program_->operands.push_back(to);
    program_->owned.push_back(std::make_shared<const CopyStep>(CopyStep{type.bytes()}));
    program_->step_types.push_back(type);
    program_->steps.push_back(
        {CopyStep::run, program_->owned.back().get(), -1, first, first + 1, "copy"});
  }

  const CompiledModel& model_;
  const Graph& graph_;
  const PlanOptions& options_;
  TypeInference types_;
  const std::vector<ValueId> given_;  // the program's inputs
  const size_t first_node_;
  std::vector<ValueId> root_;  // the value whose bytes a view shares
  std::vector<bool> there_;    // given, or made by a node so far
  std::vector<PlannedStep> steps_;
  std::vector<ValueId> results_;
  std::shared_ptr<Program> program_;
};

}  // namespace

std::shared_ptr<const Program> CompiledModel::plan(const std::vector<TensorType>& input_types,
                                                   const PlanOptions& options) const {
  SANDERLING_ASSERT(input_types.size() == graph_.inputs.size(), input_types.size());
  TypeInference types(graph_);
  std::vector<ValueId> given;
  for (size_t i = 0; i < graph_.inputs.size(); ++i) {
    given.push_back(graph_.inputs[i].value);
    types.set_type(given.back(), input_types[i]);
  }
  return Planner(*this, options, std::move(types), std::move(given), 0).plan();
}

std::shared_ptr<const Program> CompiledModel::plan_after(
    const Cut& cut, const std::vector<TensorType>& node_outputs, const PlanOptions& options) const {
  const Node& node = graph_.nodes[cut.node];
  SANDERLING_ASSERT(node_outputs.size() == node.outputs.size(), node_outputs.size());
  TypeInference types = *cut.types;
  std::vector<ValueId> given = cut.live;
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    given.push_back(node.outputs[i]);
    if (node.outputs[i] != kNoValue) types.set_type(node.outputs[i], node_outputs[i]);
  }
  PlanOptions rest = options;
  rest.write_outputs = false;
  return Planner(*this, rest, std::move(types), std::move(given), cut.node + 1).plan();
}

}  // namespace sanderling
