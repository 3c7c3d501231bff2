#include "ops/code_matrices.h"

#include <array>

#include "ops/packed_codes.h"

namespace sanderling {
namespace {

// The shape of such an input in the axes of CodeMatrices::full().
Shape placed(const Shape& shape, Along along) {
  if (shape.rank() > 1) return shape;
  const int64_t count = shape.elements();
  return along == Along::kRows ? Shape{count, 1} : Shape{1, count};
}

Shape leading(const Shape& shape) {
  const int64_t axes = std::max<int64_t>(shape.rank() - 2, 0);
  return Shape({shape.dims().begin(), shape.dims().begin() + axes});
}

}  // namespace

CodeMatrices code_matrices(const InferContext& context, size_t a_input, size_t b_input) {
  const Shape& a = context.input(a_input).shape;
  const Shape& b = context.input(b_input).shape;
  const bool matrices = a.rank() > 0 && b.rank() > 0;
  const int64_t a_depth = matrices ? a[a.rank() - 1] : 0;
  if (!matrices || a_depth != b[std::max<int64_t>(b.rank() - 2, 0)])
    context.error("a has shape ", a.to_string(), " and b ", b.to_string(),
                  "; the columns of a must be as many as the rows of b");
  CodeMatrices m{.a_stack = leading(a),
                 .b_stack = leading(b),
                 .stack = {},
                 .rows = a.rank() > 1 ? a[a.rank() - 2] : 1,
                 .columns = b.rank() > 1 ? b[b.rank() - 1] : 1,
                 .depth = a_depth,
                 .result = {}};
  m.stack = checked_shape(context, [&] { return broadcast(m.a_stack, m.b_stack, "batch axes"); });
  std::vector<int64_t> dims = m.stack.dims();
  if (a.rank() > 1) dims.push_back(m.rows);
  if (b.rank() > 1) dims.push_back(m.columns);
  m.result = checked_shape(context, std::move(dims));
  checked_shape(context, [&] { return m.full(); });  // a vector's axis counts here
  return m;
}

void check_along(const InferContext& context, size_t input, Along along,
                 const CodeMatrices& matrices) {
  if (!context.has_input(input) || context.input(input).shape.elements() == 1) return;
  const Shape own = placed(context.input(input).shape, along);
  const Shape full = matrices.full();
  const int64_t still = along == Along::kRows ? own.rank() - 1 : own.rank() - 2;
  bool fits = own.rank() <= full.rank() && own[still] == 1;
  for (int64_t i = 1; fits && i <= own.rank(); ++i)
    fits = own[own.rank() - i] == 1 || own[own.rank() - i] == full[full.rank() - i];
  if (!fits)
    context.error("input ", input, " has shape ", context.input(input).shape.to_string(),
                  ", expected one value or one per ",
                  along == Along::kRows ? "row of a" : "column of b", " for a result of shape ",
                  full.to_string());
}

int64_t index_along(const InferContext& context, size_t input, Along along,
                    const CodeMatrices& matrices, int64_t i) {
  const Shape& shape = context.input(input).shape;
  return shape.elements() == 1 ? 0 : broadcast_offset(matrices.full(), placed(shape, along), i);
}

void check_product(const InferContext& context, const ProductInputs& inputs,
                   const CodeMatrices& matrices) {
  require_codes(context, inputs.a);
  require_codes(context, inputs.b);
  if (context.has_input(inputs.a_zero)) require_same_dtype(context, inputs.a, inputs.a_zero);
  if (context.has_input(inputs.b_zero)) require_same_dtype(context, inputs.b, inputs.b_zero);
  check_along(context, inputs.a_zero, Along::kRows, matrices);
  check_along(context, inputs.b_zero, Along::kColumns, matrices);
}

int64_t code_product(const ReferenceContext& context, const ProductInputs& inputs,
                     const CodeMatrices& m, int64_t i) {
  const CodeInput a(context, inputs.a), b(context, inputs.b);
  const auto zero_point = [&](size_t input, Along along) {
    return context.has_input(input)
               ? CodeInput(context, input)[index_along(context, input, along, m, i)]
               : 0;
  };
  const int64_t a_zero = zero_point(inputs.a_zero, Along::kRows);
  const int64_t b_zero = zero_point(inputs.b_zero, Along::kColumns);
  const int64_t matrix = i / (m.rows * m.columns);
  const int64_t row = m.a_at(matrix) + i / m.columns % m.rows * m.depth;
  const int64_t column = m.b_at(matrix) + i % m.columns;
  int64_t sum = 0;
  for (int64_t k = 0; k < m.depth; ++k)
    sum += (a[row + k] - a_zero) * (b[column + k * m.columns] - b_zero);
  return sum;
}

namespace {

struct Parameters {
  ProductInputs inputs;
  std::optional<RealProduct> real;
  int64_t rows, columns, depth;
  bool a_signed, b_signed;
  bool b_zero_each, b_scale_each;  // one per column
  const KernelTable* kernels;
  PackedCodes weights;
  size_t acc_offset, sums_offset;  // in scratch, after rows of raised codes
};

// Rows that a task multiplies by one block of columns; a multiple of every kernel's rows.
constexpr int64_t kTaskRows = 48;

const void* optional_input(const StepArgs& args, size_t input) {
  return input == kLeftOut ? nullptr : args.inputs[input];
}

void finish(const Parameters& p, const StepArgs& args, const int32_t* acc, const int32_t* sums,
            int64_t begin, int64_t rows, int64_t first, int64_t count) {
  const int32_t a_zero = raised_zero_point(optional_input(args, p.inputs.a_zero), p.a_signed, 0);
  const void* b_zeros = optional_input(args, p.inputs.b_zero);
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t at = (begin + r) * p.columns + first;
    for (int64_t c = 0; c < count; ++c) {
      const int32_t b_zero = lowered_zero_point(b_zeros, p.b_signed, p.b_zero_each ? first + c : 0);
      const int32_t sum = p.weights.centred(acc[r * count + c], sums[r], a_zero, b_zero, first + c);
      if (!p.real) {
        static_cast<int32_t*>(args.outputs[0])[at + c] = sum;
        continue;
      }
      const auto* a_scale = static_cast<const float*>(args.inputs[p.real->a_scale]);
      const auto* b_scale = static_cast<const float*>(args.inputs[p.real->b_scale]);
      float y = static_cast<float>(sum) * (*a_scale * b_scale[p.b_scale_each ? first + c : 0]);
      if (const void* bias = optional_input(args, p.real->bias))
        y += static_cast<const float*>(bias)[first + c];
      static_cast<float*>(args.outputs[0])[at + c] = y;
    }
  }
}

void run(const Parameters& p, const StepArgs& args) {
  const auto* a = static_cast<const uint8_t*>(args.inputs[p.inputs.a]);
  const int64_t blocks = p.weights.blocks.blocks();
  const int64_t tasks = (p.rows + kTaskRows - 1) / kTaskRows * blocks;
  args.workers->for_each(tasks, [&](int64_t task, int thread) {
    std::byte* scratch = args.scratch + static_cast<size_t>(thread) * args.scratch_stride;
    auto* raised = reinterpret_cast<uint8_t*>(scratch);
    auto* acc = reinterpret_cast<int32_t*>(scratch + p.acc_offset);
    auto* sums = reinterpret_cast<int32_t*>(scratch + p.sums_offset);
    const int64_t begin = task / blocks * kTaskRows, end = std::min(p.rows, begin + kTaskRows);
    const int64_t first = task % blocks * kBlockColumns,
                  count = std::min(kBlockColumns, p.columns - first);
    const uint8_t* rows = a + begin * p.depth;
    // The last rows too: the kernel reads past their end (kSlackBytes), and they may be a user's.
    if (p.a_signed || end == p.rows) {
      const uint8_t flip = p.a_signed ? 0x80 : 0;
      for (int64_t i = 0; i < (end - begin) * p.depth; ++i) raised[i] = rows[i] ^ flip;
      rows = raised;
    }
    for (int64_t r = 0; r < end - begin; ++r) sums[r] = sum_of_codes(rows + r * p.depth, p.depth);
    p.kernels->gemm_u8s8s32({.rows = end - begin,
                             .columns = count,
                             .depth = p.depth,
                             .a = rows,
                             .a_stride = p.depth,
                             .b = p.weights.blocks.block(0, task % blocks),
                             .c = acc,
                             .c_stride = count});
    finish(p, args, acc, sums, begin, end - begin, first, count);
  });
}

bool one_value(const InferContext& context, size_t input) {
  return !context.has_input(input) || context.input(input).shape.elements() == 1;
}

bool one_per_column(const InferContext& context, size_t input) {
  return one_value(context, input) || context.input(input).shape.rank() == 1;
}

}  // namespace

