#include "drift/watch.h"

#include <algorithm>
#include <utility>

#include "core/error.h"

namespace sanderling {
namespace {

void check(const InputWatch& input, size_t index) {
  const auto features = static_cast<size_t>(input.features);
  if (input.limits == nullptr || input.edges == nullptr) {
    fail(ErrorCode::kInput, "[watch] input ", index,
         " has no limits or no edges. Make the spec from a reference.");
  }
  const size_t binned = input.projections != nullptr ? Projections::kCount : features;
  if (input.features < 1 || input.limits->low.size() != features ||
      input.edges->features() != binned ||
      (input.projections != nullptr && input.projections->elements() != features)) {
    fail(ErrorCode::kInput, "[watch] input ", index, " has rows of ", input.features,
         " elements, limits of ", input.limits->low.size(), " and bins of ",
         input.edges->features(), ". Make the spec from one reference.");
  }
}

InputSketch empty_sketch(const InputWatch& input, size_t keep_rows) {
  InputSketch sketch{FrozenBins(input.edges), RowFaults(input.limits), std::nullopt, {}};
  if (input.projections != nullptr) {
    sketch.values.emplace(input.edges->id(), input.histogram_low, input.histogram_high);
  }
  sketch.kept.reserve(keep_rows * input.edges->features());
  return sketch;
}

OutputSketch empty_sketch(const OutputWatch& output, size_t keep_rows) {
  OutputSketch sketch{ClassHistogram(static_cast<size_t>(output.classes)), {}, {}, {}};
  sketch.kept_classes.reserve(keep_rows);
  sketch.kept_confidences.reserve(keep_rows);
  return sketch;
}

WatchWindow empty_window(const WatchSpec& spec) {
  WatchWindow window;
  const auto keep_rows = static_cast<size_t>(spec.keep_rows);
  for (const auto& input : spec.inputs) {
    window.inputs.push_back(input ? std::optional(empty_sketch(*input, keep_rows)) : std::nullopt);
  }
  for (const auto& output : spec.outputs) {
    window.outputs.push_back(output ? std::optional(empty_sketch(*output, keep_rows))
                                    : std::nullopt);
  }
  return window;
}

void count_rows(WatchWindow& window) {
  window.rows = 0;
  for (const auto& input : window.inputs) {
    if (input) window.rows = std::max(window.rows, input->faults.rows());
  }
  if (window.rows > 0) return;
  for (const auto& output : window.outputs) {
    if (output) window.rows = std::max(window.rows, output->classes.total());
  }
}

// Rows and elements of a row; the elements are 1 for a vector.
std::pair<size_t, size_t> extents(const TensorView& view, const char* what, size_t index) {
  if (view.type.dtype != DType::kFloat32 || view.type.shape.rank() < 1) {
    fail(ErrorCode::kInput, "[watch] ", what, " ", index, " is ", view.type.to_string(),
         ", only float32 with a batch axis is watched.");
  }
  const Shape& shape = view.type.shape;
  return {static_cast<size_t>(shape[0]), static_cast<size_t>(shape.elements(1, shape.rank()))};
}

}  // namespace

struct Watch::State {
  WatchSpec spec;
  WatchWindow window;

  explicit State(WatchSpec given) : spec(std::move(given)) {
    if (spec.keep_rows < 0) {
      fail(ErrorCode::kInput, "[watch] keep_rows is ", spec.keep_rows, ". Give 0 or more.");
    }
    for (size_t i = 0; i < spec.inputs.size(); ++i) {
      if (spec.inputs[i]) check(*spec.inputs[i], i);
    }
    for (size_t i = 0; i < spec.outputs.size(); ++i) {
      if (spec.outputs[i] && spec.outputs[i]->classes < 1) {
        fail(ErrorCode::kInput, "[watch] output ", i, " has ", spec.outputs[i]->classes,
             " classes. Give 1 or more.");
      }
    }
    window = empty_window(spec);
  }

  void observe_input(size_t index, std::span<const float> values, size_t features) {
    const InputWatch& input = *spec.inputs[index];
    InputSketch& sketch = *window.inputs[index];
    const size_t limit = static_cast<size_t>(spec.keep_rows) * input.edges->features();
    sketch.faults.update(values);
    if (input.projections == nullptr) {
      sketch.bins.update(values);
      const size_t more = std::min(values.size(), limit - sketch.kept.size());
      sketch.kept.insert(sketch.kept.end(), values.begin(),
                         values.begin() + static_cast<std::ptrdiff_t>(more));
      return;
    }
    sketch.values->update(values);
    for (size_t begin = 0; begin < values.size(); begin += features) {
      const auto projected = input.projections->project(values.subspan(begin, features));
      sketch.bins.update(projected);
      if (sketch.kept.size() < limit) {
        sketch.kept.insert(sketch.kept.end(), projected.begin(), projected.end());
      }
    }
  }

