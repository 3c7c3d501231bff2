#include <algorithm>

#include "ops/integer_epilogue.h"
#include "ops/node_checks.h"
#include "ops/packed_codes.h"

namespace sanderling {
namespace {

// Rows that a task multiplies by one block of columns; a multiple of every kernel's rows. Its sums
// take 96 KiB at most.
constexpr int64_t kTaskRows = 96;

struct Extents {
  int64_t rows, columns, depth;
};

Extents extents_of(const InferContext& context) {
  const Shape& x = context.input(0).shape;
  const Shape& weights = context.input(1).shape;
  return {x.elements(0, x.rank() - 1), weights[0], weights[1]};
}

void infer(InferContext& context) {
  check_integer_weights(context);
  const Shape& x = context.input(0).shape;
  const Shape& weights = context.input(1).shape;
  if (weights.rank() != 2 || x.rank() < 1 || x[x.rank() - 1] != weights[1])
    context.error("input 0 has shape ", x.to_string(), ", the weight ", weights.to_string(),
                  "; their last extents must be the same");
  std::vector<int64_t> dims = x.dims();
  dims.back() = weights[0];
  context.set_output(0, integer_output_dtype(context), checked_shape(context, std::move(dims)));
}

void reference(const ReferenceContext& context) {
  const auto [rows, columns, depth] = extents_of(context);
  const IntegerEpilogue epilogue = integer_epilogue(context);
  for (int64_t m = 0; m < rows; ++m) {
    for (int64_t n = 0; n < columns; ++n) {
      int32_t acc = 0;
      for (int64_t k = 0; k < depth; ++k)
        acc += static_cast<int32_t>(context.in<uint8_t>(0)[m * depth + k]) *
               (context.in<int8_t>(1)[n * depth + k] - epilogue.weight_zero_of(n));
      if (epilogue.codes)
        context.out<uint8_t>(0)[m * columns + n] = epilogue.code(acc, n);
      else
        context.out<float>(0)[m * columns + n] = epilogue.real(acc, n);
    }
  }
}

struct Parameters {
  Extents extents;
  const KernelTable* kernels;
  IntegerEpilogue epilogue;
  PackedBlocks<int8_t> weights;
};

void run(const Parameters& p, const StepArgs& args) {
  const auto [rows, columns, depth] = p.extents;
  const auto* x = static_cast<const uint8_t*>(args.inputs[0]);
  const int64_t blocks = p.weights.blocks();
  args.workers->for_each(
      (rows + kTaskRows - 1) / kTaskRows * blocks, [&](int64_t task, int thread) {
        auto* acc = reinterpret_cast<int32_t*>(args.scratch +
                                               static_cast<size_t>(thread) * args.scratch_stride);
        const int64_t begin = task / blocks * kTaskRows, end = std::min(rows, begin + kTaskRows);
        const int64_t first = task % blocks * kBlockColumns,
                      count = std::min(kBlockColumns, columns - first);
        p.kernels->gemm_u8s8s32({.rows = end - begin,
                                 .columns = count,
                                 .depth = depth,
                                 .a = x + begin * depth,
                                 .a_stride = depth,
                                 .b = p.weights.block(0, task % blocks),
                                 .c = acc,
                                 .c_stride = count});
        if (!p.epilogue.weight_zero.empty())
          for (int64_t row = begin; row < end; ++row)
            p.epilogue.centre(acc + (row - begin) * count, count, first,
                              sum_of_codes(x + row * depth, depth));
        p.epilogue.finish(*p.kernels, acc, end - begin, count, first, args.outputs[0],
                          begin * columns + first, columns);
      });
}

void plan(PlanContext& context) {
  const Extents extents = extents_of(context);
  if (context.output(0).shape.elements() == 0 || extents.depth == 0) return;
  const KernelTable& kernels = context.kernels();
  Parameters p{
      .extents = extents,
      .kernels = &kernels,
      .epilogue = shared_integer_epilogue(context),
      .weights = PackedBlocks<int8_t>::of_node(context, "packed", 1, extents.columns, extents.depth,
                                               [&] { return context.constant(1).data<int8_t>(); })};
  const int64_t sums = std::min(extents.rows, kTaskRows) * std::min(extents.columns, kBlockColumns);
  context.scratch(static_cast<size_t>(sums) * sizeof(int32_t));
  context.emit(run, std::move(p), "gemm_u8s8s32");
}

int64_t macs(const InferContext& context, const TensorType& output) {
  return output.shape.elements() * extents_of(context).depth;
}

SANDERLING_OPERATOR(qgemm)({.name = "QGemm",
                            .min_inputs = 2,
                            .max_inputs = 3,
                            .infer = infer,
                            .reference = reference,
                            .plan = plan,
                            .macs = macs});

}  // namespace
}  // namespace sanderling
