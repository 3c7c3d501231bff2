// NumPy broadcasting of two operands: the shape rule, and a walk over long runs for kernels.
#pragma once

#include <algorithm>
#include <array>

#include "ops/node_checks.h"

namespace sanderling {

// The shape of two operands broadcast together.
inline Shape broadcast_shapes(const InferContext& context, const Shape& a, const Shape& b) {
  for (int64_t i = 1; i <= std::min(a.rank(), b.rank()); ++i) {
    const int64_t da = a[a.rank() - i], db = b[b.rank() - i];
    if (da != db && da != 1 && db != 1)
      context.error("inputs of shapes ", a.to_string(), " and ", b.to_string(),
                    " cannot be broadcast together: ", da, " against ", db,
                    ". Each pair of extents must be equal or have a 1");
  }
  return checked_shape(context, [&] { return broadcast(a, b, "broadcast"); });
}

// The shape of inputs 0 and 1, or of the first `count` inputs, broadcast together.
inline Shape broadcast_inputs(const InferContext& context, size_t count = 2) {
  Shape shape = context.input(0).shape;
  for (size_t i = 1; i < count; ++i)
    shape = broadcast_shapes(context, shape, context.input(i).shape);
  return shape;
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

// Walks a broadcast of operands in runs along which each either advances with the output (step 1)
// or stands still (step 0). Neighbouring dimensions that behave alike are one, so equal shapes are
// a single run. Holds no memory: plans copy it.
template <size_t kOperands>
class BroadcastRuns {
 public:
  using Offsets = std::array<int64_t, kOperands>;

  // The shapes must be broadcastable.
  explicit BroadcastRuns(const std::array<const Shape*, kOperands>& shapes) {
    int64_t rank = 0;
    for (const Shape* shape : shapes) rank = std::max(rank, shape->rank());
    Offsets elements;  // of each operand, in the dimensions so far
    elements.fill(1);
    for (int64_t i = 1; i <= rank; ++i) {  // innermost first
      int64_t extent = 1;
      Offsets strides{};
      for (size_t k = 0; k < kOperands; ++k) {
        const Shape& shape = *shapes[k];
        const int64_t own = i <= shape.rank() ? shape[shape.rank() - i] : 1;
        if (own == 1) continue;
        extent = own;
        strides[k] = elements[k];
        elements[k] *= own;
      }
      if (extent != 1) add(extent, strides);
    }
    for (size_t i = 0; i < groups_; ++i) elements_ *= extents_[i];
  }

  int64_t elements() const { return elements_; }
  int64_t step(size_t operand) const { return groups_ == 0 || strides_[0][operand] != 0 ? 1 : 0; }

  // Calls run(y, offsets, count) with element offsets for the runs of output elements [begin, end).
  template <typename Run>
  void operator()(int64_t begin, int64_t end, const Run& run) const {
    std::array<int64_t, Shape::kMaxRank> at{};
    Offsets offsets{};
    int64_t rest = begin;
    for (size_t i = 0; i < groups_; ++i) {
      at[i] = rest % extents_[i];
      rest /= extents_[i];
      for (size_t k = 0; k < kOperands; ++k) offsets[k] += at[i] * strides_[i][k];
    }
    while (begin < end) {
      const int64_t count = std::min(end - begin, groups_ == 0 ? 1 : extents_[0] - at[0]);
      run(begin, offsets, count);
      begin += count;
      if (begin < end) advance(count, at, offsets);
    }
  }

 private:
  void add(int64_t extent, const Offsets& strides) {
    const auto alike = [&](const Offsets& last) {
      for (size_t k = 0; k < kOperands; ++k)
        if ((last[k] != 0) != (strides[k] != 0)) return false;
      return true;
    };
    if (groups_ > 0 && alike(strides_[groups_ - 1])) {
      extents_[groups_ - 1] *= extent;
    } else {
      extents_[groups_] = extent;
      strides_[groups_] = strides;
      ++groups_;
    }
  }

  void advance(int64_t count, std::array<int64_t, Shape::kMaxRank>& at, Offsets& offsets) const {
    for (size_t k = 0; k < kOperands; ++k) offsets[k] += count * strides_[0][k];
    at[0] += count;
    for (size_t i = 0; at[i] == extents_[i]; ++i) {
      for (size_t k = 0; k < kOperands; ++k)
        offsets[k] += strides_[i + 1][k] - extents_[i] * strides_[i][k];
      at[i] = 0;
      ++at[i + 1];
    }
  }

  size_t groups_ = 0;  // innermost first
  int64_t elements_ = 1;
  std::array<int64_t, Shape::kMaxRank> extents_{};
  std::array<Offsets, Shape::kMaxRank> strides_{};
};

// The same for two operands.
class BroadcastWalk {
 public:
  BroadcastWalk(const Shape& a, const Shape& b) : runs_({&a, &b}) {}

  int64_t elements() const { return runs_.elements(); }
  int64_t a_step() const { return runs_.step(0); }
  int64_t b_step() const { return runs_.step(1); }

  // Calls run(y, a, b, count) with element offsets for the runs of output elements [begin, end).
  template <typename Run>
  void operator()(int64_t begin, int64_t end, const Run& run) const {
    runs_(begin, end, [&](int64_t y, const std::array<int64_t, 2>& offsets, int64_t count) {
      run(y, offsets[0], offsets[1], count);
    });
  }

 private:
  BroadcastRuns<2> runs_;
};

}  // namespace sanderling
