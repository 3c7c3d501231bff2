#include "ops/product.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <type_traits>

#include "kernels/table.h"
#include "ops/convert.h"
#include "ops/node_checks.h"
#include "ops/packed_blocks.h"

namespace sanderling {
namespace {

// Rows that a task multiplies by one block of columns: the block's weights are read from cache for
// each of the kernels' tiles.
constexpr int64_t kTaskRows = 96;  // a multiple of every kernel's rows
// Columns that a task packs by itself when b is computed at run time: a multiple of every kernel's
// panel.
constexpr int64_t kRunTimeColumns = 64;

// alpha * sum + beta * c, clamped.
template <typename T>
T finished(const Product& p, double sum, const T* c) {
  sum *= static_cast<double>(p.alpha);
  if (c) sum += static_cast<double>(p.beta) * static_cast<double>(*c);
  return p.range.clamp(static_cast<T>(sum));
}

// The same for integers: exact, but for factors that are not 1; those round towards zero.
template <typename T>
T finished(const Product& p, uint64_t sum, const T* c) {
  const auto scaled = [](T x, float factor) {
    if (factor == 1.0f) return x;
    return convert_element<T>(static_cast<double>(x) * static_cast<double>(factor), true);
  };
  T result = scaled(static_cast<T>(sum), p.alpha);
  if (c) result = wrapping(result, scaled(*c, p.beta), std::plus<>());
  if (static_cast<double>(result) < static_cast<double>(p.range.low))
    return convert_element<T>(static_cast<double>(p.range.low), true);
  if (static_cast<double>(result) > static_cast<double>(p.range.high))
    return convert_element<T>(static_cast<double>(p.range.high), true);
  return result;
}

template <typename T>
void multiply(const ReferenceContext& context, const Product& p) {
  using Sum = std::conditional_t<std::is_integral_v<T>, uint64_t, double>;
  T* y = context.out<T>(0);
  for (size_t i = 0; i < p.a.size(); ++i) {
    const T* a = context.in<T>(0) + p.a[i];
    const T* b = context.in<T>(1) + p.b[i];
    for (int64_t m = 0; m < p.rows; ++m) {
      for (int64_t n = 0; n < p.columns; ++n) {
        Sum sum{};
        for (int64_t k = 0; k < p.depth; ++k)
          sum += static_cast<Sum>(p.a_transposed ? a[k * p.rows + m] : a[m * p.depth + k]) *
                 static_cast<Sum>(p.b_transposed ? b[n * p.depth + k] : b[k * p.columns + n]);
        *y++ = finished<T>(
            p, sum,
            p.has_c ? context.in<T>(2) + m * p.c_row_stride + n * p.c_column_stride : nullptr);
      }
    }
  }
}

struct Parameters {
  Product product;
  const KernelTable* kernels;
  std::optional<PackedBlocks<float>> packed{};   // nothing: b is computed at run time
  std::shared_ptr<const Tensor> bias = nullptr;  // beta * c for every column, where it is known
  bool bias_is_input = false;                    // c is the bias as it is
  bool add_c = false;                            // c is added after the product
  int64_t block_columns = 0, blocks = 0;
  int64_t task_rows = 0, row_tasks = 0;
  size_t column_offset = 0, pack_offset = 0;  // in scratch, after the rows of a transposed a
};

// alpha * [columns begin, end) of b, one after the other.
void copy_columns(const Product& p, const float* b, int64_t begin, int64_t end, float* to) {
  for (int64_t n = begin; n < end; ++n)
    for (int64_t k = 0; k < p.depth; ++k)
      *to++ = p.alpha * (p.b_transposed ? b[n * p.depth + k] : b[k * p.columns + n]);
}

void add_c(const Product& p, const float* c, float* y, int64_t row_begin, int64_t row_end,
           int64_t column_begin, int64_t column_end) {
  for (int64_t m = row_begin; m < row_end; ++m)
    for (int64_t n = column_begin; n < column_end; ++n) {
      float& value = y[m * p.columns + n];
      value = p.range.clamp(value + p.beta * c[m * p.c_row_stride + n * p.c_column_stride]);
    }
}

const float* bias_of(const Parameters& s, const StepArgs& args) {
  if (s.bias) return s.bias->data<float>().data();
  return s.bias_is_input ? static_cast<const float*>(args.inputs[2]) : nullptr;
}

// One task: some rows of one product by one block of columns.
void multiply_block(const Parameters& s, const StepArgs& args, int64_t product, int64_t block,
                    int64_t begin, int64_t end, std::byte* scratch) {
  const Product& p = s.product;
  const auto i = static_cast<size_t>(product);
  const float* a = static_cast<const float*>(args.inputs[0]) + p.a[i];
  const float* b = static_cast<const float*>(args.inputs[1]) + p.b[i];
  float* y = static_cast<float*>(args.outputs[0]) + product * p.rows * p.columns;
  const int64_t first = block * s.block_columns,
                last = std::min(p.columns, first + s.block_columns);
  const float* packed = nullptr;
  if (s.packed) {
    packed = s.packed->block(p.b[i] / (p.columns * p.depth), block);
  } else {
    auto* columns = reinterpret_cast<float*>(scratch + s.column_offset);
    auto* made = reinterpret_cast<float*>(scratch + s.pack_offset);
    copy_columns(p, b, first, last, columns);
    s.kernels->pack_f32(columns, last - first, p.depth, made);
    packed = made;
  }
  const float* bias = bias_of(s, args);
  const ActivationRange range = s.add_c ? ActivationRange{} : p.range;
  auto* gathered = reinterpret_cast<float*>(scratch);
  for (int64_t row = begin; row < end; row += kTaskRows) {
    const int64_t rows = std::min(kTaskRows, end - row);
    if (p.a_transposed)
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t k = 0; k < p.depth; ++k) gathered[r * p.depth + k] = a[k * p.rows + row + r];
    s.kernels->gemm_f32({.rows = rows,
                         .columns = last - first,
                         .depth = p.depth,
                         .a = p.a_transposed ? gathered : a + row * p.depth,
                         .a_stride = p.depth,
                         .b = packed,
                         .bias = bias ? bias + first : nullptr,
                         .low = range.low,
                         .high = range.high,
                         .c = y + row * p.columns + first,
                         .c_stride = p.columns});
  }
  if (s.add_c) add_c(p, static_cast<const float*>(args.inputs[2]), y, begin, end, first, last);
}

void run(const Parameters& s, const StepArgs& args) {
  const int64_t tasks = static_cast<int64_t>(s.product.a.size()) * s.row_tasks * s.blocks;
  args.workers->for_each(tasks, [&](int64_t task, int thread) {
    std::byte* scratch = args.scratch + static_cast<size_t>(thread) * args.scratch_stride;
    const int64_t rows = task / s.blocks;
    const int64_t begin = rows % s.row_tasks * s.task_rows;
    multiply_block(s, args, rows / s.row_tasks, task % s.blocks, begin,
                   std::min(s.product.rows, begin + s.task_rows), scratch);
  });
}

// Every product of one b, with a's matrices in a row, is one product of more rows.
Product merged(Product p) {
  const auto count = static_cast<int64_t>(p.a.size());
  if (count <= 1 || p.a_transposed || p.has_c) return p;
  for (int64_t i = 0; i < count; ++i)
    if (p.b[static_cast<size_t>(i)] != p.b[0] ||
        p.a[static_cast<size_t>(i)] != i * p.rows * p.depth)
      return p;
  p.rows *= count;
  p.a.resize(1);
  p.b.resize(1);
  return p;
}

void plan_c(PlanContext& context, Parameters& s) {
  const Product& p = s.product;
  if (!p.has_c) return;
  if (p.c_row_stride == 0 && context.is_constant(2)) {
    const TensorType type{DType::kFloat32, Shape{p.columns}};
    s.bias = context.shared_tensor("bias", type, [&] {
      Tensor bias(type);
      for (int64_t n = 0; n < p.columns; ++n)
        bias.mutable_data<float>()[static_cast<size_t>(n)] =
            p.beta * context.constant(2).data<float>()[static_cast<size_t>(n * p.c_column_stride)];
      return bias;
    });
  } else if (p.c_row_stride == 0 && (p.c_column_stride == 1 || p.columns == 1) && p.beta == 1.0f) {
    s.bias_is_input = true;
  } else {
    s.add_c = true;
  }
}

}  // namespace

