#include <algorithm>

#include "ops/recurrent.h"

namespace sanderling {
namespace {

// Gates in the order of the weights.
constexpr int64_t kUpdateGate = 0, kResetGate = 1, kHiddenGate = 2;
constexpr size_t kF = 0, kG = 1;  // functions of a direction

Recurrence recurrence(const InferContext& context) {
  return recurrence_of(context, 3, {"Sigmoid", "Tanh"});
}

// Whether the reset gate scales the product of the state, not the state before the product.
bool linear_before_reset(const InferContext& context) {
  return context.attributes().integer("linear_before_reset", 0) != 0;
}

void infer(InferContext& context) { infer_recurrent(context, recurrence(context), false); }

void reference(const ReferenceContext& context) {
  const Recurrence s = recurrence(context);
  const bool linear = linear_before_reset(context);
  reference_recurrent(context, s, [&](const ReferenceStep& step) {
    const auto x = [&](int64_t gate, int64_t j) {
      return step.x[static_cast<size_t>(gate * s.hidden + j)];
    };
    const auto gate = [&](int64_t g, int64_t j) {
      return s.function(step.direction, kF)(s.clipped(x(g, j) + step.r(g, j, step.h)));
    };
    std::vector<double> update(step.h.size()), reset(step.h.size()), scaled(step.h.size());
    for (size_t j = 0; j < scaled.size(); ++j) {
      update[j] = gate(kUpdateGate, static_cast<int64_t>(j));
      reset[j] = gate(kResetGate, static_cast<int64_t>(j));
      scaled[j] = reset[j] * step.h[j];
    }
    std::vector<double> h(step.h.size());
    for (size_t j = 0; j < h.size(); ++j) {
      const auto unit = static_cast<int64_t>(j);
      const double r =
          linear ? reset[j] * step.r(kHiddenGate, unit, step.h) : step.r(kHiddenGate, unit, scaled);
      const double fresh = s.function(step.direction, kG)(s.clipped(x(kHiddenGate, unit) + r));
      h[j] = (1.0 - update[j]) * fresh + update[j] * step.h[j];
    }
    step.h = h;
  });
}

// x = function(clip(x + factor * r)) of gate g, which is gate k of the phase; no factor is 1.
void gate(const RecurrentPlan& s, const CellBlock& b, int64_t g, int64_t k, const float* factor,
          size_t function) {
  const Recurrence& q = s.recurrence;
  float* const x = b.x + g * b.width;
  const float* const r = b.r + k * b.width;
  if (factor)
    for (int64_t j = 0; j < b.width; ++j) x[j] += factor[j] * r[j];
  else
    for (int64_t j = 0; j < b.width; ++j) x[j] += r[j];
  if (q.clip > 0.0f)
    for (int64_t j = 0; j < b.width; ++j) x[j] = q.clipped(x[j]);
  q.function(b.direction, function).apply(*s.kernels, x, b.width);
}

void mix(const CellBlock& b) {
  const float* const update = b.x + kUpdateGate * b.width;
  const float* const fresh = b.x + kHiddenGate * b.width;
  for (int64_t j = 0; j < b.width; ++j)
    b.next_h[j] = (1.0f - update[j]) * fresh[j] + update[j] * b.h[j];
}

void reset_state(const RecurrentPlan& s, const CellBlock& b) {
  gate(s, b, kUpdateGate, kUpdateGate, nullptr, kF);
  gate(s, b, kResetGate, kResetGate, nullptr, kF);
  const float* const reset = b.x + kResetGate * b.width;
  for (int64_t j = 0; j < b.width; ++j) b.mixed[j] = reset[j] * b.h[j];
}

void after_reset_state(const RecurrentPlan& s, const CellBlock& b) {
  gate(s, b, kHiddenGate, 0, nullptr, kG);
  mix(b);
}

void reset_product(const RecurrentPlan& s, const CellBlock& b) {
  gate(s, b, kUpdateGate, kUpdateGate, nullptr, kF);
  gate(s, b, kResetGate, kResetGate, nullptr, kF);
  gate(s, b, kHiddenGate, kHiddenGate, b.x + kResetGate * b.width, kG);
  mix(b);
}

void plan(PlanContext& context) {
  RecurrentPlan s{.recurrence = recurrence(context)};
  const bool linear = linear_before_reset(context);
  if (linear)
    s.phases = {{.first_gate = 0, .gates = 3, .of_mixed = false, .cell = reset_product}};
  else
    s.phases = {
        {.first_gate = 0, .gates = 2, .of_mixed = false, .cell = reset_state},
        {.first_gate = kHiddenGate, .gates = 1, .of_mixed = true, .cell = after_reset_state}};
  plan_recurrent(context, std::move(s), linear ? kHiddenGate : 3);
}

int64_t macs(const InferContext& context, const TensorType& /*output*/) {
  return recurrent_macs(recurrence(context));
}

SANDERLING_OPERATOR(gru)({.name = "GRU",
                          .since_opset = 7,
                          .min_inputs = 3,
                          .max_inputs = 6,
                          .max_outputs = 2,
                          .infer = infer,
                          .reference = reference,
                          .plan = plan,
                          .macs = macs});

}  // namespace
}  // namespace sanderling
