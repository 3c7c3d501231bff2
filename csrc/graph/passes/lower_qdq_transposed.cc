// Transposed convolutions of codes.
//
// With stride s, output pixel q * s + r of each axis sums taps r, r + s, r + 2s, ... over the input
// pixels q, q - 1, q - 2, ...: an ordinary convolution per phase r. One QConv computes all phases
// as channels (m, r) of [N, M * phases, ...]; DepthToSpace puts them side by side, and a Slice cuts
// off what the pads do.
#include <algorithm>
#include <limits>

#include "graph/passes/coded_graph.h"
#include "graph/passes/qdq.h"

namespace sanderling {
namespace {

// One spatial axis.
struct PhasedAxis {
  int64_t kernel;
  int64_t taps;                // of each phase
  int64_t pad_begin, pad_end;  // of the ordinary convolution
  int64_t cut_begin, cut_end;  // of what comes out of it, less than a stride
};

// `begin` and `end` are the pads of ConvTranspose, `more` its output_padding.
PhasedAxis phased_axis(int64_t kernel, int64_t stride, int64_t begin, int64_t end, int64_t more) {
  const int64_t reached = std::max(kernel, kernel + more - end);
  PhasedAxis axis{.kernel = kernel,
                  .taps = (reached + stride - 1) / stride,
                  .pad_begin = 0,
                  .pad_end = 0,
                  .cut_begin = begin,
                  .cut_end = 0};
  axis.cut_end = axis.taps * stride - kernel - more + end;
  // Whole strides that are cut off are not computed in the first place.
  const int64_t skip_begin = std::min(axis.cut_begin / stride, axis.taps - 1);
  const int64_t skip_end = std::min(axis.cut_end / stride, axis.taps - 1);
  axis.pad_begin = axis.taps - 1 - skip_begin;
  axis.pad_end = axis.taps - 1 - skip_end;
  axis.cut_begin -= skip_begin * stride;
  axis.cut_end -= skip_end * stride;
  return axis;
}

// How many times the products may be more for being an ordinary convolution: 3 by 3 of stride 2 is
// 1.8 times. Beyond it float is faster.
constexpr int64_t kMostMore = 4;

struct Phases {
  int64_t stride;
  std::vector<PhasedAxis> axes;

