// What the steps of Conv share: with constant weights, and with weights that are computed in the
// run.
#pragma once

#include "kernels/table.h"
#include "ops/activation_range.h"
#include "ops/convolution.h"

namespace sanderling {

struct ConvStep {
  ConvGeometry geometry;
  ActivationRange range;
  const KernelTable* kernels;
  bool has_bias;

  const float* bias(const StepArgs& args, int64_t channel) const {
    return has_bias ? static_cast<const float*>(args.inputs[2]) + channel : nullptr;
  }
  // The first of the rows [taps, C/group] of one group for the pixels [begin, end) of the output,
  // and the elements between two: in x itself where each pixel reads its own, else gathered.
  struct Rows {
    const float* first;
    int64_t stride;
  };
  Rows input_rows(const float* x, int64_t begin, int64_t end, int64_t group,
                  float* gathered) const {
    const ConvGeometry& g = geometry;
    if (g.pointwise()) return {x + begin * g.channels() + group * g.group_inputs(), g.channels()};
    for (int64_t pixel = begin; pixel < end; ++pixel)
      gather_row(g, x, pixel, group, 0.0f, gathered + (pixel - begin) * g.depth());
    return {gathered, g.depth()};
  }
};

// Packs the weights in each run. `step` is for input 0 channels-last.
void plan_computed_weights(PlanContext& context, const ConvStep& step);

}  // namespace sanderling
