// Weights stay packed in memory; a task unpacks the columns that it multiplies.
#include <array>

#include "kernels/table.h"
#include "ops/activation_range.h"
#include "ops/node_checks.h"
#include "ops/packed_codes.h"

namespace sanderling {
namespace {

constexpr size_t kScales = 2, kZeros = 3, kGroups = 4, kBias = 5;

// The attributes, checked, and what follows from them.
struct Format {
  int64_t columns, depth, block, bits;
  bool packed_zeros;  // uint8 codes, packed as the weights; else float32

  int64_t blocks() const { return (depth - 1) / block + 1; }        // per column
  int64_t blob() const { return block * bits / 8; }                 // bytes of a block
  int64_t zero_bytes() const { return (blocks() * bits + 7) / 8; }  // per column
};

Format format_of(const InferContext& context) {
  const Attributes& attributes = context.attributes();
  Format f{
      .columns = attributes.integer("N", 0),
      .depth = attributes.integer("K", 0),
      .block = attributes.integer("block_size", 0),
      .bits = attributes.integer("bits", 4),
      .packed_zeros = context.has_input(kZeros) && context.input(kZeros).dtype == DType::kUInt8};
  constexpr int64_t kMost = int64_t{1} << 30;  // keeps products from overflowing
  if (f.columns < 1 || f.columns > kMost || f.depth < 1 || f.depth > kMost)
    context.error("N is ", f.columns, " and K ", f.depth, ", expected 1 to ", kMost);
  if (f.bits != 2 && f.bits != 4 && f.bits != 8)
    context.unsupported("bits is ", f.bits, "; the native engine unpacks 2, 4 and 8");
  if (f.block < 16 || f.block > kMost || (f.block & (f.block - 1)) != 0)
    context.error("block_size is ", f.block, ", expected a power of two of 16 or more");
  return f;
}

void require_elements(const InferContext& context, size_t input, int64_t count, const char* what) {
  if (context.input(input).shape.elements() != count)
    context.error(what, " (input ", input, ") has shape ", context.input(input).shape.to_string(),
                  ", expected ", count, " elements");
}

bool left_out(const InferContext& context) { return context.input(1).shape.elements() == 0; }

void infer(InferContext& context) {
  require_dtype(context, 0, {DType::kFloat32});
  require_dtype(context, 1, {DType::kUInt8});
  require_dtype(context, kScales, {DType::kFloat32});
  if (context.attributes().integer("weight_prepacked", 0) != 0)
    context.unsupported("weights are packed for one machine. Export them with weight_prepacked 0");
  const Format f = format_of(context);
  const Shape& a = context.input(0).shape;
  if (a.rank() < 1 || a[a.rank() - 1] != f.depth)
    context.error("a has shape ", a.to_string(), ", expected ", f.depth, " (K) columns");
  if (!left_out(context)) {
    require_elements(context, 1, f.columns * f.blocks() * f.blob(), "the weight");
    require_elements(context, kScales, f.columns * f.blocks(), "the scale");
    if (context.has_input(kZeros)) {
      require_dtype(context, kZeros, {DType::kUInt8, DType::kFloat32});
      require_elements(context, kZeros, f.columns * (f.packed_zeros ? f.zero_bytes() : f.blocks()),
                       "the zero point");
    }
    if (context.has_input(kGroups)) {
      require_dtype(context, kGroups, {DType::kInt32});
      if (const int64_t count = context.input(kGroups).shape.elements();
          count < f.depth || count > f.blocks() * f.block)
        context.error("g_idx has ", count, " elements, expected ", f.depth, " (K)");
    }
  }
  if (context.has_input(kBias)) {
    require_dtype(context, kBias, {DType::kFloat32});
    require_elements(context, kBias, f.columns, "the bias");
  }
  std::vector<int64_t> dims = a.dims();
  dims.back() = f.columns;
  context.set_output(0, DType::kFloat32, checked_shape(context, std::move(dims)));
}

// The number at position `i` of values of `bits` bits, from the low bits of each byte up.
int32_t unpack(const uint8_t* bytes, int64_t i, int64_t bits) {
  const int64_t per_byte = 8 / bits;
  return bytes[i / per_byte] >> (i % per_byte * bits) & ((1 << bits) - 1);
}

struct Weights {
  Format f;
  const uint8_t* codes;
  const float* scales;
  const void* zeros;  // nullptr: the middle of the range

