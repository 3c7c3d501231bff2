#include <cstring>
#include <limits>

#include "ops/axes.h"
#include "ops/parallel.h"
#include "ops/strided_copy.h"

namespace sanderling {
namespace {

int64_t concat_axis(const InferContext& context) {
  if (!context.attributes().has("axis")) context.error("has no axis");
  return checked_axis(context, context.attributes().integer("axis", 0),
                      context.input(0).shape.rank());
}

void infer(InferContext& context) {
  const TensorType& first = context.input(0);
  const int64_t axis = concat_axis(context);
  std::vector<int64_t> dims = first.shape.dims();
  for (size_t i = 1; i < context.inputs(); ++i) {
    require_same_dtype(context, 0, i);
    const Shape& shape = context.input(i).shape;
    bool fits = shape.rank() == first.shape.rank();
    for (int64_t d = 0; fits && d < shape.rank(); ++d)
      fits = d == axis || shape[d] == first.shape[d];
    if (!fits)
      context.error("input ", i, " has shape ", shape.to_string(), ", input 0 has shape ",
                    first.shape.to_string(), "; only extents along axis ", axis, " may differ");
    dims[static_cast<size_t>(axis)] += shape[axis];
  }
  context.set_output(0, first.dtype, checked_shape(context, std::move(dims)));
}

// Bytes that input i gives to one index of the axes before the concatenated one.
size_t piece_bytes(const InferContext& context, size_t i, int64_t axis) {
  const TensorType& x = context.input(i);
  return static_cast<size_t>(x.shape.elements(axis, x.shape.rank())) * size_of(x.dtype);
}

void reference(const ReferenceContext& context) {
  const int64_t axis = concat_axis(context);
  auto* y = static_cast<std::byte*>(context.raw_output(0));
  for (int64_t outer = 0; outer < context.output(0).shape.elements(0, axis); ++outer) {
    for (size_t i = 0; i < context.inputs(); ++i) {
      const size_t bytes = piece_bytes(context, i, axis);
      if (bytes == 0) continue;
      std::memcpy(
          y,
          static_cast<const std::byte*>(context.raw_input(i)) + static_cast<size_t>(outer) * bytes,
          bytes);
      y += bytes;
    }
  }
}

struct Piece {
  size_t input, bytes, offset;  // bytes per outer index; offset in a row of the output
};

struct Step {
  int64_t outer;
  size_t row_bytes;
  std::vector<Piece> pieces;
};

void run(const Step& step, const StepArgs& args) {
  auto* y = static_cast<std::byte*>(args.outputs[0]);
  const int64_t grain = std::max<int64_t>(1, kStreamGrain / static_cast<int64_t>(step.row_bytes));
  for_each_range(*args.workers, step.outer, grain, [&](int64_t begin, int64_t end) {
    for (const Piece& piece : step.pieces) {
      const auto* x = static_cast<const std::byte*>(args.inputs[piece.input]);
      for (auto row = static_cast<size_t>(begin); row < static_cast<size_t>(end); ++row)
        std::memcpy(y + row * step.row_bytes + piece.offset, x + row * piece.bytes, piece.bytes);
    }
  });
}

// Of rows that are longer, threads share each piece; there may be one row only.
constexpr size_t kLongRow = 4 * kStreamGrain;

struct LongPiece {
  size_t input;
  StridedCopy copy;
};
using LongStep = std::vector<LongPiece>;

void run_long(const LongStep& pieces, const StepArgs& args) {
  for (const LongPiece& piece : pieces)
    piece.copy(args.inputs[piece.input], args.outputs[0], *args.workers);
}

void plan(PlanContext& context) {
  const int64_t axis = concat_axis(context);
  Step step{context.output(0).shape.elements(0, axis), 0, {}};
  for (size_t i = 0; i < context.inputs(); ++i) {
    const size_t bytes = piece_bytes(context, i, axis);
    if (bytes != 0) step.pieces.push_back({i, bytes, step.row_bytes});
    step.row_bytes += bytes;
  }
  if (step.row_bytes == 0) return;
  if (step.row_bytes < kLongRow) return context.emit(run, std::move(step));
  LongStep pieces;
  const auto row = static_cast<int64_t>(step.row_bytes);
  for (const Piece& piece : step.pieces) {
    const auto bytes = static_cast<int64_t>(piece.bytes);
    pieces.push_back(
        {piece.input, StridedCopy(DType::kUInt8, {{step.outer, bytes, row}, {bytes, 1, 1}}, 0,
                                  static_cast<int64_t>(piece.offset))});
  }
  context.emit(run_long, std::move(pieces));
}

std::optional<size_t> piece_offset(const InferContext& context, size_t input) {
  const int64_t axis = concat_axis(context);
  if (context.input(0).shape.elements(0, axis) != 1) return std::nullopt;
  size_t offset = 0;
  for (size_t i = 0; i < input; ++i) offset += piece_bytes(context, i, axis);
  return offset;
}

SANDERLING_OPERATOR(concat)({.name = "Concat",
                             .since_opset = 7,
                             .max_inputs = std::numeric_limits<size_t>::max(),
                             .infer = infer,
                             .reference = reference,
                             .plan = plan,
                             .piece_offset = piece_offset,
                             .nan = NanRule::kKeeps});

}  // namespace
}  // namespace sanderling
