// What LSTM, GRU and RNN share: the shape rule, the walk over time of the reference, and a plan
// that multiplies the inputs of many steps at once and then goes on step by step.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <vector>

#include "kernels/table.h"
#include "ops/gate_functions.h"

namespace sanderling {

// Inputs of the node.
constexpr size_t kX = 0, kW = 1, kR = 2, kB = 3, kLengths = 4, kInitialH = 5, kInitialC = 6, kP = 7;

// The extents and settings of a recurrent node.
struct Recurrence {
  int64_t gates, directions, steps, batch, input, hidden;
  bool batch_first = false;  // layout 1
  bool only_reverse = false;
  float clip = 0.0f;                      // 0: none
  std::vector<GateFunction> functions{};  // those of the first direction, then of the second

  bool reversed(int64_t direction) const { return only_reverse || direction == 1; }
  const GateFunction& function(int64_t direction, size_t i) const {
    return functions[static_cast<size_t>(direction) *
                         (functions.size() / static_cast<size_t>(directions)) +
                     i];
  }
  // Where rows start, in elements: of x, of y, and of initial and last states.
  int64_t x_row(int64_t t, int64_t b) const {
    return (batch_first ? b * steps + t : t * batch + b) * input;
  }
  int64_t y_row(int64_t t, int64_t direction, int64_t b) const {
    return (batch_first ? (b * steps + t) * directions + direction
                        : (t * directions + direction) * batch + b) *
           hidden;
  }
  int64_t state_row(int64_t direction, int64_t b) const {
    return (batch_first ? b * directions + direction : direction * batch + b) * hidden;
  }
  // Steps of sequence b; what is outside [0, steps] is as the nearest that is not.
  int64_t length(const int32_t* lengths, int64_t b) const;
  // The moment of step `step` of a sequence of `length`.
  int64_t moment(int64_t direction, int64_t step, int64_t length) const {
    return reversed(direction) ? length - 1 - step : step;
  }
  template <typename T>
  T clipped(T x) const {
    const T limit = static_cast<T>(clip);
    return limit == T{0} ? x : x < -limit ? -limit : x > limit ? limit : x;
  }
};

// `defaults` are the names of one direction's functions.
Recurrence recurrence_of(const InferContext& context, int64_t gates,
                         const std::vector<std::string>& defaults);
// The shape rule; LSTM has a cell state besides the hidden one.
void infer_recurrent(InferContext& context, const Recurrence& recurrence, bool has_cell);
int64_t recurrent_macs(const Recurrence& recurrence);

// One step of one sequence, in double.
struct ReferenceStep {
  int64_t direction;
  const std::vector<double>& x;  // [gates][hidden]: products of the input, and the W half of b
  // The product of row j of a gate's recurrent weights, and the R half of b.
  std::function<double(int64_t gate, int64_t j, const std::vector<double>& h)> r;
  std::vector<double>& h;  // the state, to be replaced
  std::vector<double>& c;
};
void reference_recurrent(const ReferenceContext& context, const Recurrence& recurrence,
                         const std::function<void(const ReferenceStep&)>& step);

// Rows of a weight matrix in blocks of hidden units, each block with those of several gates: so one
// task computes all that its units need. Packed for the kernels.
struct GateBlocks {
  std::shared_ptr<const Tensor> packed;
  std::vector<int64_t> starts;  // of each block, in elements
};

// What the cell of one sequence and one block of hidden units works on. Gate g of `x` starts at g *
// width, and so does gate g of `r`, counted from the phase's first.
struct CellBlock {
  int64_t direction, first, width;  // hidden units [first, first + width)
  float* x;                         // products of the input and biases; free to be overwritten
  const float* r;                   // products of the phase
  const float* h;                   // state before; from unit `first` on, as all that follow
  float* next_h;
  float* c;
  float* mixed;  // what the next phase multiplies
};

struct RecurrentPlan;
using Cell = void (*)(const RecurrentPlan& plan, const CellBlock& block);

// A phase of a step: a product of the state (or of what the phase before mixed) with the recurrent
// weights of some gates, then the cell.
struct Phase {
  int64_t first_gate, gates;
  bool of_mixed;  // multiplies `mixed`, not h
  Cell cell;
  std::array<GateBlocks, 2> weights{};  // by direction
};

struct RecurrentPlan {
  Recurrence recurrence;
  const KernelTable* kernels = nullptr;
  std::vector<Phase> phases{};
  std::array<GateBlocks, 2> input_weights{};
  std::array<std::shared_ptr<const Tensor>, 2> input_bias{}, recurrent_bias{};  // as the blocks
  std::array<std::shared_ptr<const Tensor>, 2> peepholes{};  // [3][hidden]; or nullptr
  bool input_forget = false;
  size_t inputs = 0, outputs = 0;     // how many the node has
  int64_t unit_block = 0, chunk = 0;  // hidden units of a block, steps of one input product
  int64_t sequences = 0;              // that a task takes; 0: all threads share each step
};

// Emits a step if all is float32 and the weights are constants. `plan` comes with phases (without
// weights) and what only its operator knows. The R half of b is added to the products of the input,
// but from this gate on to those of the state.
void plan_recurrent(PlanContext& context, RecurrentPlan plan, int64_t first_recurrent_bias_gate);

}  // namespace sanderling