  float zero_point(int64_t column, int64_t block) const {
    if (!zeros) return static_cast<float>(1 << (f.bits - 1));
    if (!f.packed_zeros) return static_cast<const float*>(zeros)[column * f.blocks() + block];
    const auto* packed = static_cast<const uint8_t*>(zeros) + column * f.zero_bytes();
    return static_cast<float>(unpack(packed, block, f.bits));
  }
  // float(code - zero_point) * scale in float32; `group` is the block whose parameters are used.
  float at(int64_t column, int64_t k, int64_t group) const {
    const uint8_t* blob = codes + (column * f.blocks() + k / f.block) * f.blob();
    const auto code = static_cast<float>(unpack(blob, k % f.block, f.bits));
    return (code - zero_point(column, group)) * scales[column * f.blocks() + group];
  }
  // All of one column.
  void unpack_column(int64_t column, float* to) const {
    for (int64_t b = 0; b < f.blocks(); ++b) {
      const uint8_t* blob = codes + (column * f.blocks() + b) * f.blob();
      const float zero = zero_point(column, b), scale = scales[column * f.blocks() + b];
      const int64_t count = std::min(f.block, f.depth - b * f.block);
      float* block = to + b * f.block;
      int64_t k = 0;
      if (f.bits == 4)  // most models; two at a time
        for (; k + 2 <= count; k += 2) {
          block[k] = (static_cast<float>(blob[k / 2] & 15) - zero) * scale;
          block[k + 1] = (static_cast<float>(blob[k / 2] >> 4) - zero) * scale;
        }
      for (; k < count; ++k)
        block[k] = (static_cast<float>(unpack(blob, k, f.bits)) - zero) * scale;
    }
  }
};

void reference(const ReferenceContext& context) {
  const Format f = format_of(context);
  const bool empty = left_out(context);
  const Weights weights{f, empty ? nullptr : context.in<uint8_t>(1), context.in<float>(kScales),
                        context.has_input(kZeros) ? context.raw_input(kZeros) : nullptr};
  const int32_t* groups =
      context.has_input(kGroups) && !empty ? context.in<int32_t>(kGroups) : nullptr;
  if (groups)
    for (int64_t k = 0; k < f.depth; ++k)
      if (groups[k] < 0 || groups[k] >= f.blocks())
        context.error("g_idx holds ", groups[k], ", expected 0 to ", f.blocks() - 1);
  const float* bias = context.has_input(kBias) ? context.in<float>(kBias) : nullptr;
  for (int64_t i = 0; i < context.output(0).shape.elements(); ++i) {
    const float* row = context.in<float>(0) + i / f.columns * f.depth;
    const int64_t column = i % f.columns;
    double sum = bias ? static_cast<double>(bias[column]) : 0.0;
    for (int64_t k = 0; !empty && k < f.depth; ++k)
      sum += static_cast<double>(row[k]) *
             static_cast<double>(weights.at(column, k, groups ? groups[k] : k / f.block));
    context.out<float>(0)[i] = static_cast<float>(sum);
  }
}

struct Parameters {
  Format format;
  int64_t rows;
  bool has_zeros, has_bias;
  const KernelTable* kernels;
  size_t pack_offset;  // in scratch, after the unpacked columns
};

// Columns of a task: a multiple of every kernel's panel, few enough that they stay in cache.
constexpr int64_t kTaskColumns = 32;

// In lanes of their own, which compilers make vectors of.
float dot(const float* a, const float* b, int64_t count) {
  constexpr int64_t kLanes = 16;
  std::array<float, kLanes> sums{};
  int64_t k = 0;
  for (; k + kLanes <= count; k += kLanes)
    for (int64_t lane = 0; lane < kLanes; ++lane)
      sums[static_cast<size_t>(lane)] += a[k + lane] * b[k + lane];
  float sum = 0.0f;
  for (float lane : sums) sum += lane;
  for (; k < count; ++k) sum += a[k] * b[k];
  return sum;
}

// Up to here rows are multiplied as columns are unpacked: packing for the kernel would cost more.
constexpr int64_t kFewRows = 4;

void run_few_rows(const Parameters& p, const StepArgs& args, const Weights& weights, int64_t first,
                  int64_t last, float* column) {
  const int64_t depth = p.format.depth;
  const auto* a = static_cast<const float*>(args.inputs[0]);
  const auto* bias = p.has_bias ? static_cast<const float*>(args.inputs[kBias]) : nullptr;
  for (int64_t n = first; n < last; ++n) {
    weights.unpack_column(n, column);
    for (int64_t m = 0; m < p.rows; ++m)
      static_cast<float*>(args.outputs[0])[m * p.format.columns + n] =
          dot(a + m * depth, column, depth) + (bias ? bias[n] : 0.0f);
  }
}

void run(const Parameters& p, const StepArgs& args) {
  const Weights weights{p.format, static_cast<const uint8_t*>(args.inputs[1]),
                        static_cast<const float*>(args.inputs[kScales]),
                        p.has_zeros ? args.inputs[kZeros] : nullptr};
  const int64_t depth = p.format.depth, columns = p.format.columns;
  args.workers->for_each(
      (columns + kTaskColumns - 1) / kTaskColumns, [&](int64_t task, int thread) {
        std::byte* scratch = args.scratch + static_cast<size_t>(thread) * args.scratch_stride;
        auto* unpacked = reinterpret_cast<float*>(scratch);
        auto* packed = reinterpret_cast<float*>(scratch + p.pack_offset);
        const int64_t first = task * kTaskColumns, last = std::min(columns, first + kTaskColumns);
        if (p.rows <= kFewRows) return run_few_rows(p, args, weights, first, last, unpacked);
        for (int64_t n = first; n < last; ++n)
          weights.unpack_column(n, unpacked + (n - first) * depth);
        p.kernels->pack_f32(unpacked, last - first, depth, packed);
        const ActivationRange all;
        p.kernels->gemm_f32(
            {.rows = p.rows,
             .columns = last - first,
             .depth = depth,
             .a = static_cast<const float*>(args.inputs[0]),
             .a_stride = depth,
             .b = packed,
             .bias = p.has_bias ? static_cast<const float*>(args.inputs[kBias]) + first : nullptr,
             .low = all.low,
             .high = all.high,
             .c = static_cast<float*>(args.outputs[0]) + first,
             .c_stride = columns});
      });
}

// Indices of groups are data, which only the reference checks.
void plan(PlanContext& context) {
  if (context.has_input(kGroups) || left_out(context)) return;
  const Format f = format_of(context);
  const int64_t columns = std::min(f.columns, kTaskColumns);
  Parameters p{
      .format = f,
      .rows = context.input(0).shape.elements() / f.depth,
      .has_zeros = context.has_input(kZeros),
      .has_bias = context.has_input(kBias),
      .kernels = &context.kernels(),
      .pack_offset = scratch_bytes(columns * f.depth * static_cast<int64_t>(sizeof(float)))};
  context.scratch(p.pack_offset + context.kernels().packed_bytes_f32(columns, f.depth));
  context.emit(run, p);
}

int64_t macs(const InferContext& context, const TensorType& output) {
  return output.shape.elements() * format_of(context).depth;
}

SANDERLING_OPERATOR(mat_mul_nbits)({.name = "com.microsoft.MatMulNBits",
                                    .since_opset = 1,
                                    .min_inputs = 3,
                                    .max_inputs = 6,
                                    .infer = infer,
                                    .reference = reference,
                                    .plan = plan,
                                    .macs = macs});

}  // namespace
}  // namespace sanderling
