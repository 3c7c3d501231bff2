#include <pybind11/stl.h>
#include <pybind11/typing.h>

#include <algorithm>
#include <optional>

#include "bind/bind.h"
#include "bind/gil.h"
#include "core/error.h"
#include "drift/watch.h"

namespace py = pybind11;

namespace sanderling {
namespace {

std::span<const uint8_t> span_of(const py::bytes& bytes) {
  const std::string_view view = bytes;
  return {reinterpret_cast<const uint8_t*>(view.data()), view.size()};
}

template <typename T>
std::span<const T> values_of(const py::array& array, const char* what) {
  const TensorView view = view_of(array, what);
  if (view.type.dtype != dtype_of<T>()) {
    fail(ErrorCode::kInput, "[", what, "] the array is ", view.type.to_string(), ", ",
         name_of(dtype_of<T>()), " is wanted.");
  }
  return {static_cast<const T*>(view.data), static_cast<size_t>(view.type.shape.elements())};
}

template <typename T, typename Range>
py::array_t<T> copy_of(const Range& values) {
  py::array_t<T> array(static_cast<py::ssize_t>(values.size()));
  std::copy(values.begin(), values.end(), array.mutable_data());
  return array;
}

ReferenceId id_of(const py::bytes& bytes) {
  const std::span<const uint8_t> span = span_of(bytes);
  ReferenceId id;
  if (span.size() != id.size()) {
    fail(ErrorCode::kInput, "[reference id] ", span.size(), " bytes, ", id.size(), " are wanted.");
  }
  std::copy(span.begin(), span.end(), id.begin());
  return id;
}

py::bytes bytes_of(const ReferenceId& id) {
  return {reinterpret_cast<const char*>(id.data()), static_cast<py::ssize_t>(id.size())};
}

// What all sketches that travel have in common.
template <typename Sketch>
void bind_sketch(py::class_<Sketch, std::shared_ptr<Sketch>>& c) {
  c.def("merge", &Sketch::merge, py::arg("other"), py::call_guard<WithoutGil>());
  c.def("serialize", [](const Sketch& sketch) { return py::bytes(sketch.serialize()); });
  c.def_static(
      "deserialize", [](const py::bytes& bytes) { return Sketch::deserialize(span_of(bytes)); },
      py::arg("bytes"));
  c.def("copy", [](const Sketch& sketch) { return Sketch(sketch); });
  c.def("__eq__", [](const Sketch& sketch, const py::object& other) {
    return py::isinstance<Sketch>(other) && sketch == other.cast<const Sketch&>();
  });  // pybind11 takes the hash away with it
}

template <typename Sketch>
void bind_counts(py::class_<Sketch, std::shared_ptr<Sketch>>& c) {
  c.def_property_readonly("counts",
                          [](const Sketch& sketch) { return copy_of<uint64_t>(sketch.counts()); });
  c.def_property_readonly("total", &Sketch::total);
}

// One value after another, or an array of them.
template <typename Sketch, typename T>
void update_each(Sketch& sketch, const py::array& values) {
  const std::span<const T> span = values_of<T>(values, "update");
  const WithoutGil release;
  for (const T value : span) sketch.update(value);
}

template <typename Sketch, typename T>
void update_all(Sketch& sketch, const py::array& values) {
  const std::span<const T> span = values_of<T>(values, "update");
  const WithoutGil release;
  sketch.update(span);
}

template <typename T>
using Class = py::class_<T, std::shared_ptr<T>>;

void bind_histograms(py::module_& m) {
  Class<CodeHistogram> codes(m, "CodeHistogram");
  codes.def(py::init<>());
  codes.def("update", &update_all<CodeHistogram, uint8_t>, py::arg("codes"));
  codes.def("saturation_share", &CodeHistogram::saturation_share, py::arg("is_signed") = false);
  bind_sketch(codes);
  bind_counts(codes);

  Class<ClassHistogram> classes(m, "ClassHistogram");
  classes.def(py::init<size_t>(), py::arg("classes"));
  classes.def("update", &update_each<ClassHistogram, int64_t>, py::arg("class_indices"));
  classes.def_property_readonly("missing", &ClassHistogram::missing);
  bind_sketch(classes);
  bind_counts(classes);

  Class<ConfidenceHistogram> confidence(m, "ConfidenceHistogram");
  confidence.def(py::init<>());
  confidence.def("update", &update_each<ConfidenceHistogram, float>, py::arg("confidences"));
  confidence.def_property_readonly("missing", &ConfidenceHistogram::missing);
  bind_sketch(confidence);
  bind_counts(confidence);

  Class<ValueHistogram> values(m, "ValueHistogram");
  values.def(py::init([](const py::bytes& id, float low, float high) {
               return ValueHistogram(id_of(id), low, high);
             }),
             py::arg("id"), py::arg("low"), py::arg("high"));
  values.def("update", &update_all<ValueHistogram, float>, py::arg("values"));
  values.def_property_readonly("id",
                               [](const ValueHistogram& sketch) { return bytes_of(sketch.id()); });
  values.def_property_readonly("low", &ValueHistogram::low);
  values.def_property_readonly("high", &ValueHistogram::high);
  values.def_property_readonly("missing", &ValueHistogram::missing);
  bind_sketch(values);
  bind_counts(values);

  m.def(
      "decide_rows",
      [](const py::array& scores) {
        const TensorView view = view_of(scores, "scores");
        if (view.type.dtype != DType::kFloat32 || view.type.shape.rank() != 2) {
          fail(ErrorCode::kInput, "[decide_rows] scores are ", view.type.to_string(),
               ", float32[rows, classes] is wanted.");
        }
        const auto rows = static_cast<size_t>(view.type.shape[0]);
        const auto width = static_cast<size_t>(view.type.shape[1]);
        py::array_t<int64_t> indices(static_cast<py::ssize_t>(rows));
        py::array_t<float> confidences(static_cast<py::ssize_t>(rows));
        for (size_t row = 0; row < rows; ++row) {
          const RowDecision decision = decide({view.as<float>() + row * width, width});
          indices.mutable_data()[row] = decision.class_index;
          confidences.mutable_data()[row] = decision.confidence;
        }
        return py::make_tuple(indices, confidences);
      },
      py::arg("scores"),
      "float32[rows, classes] to (int64[rows] class or -1, float32[rows] confidence or NaN).");
}

// [features, FrozenBins::kMaxBins], zeros past a feature's own bins.
py::array_t<uint64_t> bin_counts(const FrozenBins& sketch) {
  const auto features = static_cast<py::ssize_t>(sketch.features());
  py::array_t<uint64_t> array({features, static_cast<py::ssize_t>(FrozenBins::kMaxBins)});
  std::fill_n(array.mutable_data(), array.size(), uint64_t{0});
  for (size_t feature = 0; feature < sketch.features(); ++feature) {
    const auto counts = sketch.counts(feature);
    std::copy(counts.begin(), counts.end(), array.mutable_data() + feature * FrozenBins::kMaxBins);
  }
  return array;
}

template <typename T, typename Get>
py::array_t<T> per_feature(const FrozenBins& sketch, Get get) {
  py::array_t<T> array(static_cast<py::ssize_t>(sketch.features()));
  for (size_t i = 0; i < sketch.features(); ++i) array.mutable_data()[i] = static_cast<T>(get(i));
  return array;
}

void bind_bins(py::module_& m) {
  Class<FrozenEdges>(m, "FrozenEdges")
      .def(py::init([](const py::bytes& id, std::vector<std::vector<float>> edges) {
             return FrozenEdges(id_of(id), std::move(edges));
           }),
           py::arg("id"), py::arg("edges"))
      .def_property_readonly("id", [](const FrozenEdges& edges) { return bytes_of(edges.id()); })
      .def_property_readonly("features", &FrozenEdges::features);

  Class<FrozenBins> bins(m, "FrozenBins");
  bins.def(
      py::init([](std::shared_ptr<FrozenEdges> edges) { return FrozenBins(std::move(edges)); }),
      py::arg("edges"));
  bins.def("update", &update_all<FrozenBins, float>, py::arg("rows"));
  bins.def_property_readonly("id", [](const FrozenBins& sketch) { return bytes_of(sketch.id()); });
  bins.def_property_readonly("rows", &FrozenBins::rows);
  bins.def_property_readonly("counts", &bin_counts);
  bins.def_property_readonly("missing", [](const FrozenBins& sketch) {
    return per_feature<uint64_t>(sketch, [&](size_t i) { return sketch.missing(i); });
  });
  bins.def_property_readonly("bins", [](const FrozenBins& sketch) {
    return per_feature<uint8_t>(sketch, [&](size_t i) { return sketch.bins(i); });
  });
  bind_sketch(bins);

  Class<Projections>(m, "Projections")
      .def(py::init<size_t, uint64_t>(), py::arg("elements"), py::arg("seed"))
      .def_property_readonly("elements", &Projections::elements)
      .def(
          "project",
          [](const Projections& projections, const py::array& rows) {
            const std::span<const float> values = values_of<float>(rows, "project");
            const size_t elements = projections.elements();
            if (values.size() % elements != 0) {
              fail(ErrorCode::kInput, "[project] ", values.size(), " values are no rows of ",
                   elements, " elements.");
            }
            py::array_t<float> result({static_cast<py::ssize_t>(values.size() / elements),
                                       static_cast<py::ssize_t>(Projections::kCount)});
            float* out = result.mutable_data();
            const WithoutGil release;
            for (size_t begin = 0; begin < values.size(); begin += elements) {
              const auto sums = projections.project(values.subspan(begin, elements));
              out = std::copy(sums.begin(), sums.end(), out);
            }
            return result;
          },
          py::arg("rows"), "float32[rows, elements] to float32[rows, 16].");
}

std::shared_ptr<RowLimits> make_limits(const py::array& low, const py::array& high,
                                       uint32_t pinned_low, uint32_t pinned_high) {
  const auto low_values = values_of<float>(low, "low");
  const auto high_values = values_of<float>(high, "high");
  return std::make_shared<RowLimits>(RowLimits{{low_values.begin(), low_values.end()},
                                               {high_values.begin(), high_values.end()},
                                               pinned_low,
                                               pinned_high});
}

void bind_faults(py::module_& m) {
  Class<RowLimits>(m, "RowLimits")
      .def(py::init(&make_limits), py::arg("low"), py::arg("high"), py::arg("pinned_low") = 0,
           py::arg("pinned_high") = 0);

  Class<RowFaults>(m, "RowFaults")
      .def(py::init([](std::shared_ptr<RowLimits> limits) { return RowFaults(std::move(limits)); }),
           py::arg("limits"))
      .def("update", &update_all<RowFaults, float>, py::arg("rows"))
      .def("merge", &RowFaults::merge, py::arg("other"))
      .def("copy", [](const RowFaults& faults) { return RowFaults(faults); })
      .def_property_readonly("features", &RowFaults::features)
      .def_property_readonly("rows", &RowFaults::rows)
      .def_property_readonly("pairs", &RowFaults::pairs)
      .def_property_readonly("identical_pairs", &RowFaults::identical_pairs)
      .def_property_readonly("rows_pinned_low", &RowFaults::rows_pinned_low)
      .def_property_readonly("rows_pinned_high", &RowFaults::rows_pinned_high)
      .def_property_readonly("least",
                             [](const RowFaults& faults) { return copy_of<float>(faults.least()); })
      .def_property_readonly(
          "largest", [](const RowFaults& faults) { return copy_of<float>(faults.largest()); })
      .def_property_readonly(
          "at_low", [](const RowFaults& faults) { return copy_of<uint32_t>(faults.at_low()); })
      .def_property_readonly(
          "at_high", [](const RowFaults& faults) { return copy_of<uint32_t>(faults.at_high()); })
      .def_property_readonly(
          "missing", [](const RowFaults& faults) { return copy_of<uint32_t>(faults.missing()); });
}

std::shared_ptr<InputWatch> make_input_watch(
    int64_t features, std::shared_ptr<RowLimits> limits, std::shared_ptr<FrozenEdges> edges,
    std::optional<std::shared_ptr<Projections>> projections, float histogram_low,
    float histogram_high) {
  return std::make_shared<InputWatch>(InputWatch{features, std::move(limits), std::move(edges),
                                                 projections.value_or(nullptr), histogram_low,
                                                 histogram_high});
}

std::shared_ptr<WatchSpec> make_spec(const std::vector<std::shared_ptr<InputWatch>>& inputs,
                                     const std::vector<std::optional<int64_t>>& outputs,
                                     int64_t keep_rows) {
  auto spec = std::make_shared<WatchSpec>();
  for (const auto& input : inputs)
    spec->inputs.push_back(input ? std::optional(*input) : std::nullopt);
  for (const auto& classes : outputs) {
    spec->outputs.push_back(classes ? std::optional(OutputWatch{*classes}) : std::nullopt);
  }
  spec->keep_rows = keep_rows;
  return spec;
}

using InputParts = py::typing::Tuple<FrozenBins, RowFaults, py::typing::Optional<ValueHistogram>,
                                     py::array_t<float>>;
using OutputParts = py::typing::Tuple<ClassHistogram, ConfidenceHistogram, py::array_t<int64_t>,
                                      py::array_t<float>>;

py::typing::List<py::typing::Optional<InputParts>> window_inputs(const WatchWindow& window) {
  py::list list;
  for (const auto& input : window.inputs) {
    if (!input) {
      list.append(py::none());
      continue;
    }
    const auto width = static_cast<py::ssize_t>(input->bins.features());
    const auto rows = static_cast<py::ssize_t>(input->kept.size()) / width;
    list.append(py::make_tuple(input->bins, input->faults, input->values,
                               copy_of<float>(input->kept).reshape({rows, width})));
  }
  return list;
}

py::typing::List<py::typing::Optional<OutputParts>> window_outputs(const WatchWindow& window) {
  py::list list;
  for (const auto& output : window.outputs) {
    if (!output) {
      list.append(py::none());
      continue;
    }
    list.append(py::make_tuple(output->classes, output->confidence,
                               copy_of<int64_t>(output->kept_classes),
                               copy_of<float>(output->kept_confidences)));
  }
  return list;
}

template <void (Watch::*kObserve)(size_t, const TensorView&)>
void observe(Watch& watch, size_t index, const py::array& rows) {
  const TensorView view = view_of(rows, "rows");
  const WithoutGil release;
  (watch.*kObserve)(index, view);
}

void bind_watch(py::module_& m) {
  Class<InputWatch>(m, "InputWatch")
      .def(py::init(&make_input_watch), py::arg("features"), py::arg("limits"), py::arg("edges"),
           py::arg("projections") = py::none(), py::arg("histogram_low") = 0.0f,
           py::arg("histogram_high") = 1.0f);
  Class<WatchSpec>(m, "WatchSpec")
      .def(py::init(&make_spec), py::arg("inputs"), py::arg("outputs"), py::arg("keep_rows") = 0,
           "inputs: an InputWatch or None per input; outputs: a number of classes or None per "
           "output.");
  Class<WatchWindow>(m, "WatchWindow")
      .def_readonly("rows", &WatchWindow::rows)
      .def_property_readonly(
          "inputs", &window_inputs,
          "Per input (FrozenBins, RowFaults, ValueHistogram | None, kept float32[rows, "
          "features]) or None.")
      .def_property_readonly("outputs", &window_outputs,
                             "Per output (ClassHistogram, ConfidenceHistogram, kept classes, kept "
                             "confidences) or None.")
      .def_readonly("codes", &WatchWindow::codes);
  Class<Watch>(m, "Watch")
      .def(py::init([](const WatchSpec& spec) { return std::make_shared<Watch>(spec); }),
           py::arg("spec"))
      .def("observe_input", &observe<&Watch::observe_input>, py::arg("index"), py::arg("rows"))
      .def("observe_output", &observe<&Watch::observe_output>, py::arg("index"), py::arg("rows"))
      .def("take", &Watch::take, py::call_guard<WithoutGil>())
      .def("look", &Watch::look, py::call_guard<WithoutGil>())
      .def("restart", &Watch::restart, py::arg("spec"), py::call_guard<WithoutGil>());
}

}  // namespace

void bind_drift(py::module_& m) {
  bind_histograms(m);
  bind_bins(m);
  bind_faults(m);
  bind_watch(m);
}

}  // namespace sanderling
