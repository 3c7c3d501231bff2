// NumPy broadcasting of two operands: the shape rule, and a walk over long runs for kernels.
#pragma once

#include <algorithm>
#include <array>

#include "ops/node_checks.h"

namespace sanderling {

// The shape of input 0 and input 1 broadcast together.
inline Shape broadcast_inputs(const InferContext& context) {
  const Shape& a = context.input(0).shape;
  const Shape& b = context.input(1).shape;
  for (int64_t i = 1; i <= std::min(a.rank(), b.rank()); ++i) {
    const int64_t da = a[a.rank() - i], db = b[b.rank() - i];
    if (da != db && da != 1 && db != 1)
      context.error("inputs of shapes ", a.to_string(), " and ", b.to_string(),
                    " cannot be broadcast together: ", da, " against ", db,
                    ". Each pair of extents must be equal or have a 1");
  }
  return checked_shape(context, [&] { return broadcast(a, b, "broadcast"); });
}

// Where element `index` of `to` is found in an operand of shape `from` that was broadcast to it.
inline int64_t broadcast_offset(const Shape& to, const Shape& from, int64_t index) {
  int64_t offset = 0, stride = 1;
  for (int64_t i = 1; i <= from.rank(); ++i) {
    const int64_t coordinate = index % to[to.rank() - i];
    if (from[from.rank() - i] != 1) offset += coordinate * stride;
    stride *= from[from.rank() - i];
    index /= to[to.rank() - i];
  }
  return offset;
}

// Walks a broadcast in runs along which each operand either advances with the output (step 1) or
// stands still (step 0). Neighbouring dimensions that behave alike are one, so equal shapes are a
// single run. Holds no memory: plans copy it.
class BroadcastWalk {
 public:
  // The shapes must be broadcastable.
  BroadcastWalk(const Shape& a, const Shape& b) {
    const int64_t rank = std::max(a.rank(), b.rank());
    for (int64_t i = 1; i <= rank; ++i) {  // innermost first
      const int64_t da = i <= a.rank() ? a[a.rank() - i] : 1;
      const int64_t db = i <= b.rank() ? b[b.rank() - i] : 1;
      if (da != 1 || db != 1) add(da == 1 ? db : da, da != 1, db != 1);
    }
    for (int i = 0; i < groups_; ++i) elements_ *= extents_[index(i)];
  }

  int64_t elements() const { return elements_; }
  int64_t a_step() const { return groups_ == 0 || a_strides_[0] != 0 ? 1 : 0; }
  int64_t b_step() const { return groups_ == 0 || b_strides_[0] != 0 ? 1 : 0; }

  // Calls run(y, a, b, count) with element offsets for the runs of output elements [begin, end).
  template <typename Run>
  void operator()(int64_t begin, int64_t end, const Run& run) const {
    std::array<int64_t, Shape::kMaxRank> at{};
    int64_t a = 0, b = 0, rest = begin;
    for (int i = 0; i < groups_; ++i) {
      at[index(i)] = rest % extents_[index(i)];
      rest /= extents_[index(i)];
      a += at[index(i)] * a_strides_[index(i)];
      b += at[index(i)] * b_strides_[index(i)];
    }
    while (begin < end) {
      const int64_t count = std::min(end - begin, groups_ == 0 ? 1 : extents_[0] - at[0]);
      run(begin, a, b, count);
      begin += count;
      if (begin < end) advance(count, at, a, b);
    }
  }

 private:
  static size_t index(int i) { return static_cast<size_t>(i); }

  void add(int64_t extent, bool a_moves, bool b_moves) {
    const size_t last = index(groups_ - 1);
    if (groups_ > 0 && (a_strides_[last] != 0) == a_moves && (b_strides_[last] != 0) == b_moves) {
      extents_[last] *= extent;
    } else {
      extents_[index(groups_)] = extent;
      a_strides_[index(groups_)] = a_moves ? a_elements_ : 0;
      b_strides_[index(groups_)] = b_moves ? b_elements_ : 0;
      ++groups_;
    }
    if (a_moves) a_elements_ *= extent;
    if (b_moves) b_elements_ *= extent;
  }

  void advance(int64_t count, std::array<int64_t, Shape::kMaxRank>& at, int64_t& a,
               int64_t& b) const {
    a += count * a_strides_[0];
    b += count * b_strides_[0];
    at[0] += count;
    for (int i = 0; at[index(i)] == extents_[index(i)]; ++i) {
      a += a_strides_[index(i + 1)] - extents_[index(i)] * a_strides_[index(i)];
      b += b_strides_[index(i + 1)] - extents_[index(i)] * b_strides_[index(i)];
      at[index(i)] = 0;
      ++at[index(i + 1)];
    }
  }

  int groups_ = 0;  // innermost first
  int64_t elements_ = 1, a_elements_ = 1, b_elements_ = 1;
  std::array<int64_t, Shape::kMaxRank> extents_{}, a_strides_{}, b_strides_{};
};

}  // namespace sanderling