void require_product_dtype(const InferContext& context) {
  require_dtype(context, 0,
                {DType::kFloat32, DType::kFloat64, DType::kInt32, DType::kInt64, DType::kUInt32,
                 DType::kUInt64});
}

void reference_product(const ReferenceContext& context, const Product& product) {
  visit_number(context.input(0).dtype,
               [&](auto zero) { multiply<decltype(zero)>(context, product); });
}

void plan_product(PlanContext& context, const Product& product) {
  if (context.input(0).dtype != DType::kFloat32 || context.output(0).shape.elements() == 0 ||
      product.depth == 0)
    return;
  const KernelTable& kernels = context.kernels();
  Parameters s{.product = merged(product), .kernels = &kernels};
  const Product& p = s.product;
  plan_c(context, s);
  size_t scratch = 0;
  const auto reserve = [&](size_t bytes) {
    const size_t offset = scratch;
    scratch += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    return offset;
  };
  if (p.a_transposed)
    reserve(static_cast<size_t>(std::min(kTaskRows, p.rows) * p.depth) * sizeof(float));
  if (context.is_constant(1)) {
    const KnownTensor b = context.constant(1);
    const int64_t matrices = b.shape().elements() / (p.columns * p.depth);
    const auto columns_of_b = [&] {
      std::vector<float> columns(b.data<float>().size());
      for (int64_t i = 0; i < matrices; ++i) {
        const int64_t at = i * p.columns * p.depth;
        copy_columns(p, b.data<float>().data() + at, 0, p.columns, columns.data() + at);
      }
      return columns;
    };
    s.packed =
        PackedBlocks<float>::of_node(context, "packed", matrices, p.columns, p.depth, columns_of_b);
    s.block_columns = kBlockColumns;
    s.task_rows = kTaskRows;
  } else {
    const int64_t columns = std::min(kRunTimeColumns, p.columns);
    s.column_offset = reserve(static_cast<size_t>(columns * p.depth) * sizeof(float));
    s.pack_offset = reserve(kernels.packed_bytes_f32(columns, p.depth));
    s.block_columns = kRunTimeColumns;
    s.task_rows = p.rows;
  }
  s.blocks = (p.columns + s.block_columns - 1) / s.block_columns;
  s.row_tasks = (p.rows + s.task_rows - 1) / s.task_rows;
  context.scratch(scratch);
  context.emit(run, std::move(s), "gemm_f32");
}

}  // namespace sanderling
