#include <cmath>

#include "ops/node_checks.h"

namespace sanderling {
namespace {

constexpr size_t kIds = 0, kSegments = 1, kWords = 2, kPlaces = 3, kSegmentRows = 4, kGamma = 5,
                 kBeta = 6, kMask = 7, kPlaceIds = 8;
constexpr size_t kY = 0, kLengths = 1, kSum = 2;

void require_rows(const InferContext& context, size_t input, const char* name, int64_t size) {
  const Shape& shape = context.input(input).shape;
  require_dtype(context, input, {DType::kFloat32});
  if (shape.rank() != 2 || shape[1] != size)
    context.error(name, " has shape ", shape.to_string(), ", expected [rows, ", size, "]");
}

void require_ids(const InferContext& context, size_t input, const char* name,
                 const Shape& expected) {
  if (!context.has_input(input)) return;
  require_dtype(context, input, {DType::kInt32});
  if (context.input(input).shape != expected)
    context.error(name, " has shape ", context.input(input).shape.to_string(), ", expected ",
                  expected.to_string());
}

void infer(InferContext& context) {
  const Shape& ids = context.input(kIds).shape;
  const Shape& words = context.input(kWords).shape;
  if (ids.rank() != 2 || words.rank() != 2)
    context.error("input_ids has shape ", ids.to_string(), " and word_embedding ",
                  words.to_string(), ", expected rank 2 of both");
  const int64_t size = words[1];
  require_ids(context, kIds, "input_ids", ids);
  require_ids(context, kSegments, "segment_ids", ids);
  require_ids(context, kMask, "mask", ids);
  if (context.has_input(kPlaceIds))
    require_ids(context, kPlaceIds, "position_ids",
                context.input(kPlaceIds).shape == Shape{1, ids[1]} ? Shape{1, ids[1]} : ids);
  require_rows(context, kWords, "word_embedding", size);
  require_rows(context, kPlaces, "position_embedding", size);
  if (context.has_input(kSegments) != context.has_input(kSegmentRows))
    context.error("segment_ids and segment_embedding must be given together");
  if (context.has_input(kSegmentRows))
    require_rows(context, kSegmentRows, "segment_embedding", size);
  for (size_t input : {kGamma, kBeta}) {
    require_dtype(context, input, {DType::kFloat32});
    if (context.input(input).shape != Shape{size})
      context.error(input == kGamma ? "gamma" : "beta", " has shape ",
                    context.input(input).shape.to_string(), ", expected [", size, "]");
  }
  context.set_output(kY, DType::kFloat32, checked_shape(context, {ids[0], ids[1], size}));
  context.set_output(kLengths, DType::kInt32, Shape{ids[0]});
  context.set_output(kSum, DType::kFloat32, checked_shape(context, {ids[0], ids[1], size}));
}

// Row `id` of a table of embeddings.
const float* row_of(const ReferenceContext& context, size_t table, const char* name, int64_t id) {
  const Shape& shape = context.input(table).shape;
  if (id < 0 || id >= shape[0])
    context.error(name, " is ", id, ", outside [0, ", shape[0], "), the rows of its embedding");
  return context.in<float>(table) + id * shape[1];
}

void normalise(const ReferenceContext& context, const std::vector<double>& x, float* y) {
  const auto epsilon = static_cast<double>(context.attributes().number("epsilon", 1e-12f));
  const auto count = static_cast<double>(x.size());
  double mean = 0.0, square = 0.0;
  for (double each : x) mean += each / count;
  for (double each : x) square += (each - mean) * (each - mean) / count;
  const double inverse = 1.0 / std::sqrt(square + epsilon);
  for (size_t i = 0; i < x.size(); ++i)
    y[i] = static_cast<float>((x[i] - mean) * inverse *
                                  static_cast<double>(context.in<float>(kGamma)[i]) +
                              static_cast<double>(context.in<float>(kBeta)[i]));
}

void reference(const ReferenceContext& context) {
  const Shape& ids = context.input(kIds).shape;
  const int64_t size = context.input(kWords).shape[1];
  const bool places_repeat = context.has_input(kPlaceIds) && context.input(kPlaceIds).shape[0] == 1;
  std::vector<double> x(static_cast<size_t>(size));
  for (int64_t i = 0; i < ids.elements(); ++i) {
    const int64_t column = i % ids[1];
    int64_t place = column;
    if (context.has_input(kPlaceIds))
      place = context.in<int32_t>(kPlaceIds)[places_repeat ? column : i];
    const float* const word = row_of(context, kWords, "an input id", context.in<int32_t>(kIds)[i]);
    const float* const at = row_of(context, kPlaces, "a position", place);
    const float* const segment =
        context.has_input(kSegments)
            ? row_of(context, kSegmentRows, "a segment id", context.in<int32_t>(kSegments)[i])
            : nullptr;
    for (size_t d = 0; d < x.size(); ++d) {
      x[d] = static_cast<double>(word[d]) + static_cast<double>(at[d]);
      if (segment) x[d] += static_cast<double>(segment[d]);
      if (context.has_output(kSum))
        context.out<float>(kSum)[i * size + static_cast<int64_t>(d)] = static_cast<float>(x[d]);
    }
    if (context.has_output(kY)) normalise(context, x, context.out<float>(kY) + i * size);
  }
  for (int64_t b = 0; context.has_output(kLengths) && b < ids[0]; ++b) {
    int32_t length = 0;  // as ONNX Runtime where there is no mask
    for (int64_t i = 0; context.has_input(kMask) && i < ids[1]; ++i)
      length += context.in<int32_t>(kMask)[b * ids[1] + i] == 1 ? 1 : 0;
    context.out<int32_t>(kLengths)[b] = length;
  }
}

SANDERLING_OPERATOR(embed_layer_normalization)(
    {.name = "com.microsoft.EmbedLayerNormalization",
     .since_opset = 1,
     .min_inputs = 1,  // optional ones come between those that are not
     .max_inputs = 9,
     .max_outputs = 3,
     .infer = infer,
     .reference = reference});

}  // namespace
}  // namespace sanderling
