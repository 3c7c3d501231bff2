// The steps of Resize and Upsample: at most two neighbouring axes change, by tables made at plan
// time.
#include <algorithm>
#include <cstring>
#include <optional>

#include "ops/element_types.h"
#include "ops/node_checks.h"
#include "ops/parallel.h"
#include "ops/resampling.h"

namespace sanderling {
namespace {

// Larger tables are not made: the reference then walks without any.
constexpr int64_t kMaxTable = int64_t{1} << 22;

// One axis: output index i is the sum of weights[i * taps + t] * input[places[i * taps + t]].
struct Table {
  int64_t taps = 1;
  std::vector<int32_t> places{};
  std::vector<float> weights{};

  const int32_t* place(int64_t i) const { return places.data() + i * taps; }
  const float* weight(int64_t i) const { return weights.data() + i * taps; }
};

std::optional<Table> table_of(const Resampling& resampling, size_t axis) {
  const ResampledAxis& a = resampling.axes[axis];
  Table table;
  ResampledTaps taps;
  for (int64_t i = 0; i < a.output; ++i) {
    resampling.taps(axis, i, taps);
    table.taps = static_cast<int64_t>(taps.weights.size());
    if (taps.outside || a.output > kMaxTable / table.taps || a.input > (int64_t{1} << 31) - 1)
      return std::nullopt;
    for (int64_t t = 0; t < table.taps; ++t) {
      table.places.push_back(
          static_cast<int32_t>(std::clamp<int64_t>(taps.first + t, 0, a.input - 1)));
      table.weights.push_back(static_cast<float>(taps.weights[static_cast<size_t>(t)]));
    }
  }
  return table;
}

// [images, rows, columns, inner], of which rows and columns change.
struct Step {
  int64_t images = 1, rows_in = 0, columns_in = 0, rows_out = 0, columns_out = 0, inner = 1;
  int64_t grain = 0;  // output rows
  std::shared_ptr<const Table> rows{}, columns{};
  bool doubles = false;  // each column, of one element, is shown twice: what most models do
};

template <typename T>
void pick_row(const Step& s, const T* x, T* y) {
  const int32_t* places = s.columns->places.data();
  if (s.doubles) {
    for (int64_t i = 0; i < s.columns_in; ++i) y[2 * i] = y[2 * i + 1] = x[i];
    return;
  }
  if (s.inner == 1) {
    for (int64_t i = 0; i < s.columns_out; ++i) y[i] = x[places[i]];
    return;
  }
  for (int64_t i = 0; i < s.columns_out; ++i)
    std::memcpy(y + i * s.inner, x + places[i] * s.inner, static_cast<size_t>(s.inner) * sizeof(T));
}

template <typename T>
void run_nearest(const Step& s, const StepArgs& args) {
  const auto* x = static_cast<const T*>(args.inputs[0]);
  auto* y = static_cast<T*>(args.outputs[0]);
  const int64_t row_in = s.columns_in * s.inner, row_out = s.columns_out * s.inner;
  for_each_range(*args.workers, s.images * s.rows_out, s.grain, [&](int64_t begin, int64_t end) {
    int64_t before = -1;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t from =
          i / s.rows_out * s.rows_in + s.rows->places[static_cast<size_t>(i % s.rows_out)];
      T* to = y + i * row_out;
      if (from == before)
        std::memcpy(to, to - row_out, static_cast<size_t>(row_out) * sizeof(T));
      else
        pick_row(s, x + from * row_in, to);
      before = from;
    }
  });
}

// The weighted sum of the input rows that output row `i` sees, in `blend`; or the row itself where
// it is the only one.
const float* blended_row(const Step& s, const float* image, int64_t i, float* blend) {
  const int64_t row = s.columns_in * s.inner;
  const int32_t* places = s.rows->place(i);
  const float* weights = s.rows->weight(i);
  if (s.rows->taps == 1) return image + places[0] * row;
  const float* first = image + places[0] * row;
  const float* second = image + places[1] * row;
  for (int64_t j = 0; j < row; ++j) blend[j] = first[j] * weights[0] + second[j] * weights[1];
  for (int64_t t = 2; t < s.rows->taps; ++t) {
    const float* other = image + places[t] * row;
    const float weight = weights[t];
    for (int64_t j = 0; j < row; ++j) blend[j] += other[j] * weight;
  }
  return blend;
}

// kTaps, where it is not 0, is how many taps each column has: known to the compiler.
template <int64_t kTaps>
void blend_line(const Table& table, const float* x, int64_t count, float* y) {
  const int64_t taps = kTaps != 0 ? kTaps : table.taps;
  const int32_t* places = table.places.data();
  const float* weights = table.weights.data();
  for (int64_t i = 0; i < count; ++i) {
    float sum = 0.0f;
    for (int64_t t = 0; t < taps; ++t) sum += x[places[i * taps + t]] * weights[i * taps + t];
    y[i] = sum;
  }
}

void blend_columns(const Step& s, const float* x, float* y) {
  const Table& table = *s.columns;
  if (s.inner == 1) {
    if (table.taps == 2) return blend_line<2>(table, x, s.columns_out, y);
    if (table.taps == 4) return blend_line<4>(table, x, s.columns_out, y);
    return blend_line<0>(table, x, s.columns_out, y);
  }
  for (int64_t i = 0; i < s.columns_out; ++i) {
    float* to = y + i * s.inner;
    std::fill_n(to, s.inner, 0.0f);
    for (int64_t t = 0; t < table.taps; ++t) {
      const float* from = x + table.place(i)[t] * s.inner;
      const float weight = table.weight(i)[t];
      for (int64_t j = 0; j < s.inner; ++j) to[j] += from[j] * weight;
    }
  }
}

void run_blend(const Step& s, const StepArgs& args) {
  const auto* x = static_cast<const float*>(args.inputs[0]);
  auto* y = static_cast<float*>(args.outputs[0]);
  const int64_t tasks = (s.images * s.rows_out + s.grain - 1) / s.grain;
  args.workers->for_each(tasks, [&](int64_t task, int thread) {
    auto* blend =
        reinterpret_cast<float*>(args.scratch + static_cast<size_t>(thread) * args.scratch_stride);
    const int64_t end = std::min(s.images * s.rows_out, (task + 1) * s.grain);
    for (int64_t i = task * s.grain; i < end; ++i) {
      const float* image = x + i / s.rows_out * s.rows_in * s.columns_in * s.inner;
      blend_columns(s, blended_row(s, image, i % s.rows_out, blend),
                    y + i * s.columns_out * s.inner);
    }
  });
}

// The extents of a step whose columns are axis `columns` and whose rows are the axis before it.
std::optional<Step> step_of(const Resampling& resampling) {
  const auto rank = static_cast<int64_t>(resampling.axes.size());
  int64_t first = rank, last = -1;
  for (int64_t a = 0; a < rank; ++a) {
    if (resampling.is_identity(static_cast<size_t>(a))) continue;
    first = std::min(first, a);
    last = a;
  }
  if (last < 0) first = last = rank - 1;
  if (last == first) first = std::max<int64_t>(last - 1, 0);
  if (rank < 2 || last - first > 1) return std::nullopt;
  if (last == 0) last = 1;
  Step step;
  for (int64_t a = 0; a < first; ++a) step.images *= resampling.axes[static_cast<size_t>(a)].output;
  for (int64_t a = last + 1; a < rank; ++a)
    step.inner *= resampling.axes[static_cast<size_t>(a)].output;
  const ResampledAxis& rows = resampling.axes[static_cast<size_t>(first)];
  const ResampledAxis& columns = resampling.axes[static_cast<size_t>(last)];
  step.rows_in = rows.input;
  step.rows_out = rows.output;
  step.columns_in = columns.input;
  step.columns_out = columns.output;
  auto row_table = table_of(resampling, static_cast<size_t>(first));
  auto column_table = table_of(resampling, static_cast<size_t>(last));
  if (!row_table || !column_table) return std::nullopt;
  step.rows = std::make_shared<const Table>(std::move(*row_table));
  step.columns = std::make_shared<const Table>(std::move(*column_table));
  step.doubles = step.inner == 1 && step.columns_out == 2 * step.columns_in;
  for (size_t i = 0; i < step.columns->places.size(); ++i)
    step.doubles = step.doubles && step.columns->places[i] == static_cast<int32_t>(i / 2);
  return step;
}

}  // namespace

void plan_resampling(PlanContext& context, const Resampling& resampling) {
  const DType dtype = context.input(0).dtype;
  const bool nearest = resampling.interpolation == Interpolation::kNearest;
  if (context.output(0).shape.elements() == 0 || (!nearest && dtype != DType::kFloat32)) return;
  std::optional<Step> step = step_of(resampling);
  if (!step) return;
  const int64_t row = std::max(step->columns_out, step->columns_in) * step->inner;
  step->grain = std::max<int64_t>(1, kStreamGrain / row);
  if (nearest) {
    visit_width(dtype, [&](auto zero) { context.emit(run_nearest<decltype(zero)>, *step); });
  } else {
    context.scratch(static_cast<size_t>(step->columns_in * step->inner) * sizeof(float));
    context.emit(run_blend, *step);
  }
}

}  // namespace sanderling
