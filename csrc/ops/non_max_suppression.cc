#include <cmath>
#include <limits>

#include "ops/node_checks.h"

namespace sanderling {
namespace {

constexpr int64_t kCoordinates = 4;

// How many boxes are selected is known only with their scores.
void infer(InferContext& context) {
  const Shape& boxes = context.input(0).shape;
  const Shape& scores = context.input(1).shape;
  require_dtype(context, 0, {DType::kFloat32});
  require_dtype(context, 1, {DType::kFloat32});
  if (boxes.rank() != 3 || boxes[2] != kCoordinates)
    context.error("boxes have shape ", boxes.to_string(), ", expected [batches, boxes, 4]");
  if (scores.rank() != 3 || scores[0] != boxes[0] || scores[2] != boxes[1])
    context.error("scores have shape ", scores.to_string(), ", expected [", boxes[0], ", classes, ",
                  boxes[1], "] for boxes of shape ", boxes.to_string());
  if (context.has_input(2)) require_dtype(context, 2, {DType::kInt64});
  if (context.has_input(3)) require_dtype(context, 3, {DType::kFloat32});
  if (context.has_input(4)) require_dtype(context, 4, {DType::kFloat32});
  const int64_t format = context.attributes().integer("center_point_box", 0);
  if (format != 0 && format != 1)
    context.error("center_point_box is ", format, ", ONNX has 0 and 1");
  context.needs_values();
}

// The one element of an optional input; an empty one counts as left out.
template <typename T>
T optional_value(const ComputeContext& context, size_t input, const char* what, T otherwise) {
  if (!context.has_input(input) || context.input(input).shape.elements() == 0) return otherwise;
  require_one_element(context, input, what);
  return context.in<T>(input)[0];
}

struct Box {
  float y_low, x_low, y_high, x_high, area;
};

// Either two opposite corners [y1, x1, y2, x2] or [x_center, y_center, width, height].
Box box_of(const float* given, bool center_point) {
  Box box{};
  if (center_point) {
    const float half_width = given[2] / 2, half_height = given[3] / 2;
    box = {given[1] - half_height, given[0] - half_width, given[1] + half_height,
           given[0] + half_width, 0.0f};
  } else {
    box = {std::min(given[0], given[2]), std::min(given[1], given[3]), std::max(given[0], given[2]),
           std::max(given[1], given[3]), 0.0f};
  }
  box.area = (box.y_high - box.y_low) * (box.x_high - box.x_low);
  return box;
}

// Whether the boxes' intersection is more than `threshold` of their union; a box without area
// overlaps none.
bool overlap(const Box& a, const Box& b, float threshold) {
  const float width = std::min(a.x_high, b.x_high) - std::max(a.x_low, b.x_low);
  const float height = std::min(a.y_high, b.y_high) - std::max(a.y_low, b.y_low);
  if (!(width > 0.0f && height > 0.0f && a.area > 0.0f && b.area > 0.0f)) return false;
  const float both = width * height;
  const float either = a.area + b.area - both;
  return either > 0.0f && both / either > threshold;
}

struct Candidate {
  float score;
  int32_t box;  // a tensor has fewer than 2^31 elements (kMaxTensorBytes)
};

struct Settings {
  int64_t boxes, most;
  bool has_least_score, center_point;
  float threshold, least_score;
};

// What a thread needs for one class, made once.
struct Workspace {
  std::vector<Candidate> candidates;
  std::vector<Box> selected;
};

// Selects boxes of one class greedily, from the highest score down (of equal ones that with the
// lower index first); returns how many. A NaN is no candidate.
int64_t select_boxes(const Settings& settings, const float* boxes, const float* scores,
                     Workspace& workspace, int32_t* selected) {
  Candidate* const begin = workspace.candidates.data();
  Candidate* end = begin;
  for (int64_t i = 0; i < settings.boxes; ++i)
    if (settings.has_least_score ? scores[i] > settings.least_score : !std::isnan(scores[i]))
      *end++ = {scores[i], static_cast<int32_t>(i)};
  // A heap, as most candidates are never looked at.
  const auto after = [](const Candidate& a, const Candidate& b) {
    return a.score < b.score || (a.score == b.score && a.box > b.box);
  };
  std::make_heap(begin, end, after);
  int64_t count = 0;
  for (; end != begin && count < settings.most; --end) {
    const int32_t next = begin->box;
    std::pop_heap(begin, end, after);
    const Box box = box_of(boxes + next * kCoordinates, settings.center_point);
    bool stands = true;
    for (int64_t i = 0; i < count && stands; ++i)
      stands = !overlap(box, workspace.selected[static_cast<size_t>(i)], settings.threshold);
    if (!stands) continue;
    workspace.selected[static_cast<size_t>(count)] = box;
    selected[count++] = next;
  }
  return count;
}

Settings settings_of(const ComputeContext& context) {
  Settings settings{};
  settings.boxes = context.input(0).shape[1];
  const auto most = optional_value<int64_t>(context, 2, "max_output_boxes_per_class", 0);
  settings.most = std::clamp<int64_t>(most, 0, settings.boxes);
  settings.threshold = optional_value(context, 3, "iou_threshold", 0.0f);
  if (!(settings.threshold >= 0.0f && settings.threshold <= 1.0f))
    context.error("iou_threshold is ", settings.threshold, ", expected 0 to 1");
  settings.has_least_score = context.has_input(4) && context.input(4).shape.elements() != 0;
  settings.least_score = optional_value(context, 4, "score_threshold", 0.0f);
  settings.center_point = context.attributes().integer("center_point_box", 0) == 1;
  return settings;
}

void compute(ComputeContext& context) {
  const Settings settings = settings_of(context);
  const int64_t classes = context.input(1).shape[1];
  const int64_t sets = settings.boxes == 0 ? 0 : context.input(1).shape[0] * classes;
  std::vector<Workspace> workspaces(sets == 0 ? 0
                                              : static_cast<size_t>(context.workers().threads()));
  for (Workspace& workspace : workspaces) {
    workspace.candidates.resize(static_cast<size_t>(settings.boxes));
    workspace.selected.resize(static_cast<size_t>(settings.most));
  }
  std::vector<int32_t> selected(static_cast<size_t>(sets * settings.most));
  std::vector<int64_t> counts(static_cast<size_t>(sets));
  const auto* boxes = context.in<float>(0);
  const auto* scores = context.in<float>(1);
  context.workers().for_each(sets, [&](int64_t set, int thread) {
    counts[static_cast<size_t>(set)] =
        select_boxes(settings, boxes + set / classes * settings.boxes * kCoordinates,
                     scores + set * settings.boxes, workspaces[static_cast<size_t>(thread)],
                     selected.data() + set * settings.most);
  });
  int64_t total = 0;
  for (int64_t count : counts) total += count;
  auto* y = context.make_output<int64_t>(0, Shape{total, 3});
  for (int64_t set = 0; set < sets; ++set)
    for (int64_t i = 0; i < counts[static_cast<size_t>(set)]; ++i) {
      *y++ = set / classes;
      *y++ = set % classes;
      *y++ = selected[static_cast<size_t>(set * settings.most + i)];
    }
}

SANDERLING_OPERATOR(non_max_suppression)({.name = "NonMaxSuppression",
                                          .since_opset = 10,
                                          .min_inputs = 2,
                                          .max_inputs = 5,
                                          .infer = infer,
                                          .compute = compute});

}  // namespace
}  // namespace sanderling
