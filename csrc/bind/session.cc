#include "exec/session.h"

#include <pybind11/stl.h>

#include <functional>
#include <optional>

#include "bind/bind.h"
#include "bind/gil.h"
#include "bind/input_check.h"
#include "bind/model.h"
#include "bind/plan.h"
#include "drift/watch.h"
#include "kernels/table.h"

namespace py = pybind11;

namespace sanderling {
namespace {

using Arrays = std::vector<py::array>;

const std::string& input_name(const Session& session, size_t i) {
  return session.input_check().specs()[i].name;
}

std::vector<TensorView> output_views(const Session& session, const Arrays& arrays) {
  const auto& outputs = session.model().graph().outputs;
  if (arrays.size() != outputs.size())
    fail(ErrorCode::kInput, "[run_into] got ", arrays.size(), " outputs, the model has ",
         outputs.size());
  std::vector<TensorView> views;
  views.reserve(arrays.size());
  for (size_t i = 0; i < arrays.size(); ++i)
    views.push_back(view_of(arrays[i], {"output", outputs[i].name}, /*writable=*/true));
  return views;
}

void make_plain(Arrays& arrays) {
  for (py::array& array : arrays)
    if (!is_plain(array)) array = py::array::ensure(array, kPlainFlags);
}

using Timeout = std::optional<double>;  // seconds

Arrays run(Session& session, Arrays inputs, Timeout timeout_s) {
  make_plain(inputs);
  const std::vector<TensorView> in = input_views(session.input_check(), inputs);
  const Stop stop = session.until(timeout_s);
  std::shared_ptr<const Program> program;
  {
    const WithoutGil released;
    program = session.program_for(in, stop);
  }
  Arrays outputs;
  std::vector<TensorView> out;
  if (!program->writes_outputs) {
    const WithoutGil released;
    const Session::MakeOutput make_output = [&](size_t, const TensorType& type) -> void* {
      const WithGil gil;
      outputs.emplace_back(numpy_dtype(type.dtype), type.shape.dims());
      return outputs.back().mutable_data();
    };
    session.run(in, make_output, stop);
    return outputs;
  }
  for (const TensorType& type : program->output_types) {
    outputs.emplace_back(numpy_dtype(type.dtype), type.shape.dims());
    out.push_back({type, outputs.back().mutable_data()});
  }
  const WithoutGil released;
  session.run(in, out, stop);
  return outputs;
}

py::dict run_by_name(Session& session, const py::dict& inputs, Timeout timeout_s) {
  const Graph& graph = session.model().graph();
  Arrays arrays;
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    const std::string& name = input_name(session, i);
    if (!inputs.contains(name.c_str()))
      fail(ErrorCode::kInput, "[run] input '", name, "' is missing");
    arrays.push_back(py::array::ensure(inputs[name.c_str()]));
  }
  if (inputs.size() != arrays.size())
    fail(ErrorCode::kInput, "[run] got ", inputs.size(), " inputs, the model has ", arrays.size());
  Arrays results = run(session, std::move(arrays), timeout_s);
  py::dict outputs;
  for (size_t i = 0; i < results.size(); ++i) outputs[graph.outputs[i].name.c_str()] = results[i];
  return outputs;
}

void run_into(Session& session, Arrays inputs, const Arrays& outputs, Timeout timeout_s) {
  make_plain(inputs);
  const std::vector<TensorView> in = input_views(session.input_check(), inputs);
  const std::vector<TensorView> out = output_views(session, outputs);
  const Stop stop = session.until(timeout_s);
  const WithoutGil released;
  session.run(in, out, stop);
}

// Fixed arrays: each call reads the inputs and writes the outputs where they are.
class BoundCall {
 public:
  BoundCall(std::shared_ptr<Session> session, Arrays inputs, Arrays outputs, Timeout timeout_s)
      : timeout_s_(timeout_s),
        session_(std::move(session)),
        inputs_(std::move(inputs)),
        outputs_(std::move(outputs)),
        in_(input_views(session_->input_check(), inputs_)),
        out_(output_views(*session_, outputs_)) {
    const WithoutGil released;
    session_->check(in_, out_);
  }

