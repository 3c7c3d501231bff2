// Rows of a table whose weights are codes with a scale for each block: an embedding of 4 bits.
#include "ops/axes.h"
#include "ops/element_types.h"
#include "ops/index_data.h"

namespace sanderling {
namespace {

constexpr size_t kData = 0, kIndices = 1, kScales = 2, kZeros = 3;

struct Table {
  Shape shape;  // of the codes, however they are packed
  int64_t gather_axis, quantize_axis, block, bits;
  bool packed;  // uint8 that hold several codes, the first in the low bits

  int64_t per_byte() const { return packed ? 8 / bits : 1; }
  // With blocks in place of codes.
  Shape blocks(int64_t per_element) const {
    std::vector<int64_t> dims = shape.dims();
    int64_t& extent = dims[static_cast<size_t>(quantize_axis)];
    extent = (extent + block - 1) / block;
    extent = (extent + per_element - 1) / per_element;
    return Shape(std::move(dims));
  }
};

Table table_of(const InferContext& context) {
  const TensorType& data = context.input(kData);
  const int64_t rank = data.shape.rank();
  Table t{
      .shape = data.shape,
      .gather_axis = checked_axis(context, context.attributes().integer("gather_axis", 0), rank),
      .quantize_axis =
          checked_axis(context, context.attributes().integer("quantize_axis", 1), rank),
      .block = context.attributes().integer("block_size", 128),
      .bits = context.attributes().integer("bits", 4),
      .packed = false};
  if (t.block < 16 || (t.block & (t.block - 1)) != 0)
    context.error("block_size is ", t.block, ", expected a power of two of 16 or more");
  if (data.dtype != DType::kUInt8) return t;
  if (t.bits != 2 && t.bits != 4 && t.bits != 8)
    context.unsupported("bits is ", t.bits, "; the native engine unpacks 2, 4 and 8");
  t.packed = t.bits < 8;
  if (t.packed && t.quantize_axis != rank - 1)
    context.error("quantize_axis is ", t.quantize_axis, ", expected the last, ", rank - 1,
                  ", of packed codes");
  std::vector<int64_t> dims = data.shape.dims();
  dims.back() *= t.per_byte();
  t.shape = checked_shape(context, std::move(dims));
  return t;
}

IndexRanges ranges_of(const InferContext& context, const Table& t) {
  return {context, kIndices, {t.shape[t.gather_axis]}};
}

void infer(InferContext& context) {
  require_dtype(context, kData, {DType::kUInt8, DType::kInt4, DType::kUInt4});
  require_index_dtype(context, kIndices);
  require_dtype(context, kScales, {DType::kFloat32});
  const Table t = table_of(context);
  if (context.input(kScales).shape != t.blocks(1))
    context.error("scales have shape ", context.input(kScales).shape.to_string(), ", expected ",
                  t.blocks(1).to_string());
  if (context.has_input(kZeros)) {
    require_same_dtype(context, kData, kZeros);
    if (context.input(kZeros).shape != t.blocks(t.per_byte()))
      context.error("zero points have shape ", context.input(kZeros).shape.to_string(),
                    ", expected ", t.blocks(t.per_byte()).to_string());
  }
  ranges_of(context, t).check_known(context);
  const Shape& indices = context.input(kIndices).shape;
  std::vector<int64_t> dims(t.shape.dims().begin(), t.shape.dims().begin() + t.gather_axis);
  dims.insert(dims.end(), indices.dims().begin(), indices.dims().end());
  dims.insert(dims.end(), t.shape.dims().begin() + t.gather_axis + 1, t.shape.dims().end());
  context.set_output(0, DType::kFloat32, checked_shape(context, std::move(dims)));
}

// Code `i` of a row of `extent` codes, of which rows start at whole bytes.
int32_t code_at(const ReferenceContext& context, const Table& t, size_t input, int64_t row,
                int64_t extent, int64_t i) {
  switch (context.input(input).dtype) {
    case DType::kInt4:
      return context.in<Int4>(input)[row * extent + i].number();
    case DType::kUInt4:
      return context.in<UInt4>(input)[row * extent + i].number();
    default: {
      const int64_t bytes = (extent + t.per_byte() - 1) / t.per_byte();
      const uint8_t byte = context.in<uint8_t>(input)[row * bytes + i / t.per_byte()];
      return byte >> (i % t.per_byte() * t.bits) & ((1 << t.bits) - 1);
    }
  }
}

// Elements behind the last axis count as rows of one code: only of packed codes rows matter, and
// those are quantized along the last axis.
void reference(const ReferenceContext& context) {
  const Table t = table_of(context);
  ranges_of(context, t).check_known(context);
  const Shape& shape = t.shape;
  const int64_t rank = shape.rank(), g = t.gather_axis, q = t.quantize_axis;
  const int64_t extent = shape[g], inner = shape.elements(g + 1, rank);
  const int64_t outer = shape.elements(0, g), count = context.input(kIndices).shape.elements();
  const int64_t after = shape.elements(q + 1, rank), along = shape[q];
  const int64_t blocks = (along + t.block - 1) / t.block;
  const bool is_bytes = context.input(kData).dtype == DType::kUInt8;
  const int32_t middle = is_bytes ? 1 << (t.bits - 1) : 0;
  const auto* const scales = context.in<float>(kScales);
  const auto put = [&](int64_t to, int64_t from) {
    const int64_t before = from / (along * after), at = from / after % along, rest = from % after;
    const int64_t block = (before * blocks + at / t.block) * after + rest;
    const int32_t code = t.packed ? code_at(context, t, kData, before, along, at)
                                  : code_at(context, t, kData, 0, 0, from);
    int32_t zero = middle;
    if (context.has_input(kZeros))
      zero = t.packed ? code_at(context, t, kZeros, before, blocks, at / t.block)
                      : code_at(context, t, kZeros, 0, 0, block);
    context.out<float>(0)[to] = static_cast<float>(code - zero) * scales[block];
  };
  visit_indices(context.input(kIndices).dtype, context.raw_input(kIndices), [&](const auto* list) {
    int64_t to = 0;
    for (int64_t o = 0; o < outer; ++o)
      for (int64_t k = 0; k < count; ++k)
        for (int64_t i = 0; i < inner; ++i)
          put(to++, (o * extent + from_start(list[k], extent)) * inner + i);
  });
}

SANDERLING_OPERATOR(gather_block_quantized)({.name = "com.microsoft.GatherBlockQuantized",
                                             .since_opset = 1,
                                             .min_inputs = 3,
                                             .max_inputs = 4,
                                             .infer = infer,
                                             .reference = reference});

}  // namespace
}  // namespace sanderling
