// Products of two tensors that are both computed in the run: attention's.
#include <algorithm>

#include "ops/matrix_stacks.h"
#include "ops/packed_codes.h"
#include "ops/quantization.h"

namespace sanderling {
namespace {

// Rows that a task multiplies at once; a multiple of every kernel's rows. Its sums take 24 KiB.
constexpr int64_t kTaskRows = 96;
// Columns that a task packs by itself: a multiple of every kernel's panel.
constexpr int64_t kTaskColumns = 64;

// float(sum) * scale, in output steps or real, within [low, high].
struct Epilogue {
  float scale;
  bool codes;
  int32_t zero_point;
  CodeRange code_range;
  ActivationRange range;
};

Epilogue epilogue_of(const InferContext& context) {
  const std::optional<Quantization>& y = context.quantization_of_output(0);
  const double product = static_cast<double>(context.input_quantization(0).scale) *
                         static_cast<double>(context.input_quantization(1).scale);
  return {.scale = static_cast<float>(product / (y ? static_cast<double>(y->scale) : 1.0)),
          .codes = y.has_value(),
          .zero_point = y ? y->zero_point : 0,
          .code_range = y ? code_range(context, *y) : CodeRange{0, 255},
          .range = activation_range(context)};
}

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kUInt8});
  require_dtype(context, 1, {DType::kUInt8});
  context.set_output(0, context.quantization_of_output(0) ? DType::kUInt8 : DType::kFloat32,
                     matrix_operands(context).result);
}

void reference(const ReferenceContext& context) {
  const Product p = matrix_product(context);
  const Epilogue epilogue = epilogue_of(context);
  const int64_t a_zero = context.input_quantization(0).zero_point;
  const int64_t b_zero = context.input_quantization(1).zero_point;
  for (int64_t i = 0; i < context.output(0).shape.elements(); ++i) {
    const auto matrix = static_cast<size_t>(i / (p.rows * p.columns));
    const uint8_t* a = context.in<uint8_t>(0) + p.a[matrix] + i / p.columns % p.rows * p.depth;
    const uint8_t* b = context.in<uint8_t>(1) + p.b[matrix] + i % p.columns;
    int64_t sum = 0;
    for (int64_t k = 0; k < p.depth; ++k) sum += (a[k] - a_zero) * (b[k * p.columns] - b_zero);
    const float y = static_cast<float>(sum) * epilogue.scale;
    if (epilogue.codes)
      context.out<uint8_t>(0)[i] = static_cast<uint8_t>(quantized(
          y, 1.0f, epilogue.zero_point, epilogue.code_range.low, epilogue.code_range.high));
    else
      context.out<float>(0)[i] = epilogue.range.clamp(y);
  }
}

struct Parameters {
  Product product;
  Epilogue epilogue;
  int32_t a_zero, b_zero;  // b's as it is multiplied: lowered by 128
  const KernelTable* kernels;
  int64_t blocks;                                 // of columns
  std::shared_ptr<const Tensor> scale;            // of each column
  size_t packed_offset, acc_offset, bias_offset;  // in scratch, after the columns of b
};

// Columns [first, first + count) of b as rows of int8, and the bias that brings a's zero point into
// their sums.
void lower_columns(const Parameters& p, const uint8_t* b, int64_t first, int64_t count,
                   int8_t* columns, int32_t* bias) {
  const int64_t depth = p.product.depth;
  std::fill_n(bias, count, 0);
  for (int64_t k = 0; k < depth; ++k) {
    const uint8_t* row = b + k * p.product.columns + first;
    for (int64_t n = 0; n < count; ++n) columns[n * depth + k] = static_cast<int8_t>(row[n] - 128);
    for (int64_t n = 0; n < count; ++n) bias[n] -= row[n] - 128 - p.b_zero;
  }
  for (int64_t n = 0; n < count; ++n) bias[n] *= p.a_zero;
}

// Sums of a * b to a * (b - b_zero): they fit int32 up to kMaxCentredDepth.
void centre(const Parameters& p, const uint8_t* a, int64_t rows, int64_t columns, int32_t* acc) {
  if (p.b_zero == 0) return;
  for (int64_t r = 0; r < rows; ++r) {
    const int32_t less = p.b_zero * sum_of_codes(a + r * p.product.depth, p.product.depth);
    for (int64_t n = 0; n < columns; ++n) acc[r * columns + n] -= less;
  }
}

