#include "ops/axes.h"
#include "ops/subgraphs.h"

namespace sanderling {
namespace {

constexpr const char* kBody = "body";
constexpr int64_t kWithoutBatchSince = 9;

// How the node cuts its inputs and stacks its outputs. Before opset 9 axis 0 is a batch, and each
// of its rows is scanned by itself, for as many steps as input 0 may say.
struct Plan {
  bool batch = false;
  size_t first = 0;    // of the node's inputs that are states or scanned
  size_t states = 0;   // that one step hands to the next
  size_t scanned = 0;  // inputs that are cut
  size_t stacked = 0;  // outputs that are made of a piece per step
  int64_t rows = 1;
  int64_t steps = 0;
  std::vector<int64_t> axes;         // of scanned inputs, that of the steps
  std::vector<bool> backwards;       // of scanned inputs
  std::vector<int64_t> output_axes;  // of stacked outputs, not yet checked
  std::vector<bool> output_backwards;
};

std::vector<bool> directions(const InferContext& context, const char* name, size_t count) {
  const std::vector<int64_t> given = context.attributes().integers(name, {});
  if (!given.empty() && given.size() != count)
    context.error(name, " has ", given.size(), " values, expected ", count);
  std::vector<bool> backwards(count, false);
  for (size_t i = 0; i < given.size(); ++i) backwards[i] = given[i] != 0;
  return backwards;
}

std::vector<int64_t> axes(const InferContext& context, const char* name, size_t count) {
  std::vector<int64_t> given = context.attributes().integers(name, {});
  if (given.empty()) given.assign(count, 0);
  if (given.size() != count)
    context.error(name, " has ", given.size(), " values, expected ", count);
  return given;
}

Plan plan_of(const InferContext& context) {
  Plan plan;
  plan.batch = context.node().opset < kWithoutBatchSince;
  plan.first = plan.batch ? 1 : 0;
  const int64_t scanned = context.attributes().integer("num_scan_inputs", 0);
  const auto inputs = static_cast<int64_t>(context.formal_inputs() - plan.first);
  if (scanned < 1 || scanned > inputs)
    context.error("num_scan_inputs is ", scanned, ", the node has ", inputs, " inputs");
  plan.scanned = static_cast<size_t>(scanned);
  plan.states = static_cast<size_t>(inputs - scanned);
  plan.stacked = context.outputs() > plan.states ? context.outputs() - plan.states : 0;
  plan.backwards =
      directions(context, plan.batch ? "directions" : "scan_input_directions", plan.scanned);
  plan.output_backwards = directions(context, "scan_output_directions", plan.stacked);
  plan.axes = axes(context, "scan_input_axes", plan.scanned);
  plan.output_axes = axes(context, "scan_output_axes", plan.stacked);
  for (size_t i = 0; i < plan.scanned; ++i) {
    const TensorType& x = context.input(plan.first + plan.states + i);
    plan.axes[i] = plan.batch ? 1 : checked_axis(context, plan.axes[i], x.shape.rank());
    if (x.shape.rank() <= plan.axes[i])
      context.error("scans ", x.to_string(), ", which has no axis for the steps");
    const int64_t steps = x.shape[plan.axes[i]];
    if (i > 0 && steps != plan.steps)
      context.error("scans inputs of ", plan.steps, " and ", steps, " steps");
    plan.steps = steps;
    if (plan.batch) plan.rows = x.shape[0];
  }
  return plan;
}

TensorType without_axis(const TensorType& type, int64_t axis) {
  std::vector<int64_t> dims = type.shape.dims();
  dims.erase(dims.begin() + axis);
  return {type.dtype, Shape(std::move(dims))};
}

// The type of one state, or of one piece of a scanned input.
TensorType piece_type(const InferContext& context, const Plan& plan, size_t i) {
  TensorType type = context.input(plan.first + i);
  if (i >= plan.states) type = without_axis(type, plan.axes[i - plan.states]);
  return plan.batch ? without_axis(type, 0) : type;
}

const std::vector<TensorType>* body_types(const InferContext& context, const Plan& plan) {
  std::vector<TensorType> inputs;
  for (size_t i = 0; i < plan.states + plan.scanned; ++i)
    inputs.push_back(piece_type(context, plan, i));
  for (size_t i : context.captures(kBody)) inputs.push_back(context.input(i));
  return context.body(kBody).output_types(inputs);
}

// The type of an output whose pieces are `piece`.
TensorType stacked_type(const InferContext& context, const Plan& plan, size_t i,
                        const TensorType& piece) {
  std::vector<int64_t> dims = piece.shape.dims();
  const int64_t axis =
      plan.batch ? 0 : checked_axis(context, plan.output_axes[i], piece.shape.rank() + 1);
  dims.insert(dims.begin() + axis, plan.steps);
  if (plan.batch) dims.insert(dims.begin(), plan.rows);
  return {piece.dtype, Shape(std::move(dims))};
}

bool same_length(const InferContext& context, const Plan& plan) {
  return !plan.batch || !context.has_input(0);
}

void infer(InferContext& context) {
  const Plan plan = plan_of(context);
  const std::vector<TensorType>* const types = body_types(context, plan);
  if (!types || types->size() < plan.states + plan.stacked || !same_length(context, plan))
    context.needs_values();
  for (size_t i = 0; i < plan.states; ++i) {
    if (!((*types)[i] == piece_type(context, plan, i))) context.needs_values();
    context.set_output(i, context.input(plan.first + i).dtype, context.input(plan.first + i).shape);
  }
  for (size_t i = 0; i < plan.stacked; ++i) {
    const TensorType type = stacked_type(context, plan, i, (*types)[plan.states + i]);
    context.set_output(plan.states + i, type.dtype, type.shape);
  }
}

// Element ranges of a tensor that is cut along one axis: `count` runs of `run` bytes, `stride`
// bytes apart.
struct Cut {
  Cut(const TensorType& type, int64_t axis)
      : count(type.shape.elements(0, axis)),
        run(static_cast<size_t>(type.shape.elements(axis + 1, type.shape.rank())) *
            size_of(type.dtype)),
        stride(run * static_cast<size_t>(type.shape[axis])) {}