  void operator()() {
    const WithoutGil released;
    session_->run(in_, out_, session_->until(timeout_s_));
  }

 private:
  const Timeout timeout_s_;
  std::shared_ptr<Session> session_;
  Arrays inputs_, outputs_;  // keep the memory alive
  std::vector<TensorView> in_, out_;
};

// The callable that bind() returns: a plain C function on a capsule. Through a bound class a call
// of one small operator took 1,185 ns, through this one 155 (AVX2, Zen 3, busy machine).
PyObject* call_bound(PyObject* capsule, PyObject* /*no arguments*/) {
  try {
    (*static_cast<BoundCall*>(PyCapsule_GetPointer(capsule, nullptr)))();
    Py_RETURN_NONE;
  } catch (...) {
    const py::object error = python_error(std::current_exception());
    PyErr_SetObject(py::type::of(error).ptr(), error.ptr());
    return nullptr;
  }
}

py::object bind(std::shared_ptr<Session> session, Arrays inputs, Arrays outputs,
                Timeout timeout_s) {
  static PyMethodDef definition{"bound_call", &call_bound, METH_NOARGS,
                                "Runs the model on the arrays that it was bound to."};
  auto call = std::make_unique<BoundCall>(std::move(session), std::move(inputs), std::move(outputs),
                                          timeout_s);
  const py::capsule owner(call.get(), [](void* call) { delete static_cast<BoundCall*>(call); });
  call.release();
  PyObject* const function = PyCFunction_New(&definition, owner.ptr());
  if (function == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(function);
}

std::shared_ptr<Session> make_session(const BoundModel& model,
                                      const std::optional<std::string>& isa, int threads,
                                      std::shared_ptr<Watch> watch) {
  const WithoutGil released;
  const bool reference = isa == "reference";
  const KernelTable& kernels = !isa || reference ? default_table() : table_named(*isa);
  return std::make_shared<Session>(model.compiled(kernels, reference),
                                   SessionOptions{.threads = threads, .watch = std::move(watch)});
}

// Calls a Python function that does not matter to the run: what it raises is printed.
std::function<void()> to_function(const py::object& callable) {
  if (callable.is_none()) return nullptr;
  // Sessions may end, and so let go of it, without the GIL.
  const std::shared_ptr<py::object> held(new py::object(callable), [](py::object* object) {
    const WithGil gil;
    delete object;
  });
  return [held] {
    const WithGil gil;
    try {
      (*held)();
    } catch (py::error_already_set& error) {
      if (error.matches(PyExc_KeyboardInterrupt))
        PyErr_SetInterrupt();  // the signal was the user's, who is told when the run returns
      else
        error.discard_as_unraisable("after_first_run");
    } catch (...) {
      for (;;) pause();  // the interpreter has ended meanwhile (bind/gil.h)
    }
  };
}

std::shared_ptr<Session> make_planned_session(const BoundPlan& plan, int threads,
                                              std::shared_ptr<Watch> watch,
                                              std::optional<size_t> memory_limit_bytes,
                                              const py::object& after_first_run) {
  SessionOptions options{.threads = threads,
                         .watch = std::move(watch),
                         .memory_limit_bytes = memory_limit_bytes,
                         .after_first_run = to_function(after_first_run)};
  const WithoutGil released;
  return std::make_shared<Session>(plan.model, std::move(options));
}

py::list profile(Session& session, Arrays inputs) {
  make_plain(inputs);
  const std::vector<TensorView> in = input_views(session.input_check(), inputs);
  std::vector<StepTime> times;
  {
    const WithoutGil released;
    times = session.profile(in);
  }
  py::list list;
  for (const StepTime& time : times) {
    const Node* const node =
        time.node < 0 ? nullptr : &session.model().graph().nodes[static_cast<size_t>(time.node)];
    list.append(py::make_tuple(node ? node->op : "", node ? node->name : "",
                               std::string(time.kernel), std::string(name_of(time.type.dtype)),
                               time.type.shape.dims(), time.nanoseconds));
  }
  return list;
}

py::dict info(const Session& session) {
  const CompiledModel& model = session.model();
  std::map<std::string, int> operators;
  for (const Node& node : model.graph().nodes) ++operators[node.op];
  py::dict info;
  info["isa"] = model.reference() ? "reference" : model.kernels().isa;
  info["float_products"] = name_of(model.kernels().float_products);
  info["threads"] = session.threads();
  info["arena_bytes"] = session.arena_bytes();
  info["weight_bytes"] = model.weight_bytes();
  info["operators"] = operators;
  return info;
}

}  // namespace

void bind_session(py::module_& m) {
  py::class_<Session, std::shared_ptr<Session>>(m, "Session")
      .def(py::init(&make_session), py::arg("model"), py::arg("isa") = py::none(),
           py::arg("threads") = 1, py::arg("watch") = py::none(),
           "isa: an instruction set of runnable_isas(), 'reference' for the operators' reference "
           "functions, or None for "
           "the default.")
      .def(py::init(&make_planned_session), py::arg("plan"), py::arg("threads") = 1,
           py::arg("watch") = py::none(), py::arg("memory_limit_bytes") = py::none(),
           py::arg("after_first_run") = py::none(),
           "memory_limit_bytes: what runs may take for activations and scratch. after_first_run: "
           "called once, without arguments, after the first run that succeeds.")
      .def(py::init([](const py::bytes& data, const std::optional<std::string>& isa, int threads) {
             return make_session(*import_bytes(data), isa, threads, nullptr);
           }),
           py::arg("data"), py::arg("isa") = py::none(), py::arg("threads") = 1)
      .def_property_readonly("input_names",
                             [](const Session& session) {
                               std::vector<std::string> names;
                               for (size_t i = 0; i < session.model().graph().inputs.size(); ++i)
                                 names.push_back(input_name(session, i));
                               return names;
                             })
      .def_property_readonly("output_names",
                             [](const Session& session) {
                               std::vector<std::string> names;
                               for (const auto& output : session.model().graph().outputs)
                                 names.push_back(output.name);
                               return names;
                             })
      .def(
          "output_types",
          [](Session& session, const Arrays& inputs) {
            py::list list;
            const std::vector<TensorView> in = input_views(session.input_check(), inputs);
            std::shared_ptr<const Program> program;
            {
              const WithoutGil released;  // a run that has its turn may ask for the GIL
              program = session.program_for(in);
            }
            if (program->cut)
              fail(ErrorCode::kUnsupported,
                   "[session] the types of the outputs depend on data. Run the model");
            for (const TensorType& type : program->output_types)
              list.append(py::make_tuple(std::string(name_of(type.dtype)), type.shape.dims()));
            return list;
          },
          py::arg("inputs"))
      .def("run", &run, py::arg("inputs"), py::arg("timeout_s") = py::none(),
           "Arrays in the order of input_names to arrays in the order of output_names.")
      .def("run", &run_by_name, py::arg("inputs"), py::arg("timeout_s") = py::none())
      .def("run_into", &run_into, py::arg("inputs"), py::arg("outputs"),
           py::arg("timeout_s") = py::none())
      .def("bind", &bind, py::arg("inputs"), py::arg("outputs"), py::arg("timeout_s") = py::none())
      .def("cancel", &Session::cancel, "Ends the runs that are going on or wait for their turn.")
      .def("profile", &profile, py::arg("inputs"),
           "Runs once: (operator, node, kernel, dtype, shape, nanoseconds) of each step, in the "
           "order in which they ran; dtype and shape are those of its first output. An empty "
           "operator is a copy to an output.")
      .def("info", &info);
}

}  // namespace sanderling
