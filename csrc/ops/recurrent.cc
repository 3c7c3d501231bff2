#include "ops/recurrent.h"

#include <algorithm>
#include <limits>

#include "ops/node_checks.h"

namespace sanderling {
namespace {

int64_t directions_of(const InferContext& context, const std::string& direction) {
  if (direction == "forward" || direction == "reverse") return 1;
  if (direction != "bidirectional")
    context.error("direction is '", direction, "', expected forward, reverse or bidirectional");
  return 2;
}

void require_shape(const InferContext& context, size_t input, const char* name,
                   const Shape& expected) {
  if (!context.has_input(input)) return;
  const Shape& shape = context.input(input).shape;
  if (shape != expected)
    context.error(name, " has shape ", shape.to_string(), ", expected ", expected.to_string());
}

void check_lengths(const InferContext& context, const Recurrence& s) {
  if (!context.has_input(kLengths)) return;
  require_dtype(context, kLengths, {DType::kInt32});
  require_shape(context, kLengths, "sequence_lens", Shape{s.batch});
  if (!context.is_known(kLengths)) return;
  for (int32_t length : context.constant(kLengths).data<int32_t>())
    if (length < 0 || length > s.steps)
      context.error("a sequence length is ", length, ", expected 0 to ", s.steps,
                    ", the steps of x");
}

template <typename T>
void walk(const ReferenceContext& context, const Recurrence& s,
          const std::function<void(const ReferenceStep&)>& step, int64_t d, int64_t b) {
  const int64_t rows = s.gates * s.hidden;
  const T* w = context.in<T>(kW) + d * rows * s.input;
  const T* r = context.in<T>(kR) + d * rows * s.hidden;
  const T* bias = context.has_input(kB) ? context.in<T>(kB) + d * 2 * rows : nullptr;
  std::vector<double> h(static_cast<size_t>(s.hidden)), c(h.size()), x(static_cast<size_t>(rows));
  const auto load = [&](size_t input, std::vector<double>& state) {
    if (context.has_input(input))
      std::copy_n(context.in<T>(input) + s.state_row(d, b), s.hidden, state.begin());
  };
  load(kInitialH, h);
  if (s.gates == 4) load(kInitialC, c);
  const auto product = [&](int64_t gate, int64_t j, const std::vector<double>& state) {
    const int64_t row = gate * s.hidden + j;
    double sum = bias ? static_cast<double>(bias[rows + row]) : 0.0;
    for (int64_t k = 0; k < s.hidden; ++k)
      sum += static_cast<double>(r[row * s.hidden + k]) * state[static_cast<size_t>(k)];
    return sum;
  };
  const int64_t length =
      s.length(context.has_input(kLengths) ? context.in<int32_t>(kLengths) : nullptr, b);
  T* const y = context.has_output(0) ? context.out<T>(0) : nullptr;
  for (int64_t i = 0; i < length; ++i) {
    const int64_t t = s.moment(d, i, length);
    for (int64_t row = 0; row < rows; ++row) {
      double sum = bias ? static_cast<double>(bias[row]) : 0.0;
      for (int64_t k = 0; k < s.input; ++k)
        sum += static_cast<double>(w[row * s.input + k]) *
               static_cast<double>(context.in<T>(kX)[s.x_row(t, b) + k]);
      x[static_cast<size_t>(row)] = sum;
    }
    step({d, x, product, h, c});
    for (size_t j = 0; y && j < h.size(); ++j)
      y[s.y_row(t, d, b) + static_cast<int64_t>(j)] = static_cast<T>(h[j]);
  }
  for (int64_t t = length; y && t < s.steps; ++t) std::fill_n(y + s.y_row(t, d, b), s.hidden, T{0});
  for (size_t output : {size_t{1}, size_t{2}})
    if (context.has_output(output))
      std::transform((output == 1 ? h : c).begin(), (output == 1 ? h : c).end(),
                     context.out<T>(output) + s.state_row(d, b),
                     [](double v) { return static_cast<T>(v); });
}

}  // namespace

int64_t Recurrence::length(const int32_t* lengths, int64_t b) const {
  return lengths ? std::clamp<int64_t>(lengths[b], 0, steps) : steps;
}

Recurrence recurrence_of(const InferContext& context, int64_t gates,
                         const std::vector<std::string>& defaults) {
  const Shape& x = context.input(kX).shape;
  const Shape& w = context.input(kW).shape;
  const Shape& r = context.input(kR).shape;
  if (x.rank() != 3 || w.rank() != 3 || r.rank() != 3)
    context.error("x has shape ", x.to_string(), ", w ", w.to_string(), " and r ", r.to_string(),
                  ", expected rank 3 of each");
  const std::string direction = context.attributes().text("direction", "forward");
  Recurrence s{.gates = gates,
               .directions = directions_of(context, direction),
               .steps = x[0],
               .batch = x[1],
               .input = x[2],
               .hidden = r[2]};
  const int64_t layout = context.attributes().integer("layout", 0);
  if (layout != 0 && layout != 1) context.error("layout is ", layout, ", expected 0 or 1");
  s.batch_first = layout == 1;
  if (s.batch_first) std::swap(s.steps, s.batch);
  s.only_reverse = direction == "reverse";
  s.clip = context.attributes().number("clip", 0.0f);
  if (!(s.clip >= 0.0f)) context.error("clip is ", s.clip, ", expected a positive number");
  const int64_t named = context.attributes().integer("hidden_size", s.hidden);
  if (named != s.hidden)
    context.error("hidden_size is ", named, ", r has shape ", r.to_string(), ": ", s.hidden,
                  " hidden units");
  s.functions =
      gate_functions(context, defaults, defaults.size() * static_cast<size_t>(s.directions));
  return s;
}

void infer_recurrent(InferContext& context, const Recurrence& s, bool has_cell) {
  require_dtype(context, kX, {DType::kFloat32, DType::kFloat64});
  for (size_t i : {kW, kR, kB, kInitialH, kInitialC, kP})
    if (context.has_input(i)) require_same_dtype(context, kX, i);
  const auto shape = [&](std::vector<int64_t> dims) {
    return checked_shape(context, std::move(dims));
  };
  require_shape(context, kW, "w", shape({s.directions, s.gates * s.hidden, s.input}));
  require_shape(context, kR, "r", shape({s.directions, s.gates * s.hidden, s.hidden}));
  require_shape(context, kB, "b", shape({s.directions, 2 * s.gates * s.hidden}));
  const Shape state = s.batch_first ? shape({s.batch, s.directions, s.hidden})
                                    : shape({s.directions, s.batch, s.hidden});
  require_shape(context, kInitialH, "initial_h", state);
  if (has_cell) {
    require_shape(context, kInitialC, "initial_c", state);
    require_shape(context, kP, "p", shape({s.directions, 3 * s.hidden}));
  }
  check_lengths(context, s);
  const DType dtype = context.input(kX).dtype;
  context.set_output(0, dtype,
                     s.batch_first ? shape({s.batch, s.steps, s.directions, s.hidden})
                                   : shape({s.steps, s.directions, s.batch, s.hidden}));
  context.set_output(1, dtype, state);
  context.set_output(2, dtype, state);
}

int64_t recurrent_macs(const Recurrence& s) {
  return s.steps * s.batch * s.directions * s.gates * s.hidden * (s.input + s.hidden);
}

void reference_recurrent(const ReferenceContext& context, const Recurrence& s,
                         const std::function<void(const ReferenceStep&)>& step) {
  for (int64_t d = 0; d < s.directions; ++d)
    for (int64_t b = 0; b < s.batch; ++b) {
      if (context.input(kX).dtype == DType::kFloat32)
        walk<float>(context, s, step, d, b);
      else
        walk<double>(context, s, step, d, b);
    }
}

}  // namespace sanderling
