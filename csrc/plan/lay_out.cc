#include "plan/lay_out.h"

#include <algorithm>
#include <cstring>

#include "plan/memory.h"
#include "plan/share_storage.h"

namespace sanderling {
namespace {

class Layout {
 public:
  Layout(PlannedSteps planned, bool from_user, bool writes_outputs)
      : planned_(std::move(planned)), from_user_(from_user), home_(planned_.graph.values.size()) {
    write_in_place(planned_, writes_outputs ? planned_.results : std::vector<ValueId>{});
    find_constants();
    find_inputs();
    if (writes_outputs) find_outputs();
    place_in_arena();
  }

  size_t arena_bytes() const { return arena_bytes_; }

  void emit(Program& program) {
    program.arena_bytes = arena_bytes_;
    for (const PlannedStep& step : planned_.steps)
      program.scratch_bytes = std::max(program.scratch_bytes, step.scratch_bytes);
    for (size_t i : copied_inputs_)
      emit_copy(program, {Operand::Kind::kInput, i}, operand(planned_.given[i]),
                program.input_types[i]);
    for (PlannedStep& step : planned_.steps) emit_step(program, step);
    for (const auto& [output, id] : copied_outputs_)
      emit_copy(program, operand(id), {Operand::Kind::kOutput, output}, planned_.types.type(id));
    std::vector<Operand> results;
    for (ValueId id : planned_.results) results.push_back(operand(id));
    if (program.cut)
      program.cut->places = std::move(results);
    else if (!program.writes_outputs)
      program.outputs = std::move(results);
    // The elements of known values live in here.
    program.owned.push_back(std::make_shared<const TypeInference>(std::move(planned_.types)));
  }

 private:
  Operand& home(ValueId id) { return home_[static_cast<size_t>(planned_.storage.root(id))]; }

  Operand operand(ValueId id) {
    if (id == kNoValue) return {};
    const Storage::Place place = planned_.storage.place(id);
    Operand operand = home_[static_cast<size_t>(place.root)];
    operand.offset += place.offset;
    return operand;
  }

  void find_constants() {
    for (size_t id = 0; id < home_.size(); ++id)
      if (const Tensor* known = planned_.types.known(static_cast<ValueId>(id)))
        home_[id] = {Operand::Kind::kConstant, 0, 0, known->raw()};
  }

  // Integer kernels read past the end of codes (kSlackBytes), which a caller's array does not
  // allow: codes that come in from outside are copied into the arena first, and codes that go out
  // are copied from there if a step reads them.
  bool is_codes(ValueId id) const { return planned_.graph.value(id).quantization.has_value(); }

  void find_inputs() {
    for (size_t i = 0; i < planned_.given.size(); ++i) {
      const ValueId id = planned_.given[i];
      if (id == kNoValue || home(id).kind != Operand::Kind::kAbsent) continue;
      if (from_user_ && is_codes(id))
        copied_inputs_.push_back(i);
      else
        home(id) = {Operand::Kind::kInput, i};
    }
  }

  void find_outputs() {
    std::vector<bool> in_arena(home_.size(), false);  // roots
    const auto keep = [&](ValueId id) {
      in_arena[static_cast<size_t>(planned_.storage.root(id))] = true;
    };
    for (size_t i : copied_inputs_) keep(planned_.given[i]);
    for (const PlannedStep& step : planned_.steps)
      for (ValueId id : step.inputs)
        if (id != kNoValue && is_codes(id)) keep(id);
    for (size_t i = 0; i < planned_.results.size(); ++i) {
      const ValueId id = planned_.results[i];
      if (home(id).kind == Operand::Kind::kAbsent &&
          !in_arena[static_cast<size_t>(planned_.storage.root(id))])
        home(id) = {Operand::Kind::kOutput, i};
      else
        copied_outputs_.emplace_back(i, id);  // no step can write it itself
    }
  }

