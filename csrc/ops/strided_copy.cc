#include "ops/strided_copy.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "ops/element_types.h"
#include "ops/parallel.h"

namespace sanderling {
namespace {

// 32 x 32 elements of 8 bytes are 8 KiB on each side: reads and writes of a tile stay in the
// first-level cache.
constexpr int64_t kTile = 32;

// From the innermost, without axes of extent 1, neighbours that are one merged. The first is
// contiguous in the target.
std::vector<CopyAxis> merged(const std::vector<CopyAxis>& axes) {
  std::vector<CopyAxis> kept;
  for (auto axis = axes.rbegin(); axis != axes.rend(); ++axis) {
    if (axis->extent == 1) continue;
    if (!kept.empty() && axis->from == kept.back().from * kept.back().extent &&
        axis->to == kept.back().to * kept.back().extent)
      kept.back().extent *= axis->extent;
    else
      kept.push_back(*axis);
  }
  if (kept.empty() || kept.front().to != 1) kept.insert(kept.begin(), CopyAxis{1, 1, 1});
  return kept;
}

using Four = uint32_t __attribute__((vector_size(16)));

// 4 x 4 elements of 4 bytes, in registers: to[r * to_row + c] = from[r + c * from_column].
void transpose_block(const uint32_t* from, int64_t from_column, uint32_t* to, int64_t to_row) {
  Four columns[4];
  for (int c = 0; c < 4; ++c) std::memcpy(&columns[c], from + c * from_column, sizeof(Four));
  const Four low_left = __builtin_shufflevector(columns[0], columns[1], 0, 4, 1, 5);
  const Four low_right = __builtin_shufflevector(columns[2], columns[3], 0, 4, 1, 5);
  const Four high_left = __builtin_shufflevector(columns[0], columns[1], 2, 6, 3, 7);
  const Four high_right = __builtin_shufflevector(columns[2], columns[3], 2, 6, 3, 7);
  const Four rows[4] = {__builtin_shufflevector(low_left, low_right, 0, 1, 4, 5),
                        __builtin_shufflevector(low_left, low_right, 2, 3, 6, 7),
                        __builtin_shufflevector(high_left, high_right, 0, 1, 4, 5),
                        __builtin_shufflevector(high_left, high_right, 2, 3, 6, 7)};
  for (int r = 0; r < 4; ++r) std::memcpy(to + r * to_row, &rows[r], sizeof(Four));
}

// The same for any number of rows and columns.
void transpose(const uint32_t* from, int64_t from_column, uint32_t* to, int64_t to_row,
               int64_t rows, int64_t columns) {
  const int64_t whole_rows = rows / 4 * 4, whole_columns = columns / 4 * 4;
  for (int64_t c = 0; c < whole_columns; c += 4)
    for (int64_t r = 0; r < whole_rows; r += 4)
      transpose_block(from + r + c * from_column, from_column, to + r * to_row + c, to_row);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = r < whole_rows ? whole_columns : 0; c < columns; ++c)
      to[r * to_row + c] = from[r + c * from_column];
}

int64_t tiles_of(int64_t extent, int64_t tile) { return (extent + tile - 1) / tile; }

}  // namespace

std::vector<CopyAxis> axes_to(const Shape& to, const std::vector<int64_t>& from_strides) {
  const std::vector<int64_t> strides = to.strides();
  std::vector<CopyAxis> axes;
  for (size_t i = 0; i < strides.size(); ++i)
    axes.push_back({to.dims()[i], from_strides[i], strides[i]});
  return axes;
}

StridedCopy::StridedCopy(DType dtype, const std::vector<CopyAxis>& axes, int64_t from_offset,
                         int64_t to_offset)
    : outer_(merged(axes)),
      from_offset_(from_offset),
      to_offset_(to_offset),
      width_(size_of(dtype)) {
  column_ = outer_.front();
  outer_.erase(outer_.begin());
  const bool runs = column_.from == 1 || column_.from == 0;
  const auto along_source = std::find_if(outer_.begin(), outer_.end(),
                                         [](const CopyAxis& axis) { return axis.from == 1; });
  const bool transposes = !runs && along_source != outer_.end();
  const auto row = transposes ? along_source : outer_.begin();
  if (row != outer_.end()) {
    row_ = *row;
    outer_.erase(row);
  }
  for (const CopyAxis& axis : outer_) outer_elements_ *= axis.extent;
  // A tile is narrow only where the tensor is.
  const int64_t area = transposes ? kTile * kTile : kStreamGrain;
  const int64_t widest =
      transposes ? std::max(kTile, area / std::max<int64_t>(1, row_.extent)) : kStreamGrain;
  tile_columns_ = std::clamp<int64_t>(column_.extent, 1, widest);
  tile_rows_ = std::max<int64_t>(1, area / tile_columns_);
}

template <typename T>
void StridedCopy::copy_tile(const T* from, T* to, int64_t rows, int64_t columns) const {
  if constexpr (std::is_same_v<T, uint32_t>) {
    const bool strided = column_.from != 1 && column_.from != 0 && row_.from == 1;
    if (strided && rows >= 4 && columns >= 4)
      return transpose(from, column_.from, to, row_.to, rows, columns);
  }
  if (column_.from == 1) {
    for (int64_t r = 0; r < rows; ++r) std::copy_n(from + r * row_.from, columns, to + r * row_.to);
  } else if (column_.from == 0) {
    for (int64_t r = 0; r < rows; ++r) std::fill_n(to + r * row_.to, columns, from[r * row_.from]);
  } else if (rows > columns) {
    for (int64_t c = 0; c < columns; ++c)
      for (int64_t r = 0; r < rows; ++r)
        to[r * row_.to + c] = from[r * row_.from + c * column_.from];
  } else {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < columns; ++c)
        to[r * row_.to + c] = from[r * row_.from + c * column_.from];
  }
}

template <typename T>
void StridedCopy::copy(const T* source, T* target, Workers& workers) const {
  const int64_t row_tiles = tiles_of(row_.extent, tile_rows_);
  const int64_t column_tiles = tiles_of(column_.extent, tile_columns_);
  const int64_t tiles = outer_elements_ * row_tiles * column_tiles;
  const int64_t tile_elements = std::min(tile_rows_, row_.extent) * tile_columns_;
  const int64_t grain = std::max<int64_t>(1, kStreamGrain / std::max<int64_t>(1, tile_elements));
  for_each_range(workers, tiles, grain, [&](int64_t begin, int64_t end) {
    for (int64_t tile = begin; tile < end; ++tile) {
      const int64_t column = tile % column_tiles * tile_columns_;
      const int64_t row = tile / column_tiles % row_tiles * tile_rows_;
      int64_t rest = tile / column_tiles / row_tiles;
      int64_t from = from_offset_ + row * row_.from + column * column_.from;
      int64_t to = to_offset_ + row * row_.to + column;
      for (const CopyAxis& axis : outer_) {
        from += rest % axis.extent * axis.from;
        to += rest % axis.extent * axis.to;
        rest /= axis.extent;
      }
      copy_tile(source + from, target + to, std::min(tile_rows_, row_.extent - row),
                std::min(tile_columns_, column_.extent - column));
    }
  });
}

void StridedCopy::operator()(const void* from, void* to, Workers& workers) const {
  const auto as = [&](auto zero) {
    using T = decltype(zero);
    copy(static_cast<const T*>(from), static_cast<T*>(to), workers);
  };
  switch (width_) {
    case 1:
      return as(uint8_t{});
    case 2:
      return as(uint16_t{});
    case 4:
      return as(uint32_t{});
    default:
      return as(uint64_t{});
  }
}

}  // namespace sanderling
