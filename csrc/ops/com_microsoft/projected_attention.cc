#include "ops/com_microsoft/projected_attention.h"

#include "ops/com_microsoft/attention_masks.h"
#include "ops/real_numbers.h"

namespace sanderling {
namespace {

using Inputs = ProjectedAttention;

// Columns of the product: queries, keys, values of all heads.
struct Widths {
  int64_t q, v;
  int64_t all() const { return 2 * q + v; }
};

Widths widths_of(const InferContext& context, int64_t heads) {
  const Shape& weights = context.input(Inputs::kWeights).shape;
  const std::vector<int64_t> given = context.attributes().integers("qkv_hidden_sizes", {});
  if (given.empty()) {
    if (weights[1] % (3 * heads) != 0)
      context.error("weights has shape ", weights.to_string(), ", num_heads is ", heads,
                    "; its columns must be a multiple of three times that");
    return {weights[1] / 3, weights[1] / 3};
  }
  const bool fits = given.size() == 3 && given[0] == given[1] && given[0] > 0 && given[2] > 0 &&
                    given[0] % heads == 0 && given[2] % heads == 0 && given[0] <= weights[1] &&
                    given[2] <= weights[1] && 2 * given[0] + given[2] == weights[1];
  if (!fits)
    context.error("qkv_hidden_sizes must be three multiples of num_heads ", heads,
                  ", the first two the same, with the sum ", weights[1],
                  ", the columns of weights");
  return {given[0], given[2]};
}

}  // namespace

AttentionShape projected_shape(const InferContext& context, const Inputs& inputs) {
  const Shape& x = context.input(Inputs::kX).shape;
  const Shape& weights = context.input(Inputs::kWeights).shape;
  if (x.rank() != 3 || weights.rank() != 2 || weights[0] != x[2])
    context.error("x has shape ", x.to_string(), " and weights ", weights.to_string(),
                  ", expected [batch, rows, size] and [size, columns]");
  const int64_t heads = heads_of_microsoft(context);
  const Widths widths = widths_of(context, heads);
  AttentionShape s{.batch = x[0],
                   .heads = heads,
                   .kv_heads = heads,
                   .queries = x[1],
                   .past = 0,
                   .keys = x[1],
                   .size = widths.q / heads,
                   .v_size = widths.v / heads,
                   .filter = filter_of_microsoft(context)};
  if (context.has_input(inputs.past)) {
    const Shape& past = context.input(inputs.past).shape;
    s.past = past.rank() == 5 ? past[3] : 0;
    if (s.size != s.v_size || past != checked_shape(context, {2, s.batch, heads, s.past, s.size}))
      context.error("past has shape ", past.to_string(), ", expected [2, ", s.batch, ", ", heads,
                    ", past, ", s.size, "] and keys and values of one size");
  }
  const int64_t row = widths.all();
  s.q = {.offset = 0, .batch = x[1] * row, .head = s.size, .row = row};
  s.k = {.offset = widths.q, .batch = x[1] * row, .head = s.size, .row = row};
  s.v = {.offset = 2 * widths.q, .batch = x[1] * row, .head = s.v_size, .row = row};
  s.y = rows_first(heads, s.queries, s.v_size);
  s.past_k = s.past_v = heads_first(heads, s.past, s.size);
  s.past_v.offset = s.batch * heads * s.past * s.size;
  s.present_k = s.present_v = heads_first(heads, s.total(), s.size);
  s.present_v.offset = s.batch * heads * s.total() * s.size;
  // One query sees all, however many keys there are.
  s.causal = context.attributes().integer("unidirectional", 0) != 0 && s.queries > 1;
  s.scale = scale_of_microsoft(context, s.size);
  add_microsoft_masks(context, s, inputs.mask, inputs.attention_bias);
  return s;
}

void infer_projected(InferContext& context, const Inputs& inputs) {
  for (size_t i : {inputs.bias, inputs.past, inputs.attention_bias})
    if (context.has_input(i)) require_dtype(context, i, {DType::kFloat32});
  for (const char* name : {"do_rotary", "past_present_share_buffer"})
    if (context.attributes().integer(name, 0) != 0)
      context.unsupported(name, " is not 0, which the native engine lacks");
  const AttentionShape s = projected_shape(context, inputs);
  const int64_t columns = context.input(Inputs::kWeights).shape[1];
  if (context.has_input(inputs.bias) && context.input(inputs.bias).shape != Shape{columns})
    context.error("bias has shape ", context.input(inputs.bias).shape.to_string(), ", expected [",
                  columns, "], the columns of weights");
  context.set_output(Inputs::kY, DType::kFloat32,
                     checked_shape(context, {s.batch, s.queries, s.heads * s.v_size}));
  if (context.has_output(Inputs::kPresent) && s.size != s.v_size)
    context.error("present is wanted, and keys have ", s.size, " numbers, values ", s.v_size);
  context.set_output(Inputs::kPresent, DType::kFloat32,
                     checked_shape(context, {2, s.batch, s.heads, s.total(), s.size}));
}

void reference_projected(const ReferenceContext& context, const Inputs& inputs,
                         const std::vector<double>& product) {
  const AttentionShape s = projected_shape(context, inputs);
  const auto source = [&](const HeadRows& rows) {
    return [&product, rows](int64_t b, int64_t h, int64_t i, int64_t d) {
      return product[static_cast<size_t>(rows.at(b, h, i) + d)];
    };
  };
  const auto past = [&](const HeadRows& rows) {
    return [rows, x = RealNumbers(context, inputs.past)](
               int64_t b, int64_t h, int64_t i, int64_t d) { return x[rows.at(b, h, i) + d]; };
  };
  reference_attention(context, s,
                      {.q = source(s.q),
                       .k = source(s.k),
                       .v = source(s.v),
                       .past_k = past(s.past_k),
                       .past_v = past(s.past_v),
                       .y = Inputs::kY,
                       .present_k = Inputs::kPresent,
                       .present_v = Inputs::kPresent,
                       .scores = Inputs::kLacks});
}

int64_t macs_of_projected(const InferContext& context, const Inputs& inputs) {
  const AttentionShape s = projected_shape(context, inputs);
  return context.input(Inputs::kX).shape.elements() * context.input(Inputs::kWeights).shape[1] +
         s.batch * s.heads * s.queries * s.total() * (s.size + s.v_size);
}

}  // namespace sanderling
