// How the Scatter operators put an update where there is an element already.
#pragma once

#include <cmath>

#include "ops/element_types.h"
#include "ops/node_checks.h"

namespace sanderling {

enum class ScatterReduction : uint8_t { kNone, kAdd, kMul, kMin, kMax };

// The node's, checked against its opset and the data's type.
inline ScatterReduction scatter_reduction_of(const InferContext& context) {
  // min and max are of opset 18; PyTorch writes them for 16 and 17 too, and ONNX Runtime takes
  // them.
  constexpr int64_t kReductionsSince = 16;
  const int64_t opset = context.node().opset;
  const std::string name = context.attributes().text("reduction", "none");
  ScatterReduction reduction = ScatterReduction::kNone;
  if (opset >= kReductionsSince && name == "add")
    reduction = ScatterReduction::kAdd;
  else if (opset >= kReductionsSince && name == "mul")
    reduction = ScatterReduction::kMul;
  else if (opset >= kReductionsSince && name == "min")
    reduction = ScatterReduction::kMin;
  else if (opset >= kReductionsSince && name == "max")
    reduction = ScatterReduction::kMax;
  else if (name != "none")
    context.error("reduction is '", name, "', opset ", opset, " has none",
                  opset >= kReductionsSince ? ", add, mul, min, max" : "");
  if (reduction != ScatterReduction::kNone)
    require_dtype(context, 0,
                  {DType::kFloat32, DType::kFloat64, DType::kUInt8, DType::kInt8, DType::kUInt16,
                   DType::kInt16, DType::kUInt32, DType::kInt32, DType::kUInt64, DType::kInt64,
                   DType::kBool});
  return reduction;
}

// Sums of bools are "or", products "and", as NumPy has them. A NaN on either side stays.
template <typename T>
T reduce(ScatterReduction reduction, T x, T update) {
  const auto is_nan = [](T value) {
    if constexpr (std::is_floating_point_v<T>) return std::isnan(value);
    return false;
  };
  switch (reduction) {
    case ScatterReduction::kNone:
      return update;
    case ScatterReduction::kAdd:
      if constexpr (std::is_same_v<T, bool>)
        return x || update;
      else
        return wrapping(x, update, [](auto a, auto b) { return a + b; });
    case ScatterReduction::kMul:
      if constexpr (std::is_same_v<T, bool>)
        return x && update;
      else
        return wrapping(x, update, [](auto a, auto b) { return a * b; });
    case ScatterReduction::kMin:
      return is_nan(x) || x < update ? x : update;
    case ScatterReduction::kMax:
      return is_nan(x) || x > update ? x : update;
  }
  return update;
}

// Calls visit(T{}) for a type that elements of the dtype can be reduced in, or only moved in.
template <typename Visit>
void visit_reduced(DType dtype, ScatterReduction reduction, const Visit& visit) {
  if (reduction == ScatterReduction::kNone)
    visit_width(dtype, visit);
  else if (dtype == DType::kBool)
    visit(bool{});
  else
    visit_number(dtype, visit);
}

}  // namespace sanderling
