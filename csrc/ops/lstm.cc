#include "ops/lstm.h"

#include <algorithm>

namespace sanderling {
namespace {

// Gates in the order of the weights; the peepholes are those of the first three.
constexpr int64_t kInputGate = 0, kOutputGate = 1, kForgetGate = 2, kCellGate = 3;
constexpr size_t kF = 0, kG = 1, kHiddenFunction = 2;  // functions of a direction

Recurrence recurrence(const InferContext& context) {
  return recurrence_of(context, 4, {"Sigmoid", "Tanh", "Tanh"});
}

// The forget gate is what the input gate leaves.
bool input_forget(const InferContext& context) {
  return context.attributes().integer("input_forget", 0) != 0;
}

// clip bounds what goes into the gates' functions, not the cell state that goes into the last: so
// ONNX Runtime reads the specification.
template <typename T>
void advance(const ReferenceContext& context, const Recurrence& s, const ReferenceStep& step) {
  const T* const p =
      context.has_input(kP) ? context.in<T>(kP) + step.direction * 3 * s.hidden : nullptr;
  const bool coupled = input_forget(context);
  std::vector<double> h(step.h.size());
  for (int64_t j = 0; j < s.hidden; ++j) {
    double& c = step.c[static_cast<size_t>(j)];
    const auto gate = [&](int64_t g, size_t function, double state) {
      double sum = step.x[static_cast<size_t>(g * s.hidden + j)] + step.r(g, j, step.h);
      if (p && g != kCellGate) sum += static_cast<double>(p[g * s.hidden + j]) * state;
      return s.function(step.direction, function)(s.clipped(sum));
    };
    const double in = gate(kInputGate, kF, c);
    const double forget = coupled ? 1.0 - in : gate(kForgetGate, kF, c);
    c = forget * c + in * gate(kCellGate, kG, c);
    h[static_cast<size_t>(j)] =
        gate(kOutputGate, kF, c) * s.function(step.direction, kHiddenFunction)(c);
  }
  step.h = h;
}

// x = function(clip(x + r + p * c)) of one gate.
void gate(const RecurrentPlan& s, const CellBlock& b, int64_t g, size_t function) {
  const Recurrence& q = s.recurrence;
  float* const x = b.x + g * b.width;
  const float* const r = b.r + g * b.width;
  for (int64_t j = 0; j < b.width; ++j) x[j] += r[j];
  const Tensor* const all = s.peepholes[static_cast<size_t>(b.direction)].get();
  if (all && g != kCellGate) {
    const float* const p = all->data<float>().data() + g * q.hidden + b.first;
    for (int64_t j = 0; j < b.width; ++j) x[j] += p[j] * b.c[j];
  }
  if (q.clip > 0.0f)
    for (int64_t j = 0; j < b.width; ++j) x[j] = q.clipped(x[j]);
  q.function(b.direction, function).apply(*s.kernels, x, b.width);
}

void cell(const RecurrentPlan& s, const CellBlock& b) {
  const Recurrence& q = s.recurrence;
  const float* const in = b.x + kInputGate * b.width;
  float* const forget = b.x + kForgetGate * b.width;
  const float* const fresh = b.x + kCellGate * b.width;
  gate(s, b, kInputGate, kF);
  if (s.input_forget)
    for (int64_t j = 0; j < b.width; ++j) forget[j] = 1.0f - in[j];
  else
    gate(s, b, kForgetGate, kF);
  gate(s, b, kCellGate, kG);
  for (int64_t j = 0; j < b.width; ++j) b.c[j] = forget[j] * b.c[j] + in[j] * fresh[j];
  gate(s, b, kOutputGate, kF);
  std::copy_n(b.c, b.width, b.next_h);
  q.function(b.direction, kHiddenFunction).apply(*s.kernels, b.next_h, b.width);
  const float* const out = b.x + kOutputGate * b.width;
  for (int64_t j = 0; j < b.width; ++j) b.next_h[j] *= out[j];
}

void plan(PlanContext& context) {
  RecurrentPlan s{.recurrence = recurrence(context)};
  s.input_forget = input_forget(context);
  s.phases = {{.first_gate = 0, .gates = 4, .of_mixed = false, .cell = cell}};
  plan_recurrent(context, std::move(s), 4);
}

int64_t macs(const InferContext& context, const TensorType& /*output*/) {
  return recurrent_macs(recurrence(context));
}

SANDERLING_OPERATOR(lstm)({.name = "LSTM",
                           .since_opset = 7,
                           .min_inputs = 3,
                           .max_inputs = 8,
                           .max_outputs = 3,
                           .infer = infer_lstm,
                           .reference = reference_lstm,
                           .plan = plan,
                           .macs = macs});

}  // namespace

void infer_lstm(InferContext& context) { infer_recurrent(context, recurrence(context), true); }

void reference_lstm(const ReferenceContext& context) {
  const Recurrence s = recurrence(context);
  reference_recurrent(context, s, [&](const ReferenceStep& step) {
    if (context.input(kX).dtype == DType::kFloat32)
      advance<float>(context, s, step);
    else
      advance<double>(context, s, step);
  });
}

}  // namespace sanderling
