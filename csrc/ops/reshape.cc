#include "ops/axes.h"
#include "ops/copy.h"

namespace sanderling {
namespace {

// Shape's own text lacks negative extents.
std::string to_text(const std::vector<int64_t>& dims) {
  std::string text;
  for (int64_t dim : dims) text += cat(text.empty() ? "" : ", ", dim);
  return "[" + text + "]";
}

void infer(InferContext& context) {
  const TensorType& x = context.input(0);
  const std::vector<int64_t> wanted = constant_integers(context, 1);
  const bool allow_zero = context.attributes().integer("allowzero", 0) != 0;
  std::vector<int64_t> dims = wanted;
  std::optional<size_t> inferred;
  for (size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] == 0 && !allow_zero) {
      if (static_cast<int64_t>(i) >= x.shape.rank())
        context.error("shape ", to_text(wanted), " copies extent ", i, " of an input of shape ",
                      x.shape.to_string());
      dims[i] = x.shape[static_cast<int64_t>(i)];
    } else if (dims[i] == -1) {
      if (inferred) context.error("shape ", to_text(wanted), " has more than one -1");
      inferred = i;
      dims[i] = 1;
    } else if (dims[i] < 0) {
      context.error("shape ", to_text(wanted), " has the extent ", dims[i]);
    }
  }
  const int64_t others = checked_shape(context, dims).elements();
  if (inferred) {
    if (others == 0 || x.shape.elements() % others != 0)
      context.error("the -1 of shape ", to_text(wanted), " has no value: ", x.to_string(), " has ",
                    x.shape.elements(), " elements, the other extents make ", others);
    dims[*inferred] = x.shape.elements() / others;
  }
  Shape shape = checked_shape(context, std::move(dims));
  if (shape.elements() != x.shape.elements())
    context.error("cannot bring ", x.to_string(), " of ", x.shape.elements(),
                  " elements into shape ", to_text(wanted), " of ", shape.elements(),
                  ". For a batch chosen at run time, export the model with 0 or -1 there");
  context.set_output(0, x.dtype, std::move(shape));
}

SANDERLING_OPERATOR(reshape)({.name = "Reshape",
                              .since_opset = 7,
                              .min_inputs = 2,
                              .max_inputs = 2,
                              .infer = infer,
                              .reference = copy_input,
                              .view = true});

}  // namespace
}  // namespace sanderling
