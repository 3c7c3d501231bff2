#include "plan/program.h"

#include <algorithm>

#include "kernels/table.h"
#include "plan/lay_out.h"

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
        storage_(graph_.values.size()),
        maker_(graph_.values.size(), -1),
        there_(graph_.values.size(), false),
        program_(std::make_shared<Program>()) {
    for (ValueId id : given_) {
      program_->input_types.push_back(id == kNoValue ? TensorType{} : type(id));
      if (id != kNoValue) there_[index(id)] = true;
    }
  }

  std::shared_ptr<const Program> plan() {
    for (size_t n = first_node_; n < graph_.nodes.size() && !program_->cut; ++n) add_node(n);
    collect_results();
    drop_dead_steps();
    lay_out({graph_, std::move(types_), given_, std::move(steps_), std::move(results_),
             std::move(storage_)},
            /*from_user=*/first_node_ == 0, *program_);
    return program_;
  }

 private:
  static size_t index(ValueId id) { return static_cast<size_t>(id); }
  const TensorType& type(ValueId id) const { return types_.type(id); }
  ValueId root(ValueId id) const { return storage_.root(id); }
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
    if (view && !graph_.is_output(node.outputs[0]) && !types_.known(node.inputs[0]))
      return storage_.put(node.outputs[0], node.inputs[0], 0);
    if (view)
      return add_step(copy_step(static_cast<int>(n), node.inputs[0], node.outputs[0],
                                type(node.outputs[0]).bytes()));
    if (op.part_offset && take_parts(node, op, context)) return;
    // Kernels are for tensors that have elements.
    const bool has_empty_input = std::any_of(node.inputs.begin(), node.inputs.end(),
                                             [&](auto id) { return id != kNoValue && empty(id); });
    if (op.plan && !model_.reference() && (!has_empty_input || op.plans_empty_inputs))
      op.plan(context);
    PlannedStep step{static_cast<int>(n), context.function(), context.parameters(),   node.inputs,
                     node.outputs,        context.kernel(),   context.scratch_bytes()};
    step.writes_in_place = op.elementwise && step.function;
    if (op.piece_offset) step.piece_offsets = piece_offsets(op, context);
    if (!step.function) {
      step.function = op.compute ? run_compute : run_reference;
      step.kernel = op.compute ? "compute" : "reference";
      step.parameters = node_step(node, op, inputs, std::move(outputs), std::move(bodies));
    }
    add_step(std::move(step));
  }

  void add_step(PlannedStep step) {
    for (ValueId id : step.outputs)
      if (id != kNoValue) maker_[index(id)] = static_cast<int>(steps_.size());
    steps_.push_back(std::move(step));
  }

  // Leaves the outputs where they are in input 0; false if one of them is not in one run of bytes
  // there, or must be elsewhere.
  bool take_parts(const Node& node, const Operator& op, const NodePlan& context) {
    const ValueId whole = node.inputs[0];
    const int maker = maker_[index(root(whole))];
    // Codes are counted after the step that makes them: parts of an input need one.
    if (types_.known(whole) || (maker < 0 && graph_.value(whole).quantization)) return false;
    std::vector<std::optional<size_t>> offsets;
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      const ValueId part = node.outputs[i];
      offsets.push_back(part == kNoValue ? 0 : op.part_offset(context, i));
      if (!offsets.back() || (part != kNoValue && graph_.is_output(part))) return false;
    }
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      const ValueId part = node.outputs[i];
      if (part == kNoValue) continue;
      storage_.put(part, whole, *offsets[i]);
      if (maker >= 0) steps_[static_cast<size_t>(maker)].completes.push_back(part);
    }
    return true;
  }

  // Where each input is in output 0; none if they are not one after the other.
  static std::vector<size_t> piece_offsets(const Operator& op, const NodePlan& context) {
    std::vector<size_t> offsets;
    for (size_t i = 0; i < context.inputs(); ++i) {
      const std::optional<size_t> offset = op.piece_offset(context, i);
      if (!offset) return {};
      offsets.push_back(*offset);
    }
    return offsets;
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
  }

  const CompiledModel& model_;
  const Graph& graph_;
  const PlanOptions& options_;
  TypeInference types_;
  const std::vector<ValueId> given_;  // the program's inputs
  const size_t first_node_;
  Storage storage_;
  std::vector<int> maker_;   // the step that makes a value, -1 if none does
  std::vector<bool> there_;  // given, or made by a node so far
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
