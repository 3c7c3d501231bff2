// What the operators of classical models share: their input, a batch of rows of features.
#pragma once

#include <string>
#include <vector>

#include "ops/element_types.h"
#include "ops/node_checks.h"

namespace sanderling {

struct Rows {
  int64_t count, features;
};

inline void require_features_dtype(const InferContext& context, size_t input) {
  require_dtype(context, input, {DType::kFloat32, DType::kFloat64, DType::kInt64, DType::kInt32});
}

// Calls visit(T{}) for the element types that these operators take.
template <typename Visit>
void visit_features(DType dtype, const Visit& visit) {
  switch (dtype) {
    case DType::kFloat32:
      return visit(float{});
    case DType::kFloat64:
      return visit(double{});
    case DType::kInt32:
      return visit(int32_t{});
    case DType::kInt64:
      return visit(int64_t{});
    default:
      fail(ErrorCode::kInternal, "features expected, not ", name_of(dtype));
  }
}

// Input 0 as rows: [N, F], or [F], which is one row.
inline Rows rows_of(const InferContext& context) {
  require_features_dtype(context, 0);
  const Shape& shape = context.input(0).shape;
  if (shape.rank() == 1) return {1, shape[0]};
  if (shape.rank() != 2)
    context.error("input 0 has shape ", shape.to_string(), ", expected rows of features [N, F]");
  return {shape[0], shape[1]};
}

// Input 0 as rows of its last axis, whatever its rank; a scalar is one feature.
inline Rows last_axis_rows(const InferContext& context) {
  const Shape& shape = context.input(0).shape;
  const int64_t features = shape.rank() == 0 ? 1 : shape[shape.rank() - 1];
  return {features == 0 ? 0 : shape.elements() / features, features};
}

// The index of a text attribute in the values that ONNX lists for it.
inline size_t choice(const InferContext& context, const char* name, const char* otherwise,
                     const std::vector<const char*>& values) {
  const std::string given = context.attributes().text(name, otherwise);
  std::string list;
  for (size_t i = 0; i < values.size(); ++i) {
    if (given == values[i]) return i;
    list += cat(i ? ", " : "", values[i]);
  }
  context.error(name, " is '", given, "', ONNX has ", list);
}

// The class labels under `integers`, of which there is at least one. Strings are no tensors of
// ours.
inline std::vector<int64_t> class_labels(const InferContext& context, const char* integers) {
  std::vector<int64_t> labels = context.attributes().integers(integers, {});
  if (!labels.empty()) return labels;
  if (context.attributes().has("classlabels_strings"))
    context.unsupported(
        "its class labels are strings, which the native engine has no tensors of. Train with "
        "integer labels (sklearn.preprocessing.LabelEncoder) and name them in the application, or "
        "use the onnxruntime backend");
  context.error("has no attribute '", integers, "' with the class labels");
}

// Where a step of a classifier writes what is wanted of its labels and scores; else nullptr.
struct ClassifierOutputs {
  bool has_labels, has_scores;

  explicit ClassifierOutputs(const InferContext& context)
      : has_labels(context.has_output(0)), has_scores(context.has_output(1)) {}
  int64_t* labels(const StepArgs& args) const {
    return has_labels ? static_cast<int64_t*>(args.outputs[0]) : nullptr;
  }
  float* scores(const StepArgs& args) const {
    return has_scores ? static_cast<float*>(args.outputs[1]) : nullptr;
  }
};

}  // namespace sanderling
