#include <pybind11/stl.h>

#include <algorithm>
#include <optional>

#include "bind/bind.h"
#include "bind/gil.h"
#include "core/error.h"
#include "kernels/table.h"
#include "quantize/noise.h"
#include "quantize/range_observer.h"
#include "quantize/range_search.h"
#include "quantize/weights.h"

namespace py = pybind11;

namespace sanderling {
namespace {

std::span<const float> floats_of(const py::array& array, const char* what) {
  const TensorView view = view_of(array, what);
  if (view.type.dtype != DType::kFloat32) {
    fail(ErrorCode::kInput, "[", what, "] the array is ", view.type.to_string(),
         ", float32 is wanted.");
  }
  return {view.as<float>(), static_cast<size_t>(view.type.shape.elements())};
}

template <typename T, typename Range>
py::array_t<T> copy_of(const Range& values) {
  py::array_t<T> array(static_cast<py::ssize_t>(values.size()));
  std::copy(values.begin(), values.end(), array.mutable_data());
  return array;
}

void bind_ranges(py::module_& m) {
  py::class_<Quantization>(m, "Quantization", "real = scale * (code - zero_point), codes 0 to 255.")
      .def(py::init<float, int32_t>(), py::arg("scale"), py::arg("zero_point"))
      .def_readonly("scale", &Quantization::scale)
      .def_readonly("zero_point", &Quantization::zero_point)
      .def_property_readonly(
          "low", [](const Quantization& q) { return -q.zero_point * static_cast<double>(q.scale); })
      .def_property_readonly(
          "high",
          [](const Quantization& q) { return (255 - q.zero_point) * static_cast<double>(q.scale); })
      .def(
          "__eq__", [](const Quantization& a, const Quantization& b) { return a == b; },
          py::is_operator())
      .def("__repr__",
           [](const Quantization& q) {
             return cat("Quantization(", q.scale, ", ", q.zero_point, ")");
           })
      .attr("__hash__") = py::none();

  py::class_<RangeObserver>(m, "RangeObserver")
      .def(py::init<>())
      .def(
          "update",
          [](RangeObserver& observer, const py::array& values) {
            const std::span<const float> span = floats_of(values, "observe");
            const WithoutGil release;
            observer.update(span);
          },
          py::arg("values"), "float32 of any shape.")
      .def("merge", &RangeObserver::merge, py::arg("other"))
      .def("copy", [](const RangeObserver& observer) { return RangeObserver(observer); })
      .def_property_readonly("count", &RangeObserver::count)
      .def_property_readonly("zeros", &RangeObserver::zeros)
      .def_property_readonly("nan", &RangeObserver::nan)
      .def_property_readonly("infinite", &RangeObserver::infinite)
      .def_property_readonly("low", &RangeObserver::low)
      .def_property_readonly("high", &RangeObserver::high)
      .def_property_readonly("width", &RangeObserver::width)
      .def_property_readonly("first_bin", &RangeObserver::first_bin)
      .def_property_readonly(
          "counts",
          [](const RangeObserver& observer) { return copy_of<uint64_t>(observer.counts()); })
      .def_property_readonly(
          "atoms", [](const RangeObserver& observer) { return copy_of<float>(observer.atoms()); });

  py::class_<RangeChoice>(m, "RangeChoice")
      .def_readonly("quantization", &RangeChoice::quantization)
      .def_readonly("error", &RangeChoice::error)
      .def_readonly("minmax_error", &RangeChoice::minmax_error)
      .def_readonly("clipped", &RangeChoice::clipped);

  m.def("covering_codes", &covering_codes, py::arg("low"), py::arg("high"));
  m.def("search_range", &search_range, py::arg("observer"), py::call_guard<WithoutGil>());
  m.def("mean_squared_error", &mean_squared_error, py::arg("observer"), py::arg("quantization"));
  m.def("clipped_share", &clipped_share, py::arg("observer"), py::arg("quantization"));
}

void bind_constants(py::module_& m) {
  m.attr("MAX_DEPTH") = kMaxDepth;
  m.def(
      "minimum_weight_scales",
      [](const std::optional<py::array>& bias, int64_t channels, int64_t depth, float input_scale) {
        const std::span<const float> span =
            bias ? floats_of(*bias, "bias") : std::span<const float>();
        return copy_of<float>(minimum_weight_scales(span, channels, depth, input_scale));
      },
      py::arg("bias"), py::arg("channels"), py::arg("depth"), py::arg("input_scale"));
  m.def(
      "quantize_weights",
      [](const py::array& weights, int64_t axis, const py::array& minimum_scales) {
        const TensorView view = view_of(weights, "weights");
        const Shape& shape = view.type.shape;
        axis = shape.axis(axis, "quantize_weights");
        const WeightLayout layout{shape.elements(0, axis), shape[axis],
                                  shape.elements(axis + 1, shape.rank())};
        const std::span<const float> values = floats_of(weights, "weights");
        const std::span<const float> minimum = floats_of(minimum_scales, "minimum scales");
        QuantizedWeights result;
        {
          const WithoutGil release;
          result = quantize_weights(values, layout, minimum);
        }
        return py::make_tuple(copy_of<int8_t>(result.codes).reshape(shape.dims()),
                              copy_of<float>(result.scales), result.signal, result.noise);
      },
      py::arg("weights"), py::arg("axis"), py::arg("minimum_scales"),
      "float32 weights to (int8 codes of that shape, float32[channels] scales, sum of w^2, sum of "
      "squared errors).");
  m.def(
      "quantize_bias",
      [](const py::array& bias, float input_scale, const py::array& weight_scales) {
        return copy_of<int32_t>(quantize_bias(floats_of(bias, "bias"), input_scale,
                                              floats_of(weight_scales, "weight scales")));
      },
      py::arg("bias"), py::arg("input_scale"), py::arg("weight_scales"));
  m.def(
      "quantize_values",
      [](const py::array& values, const Quantization& quantization) {
        const std::span<const float> span = floats_of(values, "values");
        py::array_t<uint8_t> codes(
            std::vector<py::ssize_t>(values.shape(), values.shape() + values.ndim()));
        default_table().quantize_f32u8(span.data(), codes.mutable_data(),
                                       static_cast<int64_t>(span.size()), quantization.scale,
                                       quantization.zero_point);
        return codes;
      },
      py::arg("values"), py::arg("quantization"),
      "ONNX QuantizeLinear: float32 to uint8 codes of that shape.");
}

void bind_noise(py::module_& m) {
  py::class_<Noise>(m, "Noise")
      .def(py::init<>())
      .def(
          "add",
          [](Noise& noise, const py::array& expected, const py::array& actual) {
            noise.add(floats_of(expected, "expected"), floats_of(actual, "actual"));
          },
          py::arg("expected"), py::arg("actual"))
      .def_readonly("signal", &Noise::signal)
      .def_readonly("noise", &Noise::noise)
      .def_readonly("count", &Noise::count)
      .def_readonly("skipped", &Noise::skipped)
      .def_property_readonly("decibels", &Noise::decibels);
}

}  // namespace

void bind_quantize(py::module_& m) {
  bind_ranges(m);
  bind_constants(m);
  bind_noise(m);
}

}  // namespace sanderling