  void observe_output(size_t index, std::span<const float> scores, size_t classes) {
    OutputSketch& sketch = *window.outputs[index];
    for (size_t begin = 0; begin < scores.size(); begin += classes) {
      const RowDecision decision = decide(scores.subspan(begin, classes));
      sketch.classes.update(decision.class_index);
      sketch.confidence.update(decision.confidence);
      if (sketch.kept_classes.size() >= static_cast<size_t>(spec.keep_rows)) continue;
      sketch.kept_classes.push_back(decision.class_index);
      sketch.kept_confidences.push_back(decision.confidence);
    }
  }
};

void CodeTap::update(std::span<const uint8_t> codes) {
  const std::lock_guard lock(mutex_);
  if (codes.size() > CodeCounter::kMaxCodes - recent_.codes()) {
    histogram_.add(recent_);
    recent_.clear();
  }
  if (codes.size() > CodeCounter::kMaxCodes) {
    histogram_.update(codes);
  } else {
    recent_.update(codes);
  }
}

CodeHistogram CodeTap::look() const {
  const std::lock_guard lock(mutex_);
  CodeHistogram result = histogram_;
  result.add(recent_);
  return result;
}

CodeHistogram CodeTap::take() {
  const std::lock_guard lock(mutex_);
  histogram_.add(recent_);
  recent_.clear();
  return std::exchange(histogram_, {});
}

Watch::Watch(WatchSpec spec) : state_(std::make_unique<State>(std::move(spec))) {}
Watch::~Watch() = default;

void Watch::observe_input(size_t input_index, const TensorView& rows) {
  const std::lock_guard lock(mutex_);
  const auto& inputs = state_->spec.inputs;
  if (input_index >= inputs.size() || !inputs[input_index]) return;
  const auto [count, features] = extents(rows, "input", input_index);
  const auto expected = static_cast<size_t>(inputs[input_index]->features);
  if (features != expected) {
    fail(ErrorCode::kInput, "[watch] input ", input_index, " has rows of ", features,
         " elements, the reference has ", expected, ". Use the reference of this model's input.");
  }
  state_->observe_input(input_index, {rows.as<float>(), count * features}, features);
}

void Watch::observe_output(size_t output_index, const TensorView& rows) {
  const std::lock_guard lock(mutex_);
  const auto& outputs = state_->spec.outputs;
  if (output_index >= outputs.size() || !outputs[output_index]) return;
  const auto [count, classes] = extents(rows, "output", output_index);
  const auto expected = static_cast<size_t>(outputs[output_index]->classes);
  if (classes != expected) {
    fail(ErrorCode::kInput, "[watch] output ", output_index, " has ", classes,
         " scores a row, the reference has ", expected,
         " classes. Use the reference of this model's output.");
  }
  state_->observe_output(output_index, {rows.as<float>(), count * classes}, classes);
}

CodeTap& Watch::codes(const std::string& tensor_name) {
  const std::lock_guard lock(mutex_);
  std::unique_ptr<CodeTap>& tap = taps_[tensor_name];
  if (tap == nullptr) tap = std::make_unique<CodeTap>();
  return *tap;
}

WatchWindow Watch::take() {
  const std::lock_guard lock(mutex_);
  WatchWindow window = std::exchange(state_->window, empty_window(state_->spec));
  for (const auto& [name, tap] : taps_) window.codes.emplace(name, tap->take());
  count_rows(window);
  return window;
}

WatchWindow Watch::look() const {
  const std::lock_guard lock(mutex_);
  WatchWindow window = state_->window;
  for (const auto& [name, tap] : taps_) window.codes.emplace(name, tap->look());
  count_rows(window);
  return window;
}

void Watch::restart(WatchSpec spec) {
  auto state = std::make_unique<State>(std::move(spec));
  const std::lock_guard lock(mutex_);
  state_ = std::move(state);
  for (const auto& entry : taps_) entry.second->take();
}

}  // namespace sanderling
