#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/fork.h"
#include "core/tensor.h"
#include "drift/class_histogram.h"
#include "drift/code_histogram.h"
#include "drift/confidence_histogram.h"
#include "drift/frozen_bins.h"
#include "drift/projections.h"
#include "drift/row_faults.h"
#include "drift/value_histogram.h"

namespace sanderling {

// How one input is watched; features = elements of a row.
struct InputWatch {
  int64_t features = 0;
  std::shared_ptr<const RowLimits> limits;  // of all features
  // Bins of every feature; of the sixteen projections where `projections` is set (an input above
  // 4,096 elements).
  std::shared_ptr<const FrozenEdges> edges;
  std::shared_ptr<const Projections> projections;
  float histogram_low = 0.0f;  // the range of the value histogram that goes with projections
  float histogram_high = 1.0f;
};

// How one output is watched: scores [rows, classes].
struct OutputWatch {
  int64_t classes = 0;
};

// What a session watches, by input and output index; nothing at an index is not watched.
struct WatchSpec {
  std::vector<std::optional<InputWatch>> inputs;
  std::vector<std::optional<OutputWatch>> outputs;
  // So many rows of a window are kept as they are, to learn a device's own reference from them: the
  // elements of each input (or its projections), the class and confidence of each output.
  int64_t keep_rows = 0;
};

// What was seen of one input since the last take.
struct InputSketch {
  FrozenBins bins;
  RowFaults faults;
  std::optional<ValueHistogram> values;  // with projections only
  std::vector<float> kept;               // [rows, features of bins], at most keep_rows
};

// What was seen of one output since the last take.
struct OutputSketch {
  ClassHistogram classes;
  ConfidenceHistogram confidence;
  std::vector<int64_t> kept_classes;    // [rows], -1 for a row without an answer
  std::vector<float> kept_confidences;  // [rows]
};

struct WatchWindow {
  uint64_t rows = 0;  // of the input (without any, the output) seen most often
  std::vector<std::optional<InputSketch>> inputs;
  std::vector<std::optional<OutputSketch>> outputs;
  std::unordered_map<std::string, CodeHistogram> codes;
};

// A code histogram that several threads may share.
class CodeTap {
 public:
  void update(std::span<const uint8_t> codes);
  CodeHistogram look() const;
  CodeHistogram take();

 private:
  mutable ForkMutex mutex_{"watch"};
  CodeCounter recent_;  // what histogram_ does not hold yet
  CodeHistogram histogram_;
};

// What a session holds to watch its data. All members may be called from several threads at once;
// one observation is counted whole, either before or after a take. Observing allocates nothing.
class Watch {
 public:
  // kInput when the parts of `spec` contradict each other.
  explicit Watch(WatchSpec spec);
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  // float32; axis 0 is the batch, the rest of a row is flattened. An index that is not watched is
  // ignored. kInput for another dtype, a scalar, or rows of another size than the reference's.
  void observe_input(size_t input_index, const TensorView& rows);
  // float32 scores [rows, classes]; trailing axes of extent 1 are fine.
  void observe_output(size_t output_index, const TensorView& rows);
  // The histogram of an interior quantized tensor, made at the first call (when the session is
  // created); the reference stays valid as long as the watch.
  CodeTap& codes(const std::string& tensor_name);

  WatchWindow take();        // everything since the last take; the watch starts anew
  WatchWindow look() const;  // the same without starting anew
  // Watches by another reference from now on: what was counted is dropped, the code taps
  // are emptied and stay valid. kInput as in the constructor; then nothing changes.
  void restart(WatchSpec spec);

 private:
  struct State;
  mutable ForkMutex mutex_{"watch"};
  std::unique_ptr<State> state_;
  std::unordered_map<std::string, std::unique_ptr<CodeTap>> taps_;
};

}  // namespace sanderling
