#include <algorithm>

#include "ops/recurrent.h"

namespace sanderling {
namespace {

Recurrence recurrence(const InferContext& context) { return recurrence_of(context, 1, {"Tanh"}); }

void infer(InferContext& context) { infer_recurrent(context, recurrence(context), false); }

void reference(const ReferenceContext& context) {
  const Recurrence s = recurrence(context);
  reference_recurrent(context, s, [&](const ReferenceStep& step) {
    std::vector<double> h(step.h.size());
    for (size_t j = 0; j < h.size(); ++j)
      h[j] = s.function(step.direction,
                        0)(s.clipped(step.x[j] + step.r(0, static_cast<int64_t>(j), step.h)));
    step.h = h;
  });
}

void cell(const RecurrentPlan& s, const CellBlock& b) {
  const Recurrence& q = s.recurrence;
  for (int64_t j = 0; j < b.width; ++j) b.next_h[j] = q.clipped(b.x[j] + b.r[j]);
  q.function(b.direction, 0).apply(*s.kernels, b.next_h, b.width);
}

void plan(PlanContext& context) {
  RecurrentPlan s{.recurrence = recurrence(context)};
  s.phases = {{.first_gate = 0, .gates = 1, .of_mixed = false, .cell = cell}};
  plan_recurrent(context, std::move(s), 1);
}

int64_t macs(const InferContext& context, const TensorType& /*output*/) {
  return recurrent_macs(recurrence(context));
}

SANDERLING_OPERATOR(rnn)({.name = "RNN",
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