  void read(const std::byte* whole, int64_t at, std::byte* piece) const {
    for (int64_t i = 0; i < count && run != 0; ++i)
      std::memcpy(piece + static_cast<size_t>(i) * run,
                  whole + static_cast<size_t>(i) * stride + static_cast<size_t>(at) * run, run);
  }
  void write(const std::byte* piece, int64_t at, std::byte* whole) const {
    for (int64_t i = 0; i < count && run != 0; ++i)
      std::memcpy(whole + static_cast<size_t>(i) * stride + static_cast<size_t>(at) * run,
                  piece + static_cast<size_t>(i) * run, run);
  }

  int64_t count;
  size_t run, stride;
};

const std::byte* bytes_of(const TensorView& view) {
  return static_cast<const std::byte*>(view.data);
}

// One row of the batch, or the whole of a tensor without one.
TensorView row_of(const Plan& plan, const TensorView& whole, int64_t row) {
  if (!plan.batch) return whole;
  const TensorType type = without_axis(whole.type, 0);
  return {type, static_cast<std::byte*>(whole.data) + static_cast<size_t>(row) * type.bytes()};
}

class Scan {
 public:
  explicit Scan(ComputeContext& context) : context_(context), plan_(plan_of(context)) {}

  void run() {
    outputs_.resize(plan_.stacked, nullptr);
    for (int64_t row = 0; row < plan_.rows; ++row) run_row(row);
    give_unmade();
  }

 private:
  int64_t length(int64_t row) const {
    if (same_length(context_, plan_)) return plan_.steps;
    const int64_t steps = context_.constant(0).data<int64_t>()[static_cast<size_t>(row)];
    if (steps < 0 || steps > plan_.steps)
      context_.error("row ", row, " has ", steps, " steps of ", plan_.steps);
    return steps;
  }

