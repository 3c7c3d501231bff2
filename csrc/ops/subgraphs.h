// What If, Loop and Scan share: handing values to a subgraph and taking them from it.
#pragma once

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "graph/operator.h"

namespace sanderling {

// Adds what the subgraph reads from the graph around it.
inline void add_captures(const ComputeContext& context, const char* attribute,
                         std::vector<TensorView>& inputs) {
  for (size_t i : context.captures(attribute)) inputs.push_back(context.view(i));
}

inline void copy_elements(const TensorView& from, void* to) {
  if (const size_t bytes = from.type.bytes(); bytes != 0) std::memcpy(to, from.data, bytes);
}

// Makes output i, if it is wanted, of a value.
inline void give(ComputeContext& context, size_t i, const TensorView& value) {
  if (context.has_output(i)) copy_elements(value, context.make_output(i, value.type));
}

// A copy of a value that a subgraph gave, whose own memory goes with its next run.
inline Tensor copy_of(const TensorView& value) {
  Tensor copy(value.type);
  copy_elements(value, copy.mutable_raw());
  return copy;
}

// Values of one type that are gathered one after another and stacked along a new or given axis.
class Stack {
 public:
  void add(ComputeContext& context, const TensorView& value) {
    if (count_ == 0) type_ = value.type;
    if (!(value.type == type_))
      context.error("an output that is stacked is ", value.type.to_string(), " in iteration ",
                    count_, " and ", type_.to_string(), " in the first");
    reserve(context, bytes_.size() + type_.bytes());
    const auto* const bytes = static_cast<const std::byte*>(value.data);
    bytes_.insert(bytes_.end(), bytes, bytes + type_.bytes());
    ++count_;
  }

  int64_t count() const { return count_; }
  const TensorType& element() const { return type_; }
  // Element `at` in the order in which they were added.
  const std::byte* operator[](int64_t at) const {
    return bytes_.data() + static_cast<size_t>(at) * type_.bytes();
  }

 private:
  void reserve(ComputeContext& context, size_t bytes) {
    if (bytes <= bytes_.capacity()) return;
    if (bytes > kMaxTensorBytes)
      context.error("an output that is stacked has grown to ", bytes, " bytes in iteration ",
                    count_, ", more than the limit of ", kMaxTensorBytes,
                    ". Check the condition of the loop");
    const size_t more = std::min(std::max(bytes, 2 * bytes_.capacity()), kMaxTensorBytes);
    context.hold(more - bytes_.capacity());
    bytes_.reserve(more);
  }

  TensorType type_;
  std::vector<std::byte> bytes_;
  int64_t count_ = 0;
};

}  // namespace sanderling