void finish(const Parameters& p, const int32_t* acc, const int32_t* bias, int64_t rows,
            int64_t columns, void* y, int64_t at) {
  const float* scale = p.scale->data<float>().data();
  if (p.epilogue.codes)
    p.kernels->requantize_s32u8({.rows = rows,
                                 .columns = columns,
                                 .acc = acc,
                                 .acc_stride = columns,
                                 .bias = bias,
                                 .scale = scale,
                                 .offset = nullptr,
                                 .zero_point = p.epilogue.zero_point,
                                 .low = p.epilogue.code_range.low,
                                 .high = p.epilogue.code_range.high,
                                 .y = static_cast<uint8_t*>(y) + at,
                                 .y_stride = p.product.columns});
  else
    p.kernels->requantize_s32f32({.rows = rows,
                                  .columns = columns,
                                  .acc = acc,
                                  .acc_stride = columns,
                                  .bias = bias,
                                  .scale = scale,
                                  .offset = nullptr,
                                  .low = p.epilogue.range.low,
                                  .high = p.epilogue.range.high,
                                  .y = static_cast<float*>(y) + at,
                                  .y_stride = p.product.columns});
}

// A task is a block of columns of one product.
void run_task(const Parameters& p, const StepArgs& args, int64_t task, std::byte* scratch) {
  const Product& product = p.product;
  const int64_t matrix = task / p.blocks, first = task % p.blocks * kTaskColumns;
  const int64_t count = std::min(kTaskColumns, product.columns - first);
  const auto i = static_cast<size_t>(matrix);
  const uint8_t* a = static_cast<const uint8_t*>(args.inputs[0]) + product.a[i];
  const uint8_t* b = static_cast<const uint8_t*>(args.inputs[1]) + product.b[i];
  auto* columns = reinterpret_cast<int8_t*>(scratch);
  auto* packed = reinterpret_cast<int8_t*>(scratch + p.packed_offset);
  auto* acc = reinterpret_cast<int32_t*>(scratch + p.acc_offset);
  auto* bias = reinterpret_cast<int32_t*>(scratch + p.bias_offset);
  lower_columns(p, b, first, count, columns, bias);
  p.kernels->pack_u8s8(columns, count, product.depth, packed);
  for (int64_t row = 0; row < product.rows; row += kTaskRows) {
    const int64_t rows = std::min(kTaskRows, product.rows - row);
    const uint8_t* from = a + row * product.depth;
    p.kernels->gemm_u8s8s32({.rows = rows,
                             .columns = count,
                             .depth = product.depth,
                             .a = from,
                             .a_stride = product.depth,
                             .b = packed,
                             .c = acc,
                             .c_stride = count});
    centre(p, from, rows, count, acc);
    finish(p, acc, bias, rows, count, args.outputs[0],
           (matrix * product.rows + row) * product.columns + first);
  }
}

void run(const Parameters& p, const StepArgs& args) {
  args.workers->for_each(
      static_cast<int64_t>(p.product.a.size()) * p.blocks, [&](int64_t task, int thread) {
        run_task(p, args, task, args.scratch + static_cast<size_t>(thread) * args.scratch_stride);
      });
}

// Deeper sums could leave int32; the reference has 64 bits.
void plan(PlanContext& context) {
  Product product = matrix_product(context);
  if (context.output(0).shape.elements() == 0 || product.depth == 0 ||
      product.depth > kMaxCentredDepth)
    return;
  const KernelTable& kernels = context.kernels();
  const int64_t columns = std::min(kTaskColumns, product.columns);
  const int64_t rows = std::min(kTaskRows, product.rows);
  const Epilogue epilogue = epilogue_of(context);
  Tensor scale(DType::kFloat32, Shape{kTaskColumns});
  std::fill_n(scale.mutable_data<float>().data(), kTaskColumns, epilogue.scale);
  Parameters p{.product = std::move(product),
               .epilogue = epilogue,
               .a_zero = context.input_quantization(0).zero_point,
               .b_zero = context.input_quantization(1).zero_point - 128,
               .kernels = &kernels,
               .blocks = 0,
               .scale = std::make_shared<const Tensor>(std::move(scale)),
               .packed_offset = 0,
               .acc_offset = 0,
               .bias_offset = 0};
  p.blocks = (p.product.columns + kTaskColumns - 1) / kTaskColumns;
  p.packed_offset = scratch_bytes(columns * p.product.depth);
  p.acc_offset =
      p.packed_offset +
      scratch_bytes(static_cast<int64_t>(kernels.packed_bytes_u8s8(columns, p.product.depth)));
  p.bias_offset =
      p.acc_offset + scratch_bytes(rows * columns * static_cast<int64_t>(sizeof(int32_t)));
  context.scratch(p.bias_offset + scratch_bytes(columns * static_cast<int64_t>(sizeof(int32_t))));
  context.emit(run, std::move(p), "gemm_u8s8s32");
}

int64_t macs(const InferContext& context, const TensorType& output) {
  return output.shape.elements() * matrix_operands(context).product.depth;
}

SANDERLING_OPERATOR(qmat_mul)({.name = "QMatMul",
                               .min_inputs = 2,
                               .max_inputs = 2,
                               .infer = infer,
                               .reference = reference,
                               .plan = plan,
                               .macs = macs});

}  // namespace
}  // namespace sanderling