void plan_product(PlanContext& context, const ProductInputs& inputs,
                  const std::optional<RealProduct>& real) {
  const CodeMatrices m = code_matrices(context, inputs.a, inputs.b);
  if (!context.is_constant(inputs.b) || context.input(inputs.b).shape.rank() != 2 || m.depth == 0 ||
      m.depth > kMaxCentredDepth || !one_value(context, inputs.a_zero) ||
      !one_per_column(context, inputs.b_zero))
    return;
  const bool b_signed = context.input(inputs.b).dtype == DType::kInt8;
  const auto present = [&](size_t input) { return context.has_input(input) ? input : kLeftOut; };
  Parameters p{.inputs = {inputs.a, inputs.b, present(inputs.a_zero), present(inputs.b_zero)},
               .real = real,
               .rows = m.full().elements() / m.columns,
               .columns = m.columns,
               .depth = m.depth,
               .a_signed = context.input(inputs.a).dtype == DType::kInt8,
               .b_signed = b_signed,
               .b_zero_each = !one_value(context, inputs.b_zero),
               .b_scale_each = real && !one_value(context, real->b_scale),
               .kernels = &context.kernels(),
               .weights = PackedCodes::of_node(context, context.constant(inputs.b), 1, m.columns,
                                               m.depth, /*transposed=*/true),
               .acc_offset = 0,
               .sums_offset = 0};
  if (p.real) p.real->bias = present(p.real->bias);
  const int64_t rows = std::min(p.rows, kTaskRows);
  const int64_t columns = std::min(p.columns, kBlockColumns);
  p.acc_offset = scratch_bytes(rows * p.depth);
  p.sums_offset =
      p.acc_offset + scratch_bytes(rows * columns * static_cast<int64_t>(sizeof(int32_t)));
  context.scratch(p.sums_offset + scratch_bytes(rows * static_cast<int64_t>(sizeof(int32_t))));
  context.emit(run, std::move(p));
}

}  // namespace sanderling
