#include <algorithm>

#include "ops/node_checks.h"

namespace sanderling {
namespace {

constexpr int64_t kSliceSince = 15;

// The extents that the node gives: all of them, from opset 15 on those of [start, end).
std::vector<int64_t> extents(const InferContext& context) {
  const Shape& shape = context.input(0).shape;
  if (context.node().opset < kSliceSince) return shape.dims();
  const auto bound = [&](const char* name, int64_t otherwise) {
    int64_t at = context.attributes().integer(name, otherwise);
    if (at < 0) at += shape.rank();
    return std::clamp<int64_t>(at, 0, shape.rank());
  };
  const int64_t start = bound("start", 0), end = bound("end", shape.rank());
  if (start >= end) return {};
  return {shape.dims().begin() + start, shape.dims().begin() + end};
}

void infer(InferContext& context) {
  context.set_output(0, DType::kInt64, Shape{static_cast<int64_t>(extents(context).size())});
}

void reference(const ReferenceContext& context) {
  const std::vector<int64_t> dims = extents(context);
  std::copy(dims.begin(), dims.end(), context.out<int64_t>(0));
}

SANDERLING_OPERATOR(shape)({.name = "Shape",
                            .since_opset = 1,
                            .infer = infer,
                            .reference = reference,
                            .from_types = true});

}  // namespace
}  // namespace sanderling