  void run_row(int64_t row) {
    std::vector<TensorView> states;
    std::vector<Tensor> held(plan_.states);
    for (size_t i = 0; i < plan_.states; ++i)
      states.push_back(row_of(plan_, context_.view(plan_.first + i), row));
    const int64_t steps = length(row);
    for (int64_t step = 0; step < steps; ++step) {
      std::vector<Tensor> pieces;
      std::vector<TensorView> inputs = states;
      for (size_t i = 0; i < plan_.scanned; ++i) {
        pieces.push_back(piece(row, i, plan_.backwards[i] ? steps - 1 - step : step));
        inputs.push_back(pieces.back().view());
      }
      add_captures(context_, kBody, inputs);
      const auto results = context_.body(kBody).run(inputs, context_.workers());
      if (results.size() < plan_.states + plan_.stacked)
        context_.error("has ", context_.outputs(), " outputs, its body gives ", results.size());
      for (size_t i = 0; i < plan_.stacked; ++i)
        put(row, i, plan_.output_backwards[i] ? plan_.steps - 1 - step : step,
            results[plan_.states + i]);
      std::vector<Tensor> next;
      for (size_t i = 0; i < plan_.states; ++i) next.push_back(copy_of(results[i]));
      held.swap(next);
      for (size_t i = 0; i < plan_.states; ++i) states[i] = held[i].view();
    }
    for (size_t i = 0; i < plan_.states; ++i) put_state(row, i, states[i]);
  }

  Tensor piece(int64_t row, size_t i, int64_t step) const {
    const TensorView whole = row_of(plan_, context_.view(plan_.first + plan_.states + i), row);
    const int64_t axis = plan_.batch ? 0 : plan_.axes[i];
    Tensor piece(without_axis(whole.type, axis));
    Cut(whole.type, axis).read(bytes_of(whole), step, static_cast<std::byte*>(piece.mutable_raw()));
    return piece;
  }

  void put(int64_t row, size_t i, int64_t step, const TensorView& value) {
    if (!context_.has_output(plan_.states + i)) return;
    const TensorType type = stacked_type(context_, plan_, i, value.type);
    if (!outputs_[i]) {
      outputs_[i] = static_cast<std::byte*>(context_.make_output(plan_.states + i, type));
      piece_types_.resize(plan_.stacked);
      piece_types_[i] = value.type;
      std::memset(outputs_[i], 0, type.bytes());  // rows may be shorter than others
    }
    if (!(piece_types_[i] == value.type))
      context_.error("output ", plan_.states + i, " is made of ", piece_types_[i].to_string(),
                     " and ", value.type.to_string());
    const TensorType whole = plan_.batch ? without_axis(type, 0) : type;
    const int64_t axis =
        plan_.batch ? 0 : checked_axis(context_, plan_.output_axes[i], whole.shape.rank());
    Cut(whole, axis)
        .write(bytes_of(value), step,
               outputs_[i] +
                   static_cast<size_t>(row) * whole.bytes() * static_cast<size_t>(plan_.batch));
  }

  void put_state(int64_t row, size_t i, const TensorView& value) {
    if (!context_.has_output(i)) return;
    if (!plan_.batch) return give(context_, i, value);
    states_.resize(plan_.states, nullptr);
    if (!states_[i]) {
      std::vector<int64_t> dims = value.type.shape.dims();
      dims.insert(dims.begin(), plan_.rows);
      states_[i] = static_cast<std::byte*>(
          context_.make_output(i, {value.type.dtype, Shape(std::move(dims))}));
    }
    copy_elements(value, states_[i] + static_cast<size_t>(row) * value.type.bytes());
  }

  // Stacked outputs of a scan without steps.
  void give_unmade() {
    for (size_t i = 0; i < plan_.stacked; ++i) {
      if (outputs_[i] || !context_.has_output(plan_.states + i)) continue;
      const std::vector<TensorType>* const types = body_types(context_, plan_);
      if (!types) context_.error("has no steps, so that what it would give is unknown");
      const TensorType type = stacked_type(context_, plan_, i, (*types)[plan_.states + i]);
      std::memset(context_.make_output(plan_.states + i, type), 0, type.bytes());
    }
  }

  ComputeContext& context_;
  const Plan plan_;
  std::vector<std::byte*> outputs_;  // the stacked ones
  std::vector<TensorType> piece_types_;
  std::vector<std::byte*> states_;  // with a batch
};

void compute(ComputeContext& context) { Scan(context).run(); }

SANDERLING_OPERATOR(scan)({.name = "Scan",
                           .since_opset = 8,
                           .min_inputs = 0,
                           .max_inputs = std::numeric_limits<size_t>::max(),
                           .max_outputs = std::numeric_limits<size_t>::max(),
                           .infer = infer,
                           .compute = compute});

}  // namespace
}  // namespace sanderling