  void place_in_arena() {
    std::vector<BufferUse> buffers;
    std::vector<int> buffer_of(home_.size(), -1);
    const auto touch = [&](ValueId id, int step) {
      if (id == kNoValue || home(id).kind != Operand::Kind::kAbsent) return;
      const ValueId root = planned_.storage.root(id);
      int& buffer = buffer_of[static_cast<size_t>(root)];
      if (buffer < 0) {
        buffer = static_cast<int>(buffers.size());
        buffers.push_back({planned_.bytes(root), step, step});
      }
      buffers[static_cast<size_t>(buffer)].last_step = step;
    };
    for (size_t i : copied_inputs_) touch(planned_.given[i], 0);
    for (size_t s = 0; s < planned_.steps.size(); ++s) {
      for (ValueId id : planned_.steps[s].inputs) touch(id, static_cast<int>(s));
      for (ValueId id : planned_.steps[s].outputs) touch(id, static_cast<int>(s));
    }
    for (ValueId id : planned_.results) touch(id, static_cast<int>(planned_.steps.size()));
    const MemoryPlan memory = plan_memory(buffers);
    arena_bytes_ = memory.total_bytes;
    for (size_t id = 0; id < home_.size(); ++id)
      if (buffer_of[id] >= 0)
        home_[id] = {Operand::Kind::kArena, 0, memory.offsets[static_cast<size_t>(buffer_of[id])]};
  }

  void emit_step(Program& program, PlannedStep& step) {
    const auto number = static_cast<int>(program.steps.size());
    const auto watch = [&](ValueId id) {
      if (planned_.graph.value(id).quantization)
        program.codes.push_back(
            {number, program.operands.size(), planned_.types.type(id).shape.elements(), id});
    };
    const auto first_input = static_cast<uint32_t>(program.operands.size());
    for (ValueId id : step.inputs) program.operands.push_back(operand(id));
    const auto first_output = static_cast<uint32_t>(program.operands.size());
    for (ValueId id : step.outputs) {
      if (id != kNoValue && !step.part_offset) watch(id);
      program.operands.push_back(operand(id));
      program.operands.back().offset += step.part_offset.value_or(0);
    }
    for (ValueId id : step.completes) {  // beyond what the step itself sees
      watch(id);
      program.operands.push_back(operand(id));
    }
    const auto written = std::find_if(step.outputs.begin(), step.outputs.end(),
                                      [](ValueId id) { return id != kNoValue; });
    program.step_types.push_back(planned_.types.type(*written));
    program.steps.push_back(
        {step.function, step.parameters.get(), step.node, first_input, first_output, step.kernel});
    program.owned.push_back(std::move(step.parameters));
  }

  static void emit_copy(Program& program, const Operand& from, const Operand& to,
                        const TensorType& type) {
    const PlannedStep copy = copy_step(-1, kNoValue, kNoValue, type.bytes());
    const auto first = static_cast<uint32_t>(program.operands.size());
    program.operands.push_back(from);
    program.operands.push_back(to);
    program.step_types.push_back(type);
    program.steps.push_back(
        {copy.function, copy.parameters.get(), copy.node, first, first + 1, copy.kernel});
    program.owned.push_back(copy.parameters);
  }

  PlannedSteps planned_;
  const bool from_user_;
  std::vector<Operand> home_;  // of roots
  std::vector<size_t> copied_inputs_;
  std::vector<std::pair<size_t, ValueId>> copied_outputs_;
  size_t arena_bytes_ = 0;
};

}  // namespace

void CopyStep::run(const void* parameters, const StepArgs& args) {
  const size_t bytes = static_cast<const CopyStep*>(parameters)->bytes;
  if (bytes != 0) std::memcpy(args.outputs[0], args.inputs[0], bytes);
}

PlannedStep copy_step(int node, ValueId from, ValueId to, size_t bytes) {
  return {node, CopyStep::run, std::make_shared<const CopyStep>(CopyStep{bytes}), {from}, {to}};
}

void lay_out(PlannedSteps planned, bool from_user, Program& program) {
  const bool has_pieces = std::any_of(planned.steps.begin(), planned.steps.end(),
                                      [](const auto& step) { return !step.piece_offsets.empty(); });
  Layout apart(planned, from_user, program.writes_outputs);
  if (has_pieces) {
    join_pieces(planned);
    Layout joined(std::move(planned), from_user, program.writes_outputs);
    if (joined.arena_bytes() <= apart.arena_bytes()) return joined.emit(program);
  }
  apart.emit(program);
}

}  // namespace sanderling
