// Attributes with one number per spatial axis, and other numbers of a node that have a range.
#pragma once

#include <cmath>
#include <vector>

#include "ops/node_checks.h"

namespace sanderling {

// Far above any real model; keeps the arithmetic of extents from overflowing.
constexpr int64_t kMaxSpatialNumber = int64_t{1} << 31;

// Attribute `name`, `otherwise` repeated where it is missing; `count` numbers of `least` or more.
inline std::vector<int64_t> spatial_integers(const InferContext& context, const char* name,
                                             size_t count, int64_t otherwise, int64_t least) {
  const std::vector<int64_t> values =
      context.attributes().integers(name, std::vector<int64_t>(count, otherwise));
  if (values.size() != count)
    context.error(name, " has ", values.size(), " numbers, expected ", count, " for input ",
                  context.input(0).shape.to_string());
  for (int64_t value : values)
    if (value < least || value > kMaxSpatialNumber)
      context.error(name, " has ", value, ", expected ", least, " to ", kMaxSpatialNumber);
  return values;
}

// An integer attribute within [least, most].
inline int64_t bounded_integer(const InferContext& context, const char* name, int64_t otherwise,
                               int64_t least, int64_t most) {
  const int64_t value = context.attributes().integer(name, otherwise);
  if (value < least || value > most)
    context.error(name, " is ", value, ", expected ", least, " to ", most);
  return value;
}

// A float attribute that is finite.
inline double finite_number(const InferContext& context, const char* name, float otherwise) {
  const float value = context.attributes().number(name, otherwise);
  if (!std::isfinite(value)) context.error(name, " is ", value, ", expected a finite number");
  return static_cast<double>(value);
}

}  // namespace sanderling