  // How many output pixels an input pixel stands for.
  int64_t count() const {
    int64_t phases = 1;
    for (size_t a = 0; a < axes.size(); ++a) phases *= stride;
    return phases;
  }
  bool costs_too_much() const {
    int64_t before = 1, after = count();
    for (const PhasedAxis& axis : axes) {
      before *= axis.kernel;
      after *= axis.taps;
    }
    return after > kMostMore * before;
  }
};

// Beyond it nobody's model goes; it keeps the arithmetic from overflowing.
constexpr int64_t kMostPixels = 1 << 16;

// Nothing where an attribute is not in a form that has static phases.
std::optional<Phases> phases_of(const Node& node, const Shape& weights) {
  const auto spatial = static_cast<size_t>(weights.rank() - 2);
  const auto read = [&](const char* name, size_t count, int64_t otherwise) {
    auto values = node.attributes.integers(name, std::vector<int64_t>(count, otherwise));
    const bool fine = values.size() == count && std::ranges::all_of(values, [](int64_t value) {
                        return value >= 0 && value <= kMostPixels;
                      });
    return fine ? values : std::vector<int64_t>{};
  };
  const auto strides = read("strides", spatial, 1), dilations = read("dilations", spatial, 1);
  const auto pads = read("pads", 2 * spatial, 0), more = read("output_padding", spatial, 0);
  if (strides.empty() || dilations.empty() || pads.empty() || more.empty()) return std::nullopt;
  const std::string auto_pad = node.attributes.text("auto_pad", "NOTSET");
  if (node.attributes.has("output_shape") || (auto_pad != "NOTSET" && auto_pad != "VALID"))
    return std::nullopt;
  Phases phases{.stride = strides[0], .axes = {}};
  for (size_t a = 0; a < spatial; ++a) {
    const int64_t kernel = weights[static_cast<int64_t>(a) + 2];
    const bool valid = auto_pad == "VALID";
    const int64_t begin = valid ? 0 : pads[a], end = valid ? 0 : pads[spatial + a];
    // Pads that cut off all of it are the operator's to refuse.
    if (begin + end > kernel + more[a]) return std::nullopt;
    if (strides[a] != phases.stride || strides[a] < 1 || dilations[a] != 1 || kernel < 1 ||
        kernel > kMostPixels)
      return std::nullopt;
    phases.axes.push_back(phased_axis(kernel, strides[a], begin, end, more[a]));
  }
  return phases;
}

// Which tap of the kernel is `tap` of a phase's convolution; nothing beyond the kernel.
std::optional<int64_t> kernel_tap(const Phases& phases, int64_t phase, int64_t tap) {
  int64_t at = 0, inner = 1;
  for (size_t a = phases.axes.size(); a-- > 0;) {
    const PhasedAxis& axis = phases.axes[a];
    const int64_t k = phase % phases.stride + (axis.taps - 1 - tap % axis.taps) * phases.stride;
    if (k >= axis.kernel) return std::nullopt;
    at += k * inner;
    inner *= axis.kernel;
    tap /= axis.taps;
    phase /= phases.stride;
  }
  return at;
}

// Weights [C, M / group, kernel...] as those of the ordinary convolution,
// [M * phases, C / group, taps...]; taps beyond the kernel are 0.
ConstantCodes phased_weights(const ConstantCodes& from, int64_t groups, const Phases& phases) {
  const Shape& shape = from.codes.shape();
  const int64_t group_inputs = shape[0] / groups, group_outputs = shape[1];
  const int64_t count = phases.count(), kernel = shape.elements(2, shape.rank());
  std::vector<int64_t> dims{groups * group_outputs * count, group_inputs};
  for (const PhasedAxis& axis : phases.axes) dims.push_back(axis.taps);
  ConstantCodes made{.codes = Tensor(from.codes.dtype(), Shape(dims)), .scale = {}, .zero = {}};
  const int64_t taps = made.codes.shape().elements(2, shape.rank());
  const auto* in = static_cast<const uint8_t*>(from.codes.raw());
  auto* out = static_cast<uint8_t*>(made.codes.mutable_raw());
  for (int64_t o = 0; o < dims[0]; ++o) {
    const int64_t m = o / count, first = m / group_outputs * group_inputs;
    const auto channel = static_cast<size_t>(from.scale.size() == 1 ? 0 : m % group_outputs);
    made.scale.push_back(from.scale[channel]);
    made.zero.push_back(from.zero[channel]);
    for (int64_t c = first; c < first + group_inputs; ++c) {
      const uint8_t* filter = in + (c * group_outputs + m % group_outputs) * kernel;
      for (int64_t tap = 0; tap < taps; ++tap) {
        const std::optional<int64_t> at = kernel_tap(phases, o % count, tap);
        *out++ = at ? filter[*at] : static_cast<uint8_t>(made.zero.back());
      }
    }
  }
  return made;
}

// Each element `count` times.
Tensor repeated(const Tensor& tensor, int64_t count) {
  Tensor result(tensor.dtype(), Shape{tensor.shape().elements() * count});
  const auto* from = static_cast<const uint32_t*>(tensor.raw());  // int32 or float32
  auto* to = static_cast<uint32_t*>(result.mutable_raw());
  for (int64_t i = 0; i < result.shape().elements(); ++i) to[i] = from[i / count];
  return result;
}

class Emitter {
 public:
  Emitter(CodedGraph& g, const Node& node, ValueId output) : g_(g), node_(node), output_(output) {}

  // What stands before the output, with its quantization if it has one.
  ValueId value(const char* what, int rank) {
    const ValueId id = g_.graph().add_value(node_.name + "/" + what);
    g_.graph().value(id).quantization = g_.graph().value(output_).quantization;
    g_.graph().value(id).rank = rank;
    return id;
  }
  Node& add(const char* op, ValueId x, ValueId y) {
    Node& added = g_.add_node(op, node_, {x}, y);
    added.opset = 13;
    return added;
  }
  ValueId integers(const char* what, const std::vector<int64_t>& values) {
    return g_.graph().add_constant(
        node_.name + "/" + what,
        Tensor::of<int64_t>(Shape{static_cast<int64_t>(values.size())}, values));
  }

