#include "batch/batcher.h"

#include <pybind11/stl.h>

#include <optional>

#include "batch/session_runner.h"
#include "bind/bind.h"
#include "bind/gil.h"
#include "bind/input_check.h"

namespace py = pybind11;

namespace sanderling {
namespace {

using Arrays = std::vector<py::array>;

// Up to so many bytes, copying is quicker than giving the GIL away and waiting to get it back.
constexpr size_t kCopyWithGil = size_t{256} << 10;

// A Python object that any thread may let go of, with or without the GIL.
std::shared_ptr<void> hold(py::object object) {
  return {object.release().ptr(), [](void* pointer) {
            if (Py_IsInitialized() == 0) return;  // after the interpreter there is nothing to free
            const WithGil gil;
            Py_DECREF(static_cast<PyObject*>(pointer));
          }};
}

py::object held(const std::shared_ptr<void>& holder) {
  return py::reinterpret_borrow<py::object>(static_cast<PyObject*>(holder.get()));
}

// An array that owns the tensor's bytes.
py::array to_array(Tensor tensor) {
  const TensorType type = tensor.type();
  auto owner = std::make_unique<Tensor>(std::move(tensor));
  void* const data = owner->mutable_raw();
  const py::capsule base(owner.get(), [](void* pointer) { delete static_cast<Tensor*>(pointer); });
  owner.release();
  return {numpy_dtype(type.dtype), type.shape.dims(), data, base};
}

// Runs batches by a Python function from arrays to arrays: a backend other than native.
class PythonRunner final : public BatchRunner {
 public:
  explicit PythonRunner(const py::function& function) : function_(hold(function)) {}

  std::vector<TensorView> run(std::span<const TensorView> inputs) override {
    const WithGil gil;
    try {
      py::list arrays;
      for (const TensorView& input : inputs)
        arrays.append(py::array(numpy_dtype(input.type.dtype), input.type.shape.dims(), input.data,
                                py::none()));  // borrowed, as the function is told
      auto results = held(function_)(arrays).cast<Arrays>();
      std::vector<TensorView> views;
      for (size_t i = 0; i < results.size(); ++i) {
        results[i] = py::array::ensure(results[i], py::array::c_style);
        views.push_back(view_of(results[i], "output"));
      }
      results_ = hold(py::cast(std::move(results)));
      return views;
    } catch (const py::error_already_set& error) {
      rethrow_as_core_error(error);
      throw;
    }
  }

 private:
  std::shared_ptr<void> function_;
  std::shared_ptr<void> results_;
};

Batcher::Deliver deliver_to(const py::function& function) {
  return [function = hold(function)](std::vector<Finished> finished) {
    const WithGil gil;
    try {
      py::list list;
      for (Finished& one : finished) {
        py::object outputs = py::none();
        if (!one.outputs.empty()) {
          py::list arrays;
          for (Tensor& output : one.outputs) arrays.append(to_array(std::move(output)));
          outputs = std::move(arrays);
        }
        const py::object error = one.error ? python_error(one.error) : py::none();
        list.append(py::make_tuple(held(one.ticket), outputs, error));
      }
      held(function)(list);
    } catch (py::error_already_set& error) {
      error.discard_as_unraisable("sanderling.Batcher");
    }
    finished.clear();  // with the GIL
  };
}

// The core's batcher for Python: never waits for its thread with the GIL, which that thread needs.
class BoundBatcher {
 public:
  BoundBatcher(InputCheck check, std::unique_ptr<BatchRunner> runner, const BatchPolicy& policy,
               const py::function& deliver)
      : check_(check),
        batcher_(std::make_unique<Batcher>(std::move(check), std::move(runner), policy,
                                           deliver_to(deliver))) {}
  ~BoundBatcher() {
    const WithoutGil released;
    batcher_.reset();
  }
  BoundBatcher(const BoundBatcher&) = delete;
  BoundBatcher& operator=(const BoundBatcher&) = delete;

  bool submit(const Arrays& arrays, py::object ticket, bool wait) {
    const std::vector<TensorView> views = input_views(check_, arrays);
    std::shared_ptr<void> held_ticket = hold(std::move(ticket));
    size_t bytes = 0;
    for (const TensorView& view : views) bytes += view.type.bytes();
    std::optional<WithoutGil> released;
    if (wait || bytes > kCopyWithGil) released.emplace();
    return batcher_->submit(views, std::move(held_ticket), wait);
  }

  void close(bool drain) {
    const WithoutGil released;
    batcher_->close(drain);
  }

  py::dict stats() const {
    const BatchStats stats = batcher_->stats();
    py::dict closed;
    for (CloseReason reason : kCloseReasons)
      closed[py::str(std::string(name_of(reason)))] = stats.closed[static_cast<size_t>(reason)];
    py::dict dict;
    dict["requests"] = stats.requests;
    dict["rows"] = stats.rows;
    dict["rejected"] = stats.rejected;
    dict["waiting"] = stats.waiting;
    dict["batches"] = stats.batches;
    dict["batched_rows"] = stats.batched_rows;
    dict["closed"] = closed;
    dict["queue_p50_us"] = stats.queue_p50_us;
    dict["queue_p99_us"] = stats.queue_p99_us;
    return dict;
  }

  bool on_own_thread() const { return batcher_->on_own_thread(); }

 private:
  const InputCheck check_;
  std::unique_ptr<Batcher> batcher_;
};

std::unique_ptr<BoundBatcher> over_session(std::shared_ptr<Session> session,
                                           const py::function& deliver, const BatchPolicy& policy) {
  InputCheck check = session->input_check();
  return std::make_unique<BoundBatcher>(
      std::move(check), std::make_unique<SessionRunner>(std::move(session)), policy, deliver);
}

}  // namespace

void bind_batcher(py::module_& m) {
  py::class_<BatchPolicy>(m, "BatchPolicy")
      .def(py::init([](int64_t max_batch_size, int64_t max_queue_delay_us, int64_t max_queue_size) {
             return BatchPolicy{max_batch_size, max_queue_delay_us, max_queue_size};
           }),
           py::arg("max_batch_size"), py::arg("max_queue_delay_us"), py::arg("max_queue_size"));

  py::class_<BoundBatcher>(m, "Batcher")
      .def(py::init(&over_session), py::arg("session"), py::arg("deliver"), py::arg("policy"),
           "deliver: called by the batcher's thread with a list of (ticket, outputs or None, error "
           "or None).")
      .def(py::init([](const std::vector<BoundSpec>& specs, const py::function& run,
                       const py::function& deliver, const BatchPolicy& policy) {
             return std::make_unique<BoundBatcher>(
                 make_input_check(specs), std::make_unique<PythonRunner>(run), policy, deliver);
           }),
           py::arg("specs"), py::arg("run"), py::arg("deliver"), py::arg("policy"),
           "run: from a list of arrays, which it must not keep, to a list of arrays.")
      .def("submit", &BoundBatcher::submit, py::arg("inputs"), py::arg("ticket"), py::arg("wait"),
           "False: the queue is full.")
      .def("stats", &BoundBatcher::stats)
      .def("close", &BoundBatcher::close, py::arg("drain"))
      .def_property_readonly("on_own_thread", &BoundBatcher::on_own_thread);
}

}  // namespace sanderling
