#include "quantize/range_search.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/error.h"

namespace sanderling {
namespace {

constexpr int kMaxCode = 255;

// Integral of (u - round(u))^2 from 0 to t: 1/12 for each whole step, and the part of the step that
// t is in.
double rounding_integral(double t) {
  const double whole = std::nearbyint(t), rest = t - whole;
  return whole / 12.0 + rest * rest * rest / 3.0;
}

// The observed density as segments [from, to) of constant weight; one of no width is an atom.
struct Segment {
  double from, to, weight;
};

std::vector<Segment> segments_of(const RangeObserver& observer) {
  std::vector<Segment> segments;
  const double width = observer.width();
  for (int64_t i = 0; i < RangeObserver::kBins; ++i) {
    const uint64_t count = observer.counts()[static_cast<size_t>(i)];
    if (count == 0) continue;
    const double atom = observer.atoms()[static_cast<size_t>(i)];
    if (!std::isnan(atom)) {
      segments.push_back({atom, atom, static_cast<double>(count)});
      continue;
    }
    const double from = static_cast<double>(observer.first_bin() + i) * width;
    segments.push_back({std::max<double>(from, observer.low()),
                        std::min<double>(from + width, observer.high()),
                        static_cast<double>(count)});
  }
  return segments;
}

double lowest(const Quantization& q) { return -static_cast<double>(q.zero_point) * q.scale; }
double highest(const Quantization& q) {
  return static_cast<double>(kMaxCode - q.zero_point) * q.scale;
}

// Sum of squared errors. Codes stand at multiples of the scale, so in units of it rounding repeats
// with period 1.
double squared_error(const std::vector<Segment>& segments, const Quantization& q) {
  const double scale = q.scale, low = lowest(q), high = highest(q);
  double sum = 0.0;
  for (const auto& [from, to, weight] : segments) {
    if (!(to > from)) {
      const double code = std::clamp(std::nearbyint(from / scale) * scale, low, high);
      sum += weight * (from - code) * (from - code);
      continue;
    }
    double part = 0.0;
    if (from < low) {
      const double end = std::min(to, low), a = low - from, b = low - end;
      part += (a * a * a - b * b * b) / 3.0;
    }
    if (to > high) {
      const double begin = std::max(from, high), a = to - high, b = begin - high;
      part += (a * a * a - b * b * b) / 3.0;
    }
    const double begin = std::max(from, low), end = std::min(to, high);
    if (end > begin) {
      part += scale * scale * scale *
              (rounding_integral(end / scale) - rounding_integral(begin / scale));
    }
    sum += weight * part / (to - from);
  }
  return sum;
}

// A candidate is a share of the covering range on each side of zero.
class Search {
 public:
  explicit Search(const RangeObserver& observer)
      : segments_(segments_of(observer)),
        low_(std::min(observer.low(), 0.0f)),
        high_(std::max(observer.high(), 0.0f)) {
    best_ = covering_codes(low_, high_);
    covering_error_ = error_ = squared_error(segments_, best_);
  }

  // 24 shares from 1 to 1/64 on each side: neighbours differ by 1/6, within reach of the steps
  // below. Tails so heavy that less than 1/64 of the range is best are reached by those steps.
  void try_grid() {
    constexpr int kShares = 24;
    const auto share = [](int i) { return std::exp2(-6.0 * i / (kShares - 1)); };
    for (int i = 0; i < (low_ < 0.0f ? kShares : 1); ++i) {
      for (int j = 0; j < (high_ > 0.0f ? kShares : 1); ++j) try_shares(share(i), share(j));
    }
  }

  // Moves one side or both by a share that shrinks to 1/512, about half a code of 255, while that
  // helps.
  void walk_downhill() {
    for (double step = 0.125; step > 1.0 / 1024; step *= 0.5) {
      for (int moves = 0; moves < 64; ++moves) {
        const double before = error_;
        const double low = low_share_, high = high_share_;
        for (const double a : {1.0 - step, 1.0, 1.0 + step}) {
          for (const double b : {1.0 - step, 1.0, 1.0 + step}) try_shares(low * a, high * b);
        }
        if (!(error_ < before)) break;
      }
    }
  }

  const Quantization& best() const { return best_; }
  double error() const { return error_; }
  double covering_error() const { return covering_error_; }

 private:
  void try_shares(double low_share, double high_share) {
    low_share = std::min(low_share, 1.0);
    high_share = std::min(high_share, 1.0);
    const Quantization candidate = covering_codes(static_cast<float>(low_ * low_share),
                                                  static_cast<float>(high_ * high_share));
    const double error = squared_error(segments_, candidate);
    if (!(error < error_)) return;
    best_ = candidate;
    error_ = error;
    low_share_ = low_share;
    high_share_ = high_share;
  }

  std::vector<Segment> segments_;
  float low_, high_;
  Quantization best_;
  double error_, covering_error_;
  double low_share_ = 1.0, high_share_ = 1.0;
};

}  // namespace

Quantization covering_codes(float low, float high) {
  if (!std::isfinite(low) || !std::isfinite(high) || low > high) {
    fail(ErrorCode::kInput, "[covering_codes] range ", low, " to ", high,
         ". Give finite ends, the lower one first.");
  }
  const double from = std::min(low, 0.0f), to = std::max(high, 0.0f);
  const double width = to - from;
  if (width / kMaxCode < kSmallestScale) return {1.0f, from < 0.0 && to == 0.0 ? kMaxCode : 0};
  const auto scale = static_cast<float>(width / kMaxCode);
  const int32_t zero = std::clamp(static_cast<int32_t>(std::nearbyint(-from / scale)), 0, kMaxCode);
  // Rounding the zero point must not clip an end by more than half a step; that much the range
  // gives.
  return {scale, zero};
}

double mean_squared_error(const RangeObserver& observer, const Quantization& quantization) {
  if (observer.count() == 0) return 0.0;
  return squared_error(segments_of(observer), quantization) / static_cast<double>(observer.count());
}

double clipped_share(const RangeObserver& observer, const Quantization& quantization) {
  if (observer.count() == 0) return 0.0;
  const double low = lowest(quantization) - 0.5 * quantization.scale;
  const double high = highest(quantization) + 0.5 * quantization.scale;
  double clipped = 0.0;
  for (const auto& [from, to, weight] : segments_of(observer)) {
    if (!(to > from)) {
      if (from < low || from > high) clipped += weight;
      continue;
    }
    const double beyond =
        std::max(0.0, std::min(to, low) - from) + std::max(0.0, to - std::max(from, high));
    clipped += weight * beyond / (to - from);
  }
  return clipped / static_cast<double>(observer.count());
}

RangeChoice search_range(const RangeObserver& observer) {
  if (observer.count() == 0) {
    fail(ErrorCode::kInput, "[search_range] no finite value was observed (", observer.nan(),
         " NaN, ", observer.infinite(),
         " infinite). Observe the tensor on calibration rows first.");
  }
  Search search(observer);
  search.try_grid();
  search.walk_downhill();
  const auto count = static_cast<double>(observer.count());
  return {search.best(), search.error() / count, search.covering_error() / count,
          clipped_share(observer, search.best())};
}

}  // namespace sanderling