 private:
  CodedGraph& g_;
  const Node& node_;
  ValueId output_;
};

// The phases in channels of `x` side by side.
ValueId side_by_side(Emitter& emit, const Phases& phases, int64_t channels, ValueId x) {
  if (phases.stride == 1) return x;
  if (phases.axes.size() == 2) {
    const ValueId y = emit.value("pixels", 4);
    Node& added = emit.add("DepthToSpace", x, y);
    added.attributes.set("blocksize", phases.stride);
    added.attributes.set("mode", std::string("CRD"));
    return y;
  }
  const ValueId split = emit.value("split", 4), turned = emit.value("turned", 4);
  const ValueId y = emit.value("pixels", 3);
  const ValueId parts = emit.integers("parts", {0, channels, phases.stride, -1});
  const ValueId line = emit.integers("line", {0, channels, -1});
  emit.add("Reshape", x, split).inputs.push_back(parts);
  emit.add("Transpose", split, turned).attributes.set("perm", std::vector<int64_t>{0, 1, 3, 2});
  emit.add("Reshape", turned, y).inputs.push_back(line);
  return y;
}

void cut(Emitter& emit, const Phases& phases, ValueId x, ValueId output) {
  std::vector<int64_t> begin, end, axes;
  for (size_t a = 0; a < phases.axes.size(); ++a) {
    const PhasedAxis& axis = phases.axes[a];
    begin.push_back(axis.cut_begin);
    end.push_back(axis.cut_end == 0 ? std::numeric_limits<int64_t>::max() : -axis.cut_end);
    axes.push_back(static_cast<int64_t>(a) + 2);
  }
  const ValueId from = emit.integers("begin", begin), to = emit.integers("end", end);
  const ValueId along = emit.integers("axes", axes);
  Node& added = emit.add("Slice", x, output);
  added.inputs.insert(added.inputs.end(), {from, to, along});
}

bool cuts(const Phases& phases) {
  return std::ranges::any_of(
      phases.axes, [](const PhasedAxis& axis) { return axis.cut_begin != 0 || axis.cut_end != 0; });
}

}  // namespace

bool lower_transposed_convolution(CodedGraph& g, const Node& node, ValueId output,
                                  ActivationRange range) {
  const ValueId x = g.codes_of(node.inputs[0]);
  if (x == kNoValue || g.graph().constant(x)) return false;
  const auto codes = constant_codes(g.graph(), g.uses(), node.inputs[1]);
  if (!codes || (codes->scale.size() != 1 && codes->axis != 1)) return false;
  const Shape& shape = codes->codes.shape();
  const int64_t groups = node.attributes.integer("group", 1);
  const int rank = static_cast<int>(shape.rank());
  if ((rank != 3 && rank != 4) || g.graph().value(x).rank != rank || shape.elements() == 0 ||
      groups < 1 || shape[0] % groups != 0)
    return false;
  const std::optional<Phases> phases = phases_of(node, shape);
  if (!phases || phases->costs_too_much()) return false;
  const int64_t channels = groups * shape[1];
  auto weights = integer_form(phased_weights(*codes, groups, *phases), 0);
  if (!weights || is_too_deep(*weights)) return false;
  std::vector<float> scales;
  for (int64_t m = 0; m < channels; ++m)
    scales.push_back(weights->scale[static_cast<size_t>(m * phases->count())]);
  auto bias = integer_bias(g.graph(), g.uses(), node.inputs.size() > 2 ? node.inputs[2] : kNoValue,
                           {.channels = channels,
                            .x_scale = g.graph().value(x).quantization->scale,
                            .weight_scale = scales});
  if (!bias) return false;
  if (bias->tensor) bias->tensor = repeated(*bias->tensor, phases->count());

  Emitter emit(g, node, output);
  const ValueId product = emit.value("phases", rank);
  Node& conv =
      add_weighted(g, "QConv", node, x, std::move(*weights), std::move(*bias), product, range);
  std::vector<int64_t> pads;
  for (const PhasedAxis& axis : phases->axes) pads.push_back(axis.pad_begin);
  for (const PhasedAxis& axis : phases->axes) pads.push_back(axis.pad_end);
  conv.attributes.set("pads", std::move(pads));
  conv.attributes.set("group", groups);
  const ValueId pixels = side_by_side(emit, *phases, channels, product);
  if (cuts(*phases))
    cut(emit, *phases, pixels, output);
  else
    emit.add("Identity", pixels, output);
  return true;
}

}  // namespace sanderling
