#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "exec/session.h"
#include "graph/passes/passes.h"
#include "kernels/table.h"
#include "onnx/import.h"
#include "sanderling/sanderling.h"

struct sanderling_model {
  std::shared_ptr<const sanderling::Graph> graph;
};

struct sanderling_session {
  sanderling_session(std::shared_ptr<const sanderling::CompiledModel> compiled, int threads)
      : session(std::move(compiled), {.threads = threads, .watch = nullptr}) {}

  sanderling::Session session;
};

namespace sanderling {
namespace {

static_assert(Shape::kMaxRank == SANDERLING_MAX_RANK);

sanderling_status status_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kModel:
      return SANDERLING_MODEL_ERROR;
    case ErrorCode::kInput:
      return SANDERLING_INPUT_ERROR;
    case ErrorCode::kUnsupported:
      return SANDERLING_UNSUPPORTED_ERROR;
    case ErrorCode::kDeadline:
      return SANDERLING_DEADLINE_ERROR;
    case ErrorCode::kCancelled:
      return SANDERLING_CANCELLED_ERROR;
    case ErrorCode::kInternal:
      break;
  }
  return SANDERLING_INTERNAL_ERROR;
}

sanderling_status report(sanderling_error* error, sanderling_status status, const char* message) {
  if (error) {
    const size_t length = std::min(std::strlen(message), sizeof error->message - 1);
    std::memcpy(error->message, message, length);
    error->message[length] = '\0';
  }
  return status;
}

// No exception may pass into C.
template <typename Body>
sanderling_status guarded(sanderling_error* error, const Body& body) {
  try {
    body();
    return SANDERLING_OK;
  } catch (const Error& problem) {
    return report(error, status_of(problem.code()), problem.what());
  } catch (const std::bad_alloc&) {
    return report(error, SANDERLING_INTERNAL_ERROR, "[memory] the system gives no more memory");
  } catch (const std::exception& problem) {
    return report(error, SANDERLING_INTERNAL_ERROR, problem.what());
  } catch (...) {
    return report(error, SANDERLING_INTERNAL_ERROR, "an unknown error");
  }
}

template <typename T>
T& required(T* pointer, const char* what) {
  if (!pointer) fail(ErrorCode::kInput, "[c] ", what, " is NULL");
  return *pointer;
}

void set_type(TensorType& type, const sanderling_tensor& tensor, const char* what, size_t index) {
  const std::optional<DType> dtype = dtype_of_onnx_number(tensor.dtype);
  if (!dtype)
    fail(ErrorCode::kInput, "[c] ", what, " ", index, " has the dtype ", tensor.dtype,
         ". See sanderling_dtype");
  if (tensor.rank < 0 || tensor.rank > SANDERLING_MAX_RANK)
    fail(ErrorCode::kInput, "[c] ", what, " ", index, " has the rank ", tensor.rank,
         ", expected 0 to ", SANDERLING_MAX_RANK);
  type.dtype = *dtype;
  type.shape.assign({tensor.dims, static_cast<size_t>(tensor.rank)});
}

// A call's tensors, in memory that the thread keeps for its next call: runs must not allocate.
class Views {
 public:
  std::span<const TensorView> of(const sanderling_tensor* tensors, size_t count, const char* what,
                                 bool with_data) {
    if (count > 0) required(tensors, what);
    if (views_.size() < count) views_.resize(count);
    for (size_t i = 0; i < count; ++i) {
      set_type(views_[i].type, tensors[i], what, i);
      views_[i].data = tensors[i].data;
      if (with_data && !tensors[i].data && views_[i].type.bytes() != 0)
        fail(ErrorCode::kInput, "[c] ", what, " ", i, " has no data");
    }
    return {views_.data(), count};
  }

 private:
  std::vector<TensorView> views_;
};
thread_local Views input_views, output_views;

void set_dims(const std::vector<int64_t>& dims, int32_t& rank, int64_t* to) {
  rank = static_cast<int32_t>(dims.size());
  std::copy(dims.begin(), dims.end(), to);
}

void check_index(size_t index, size_t count, const char* what) {
  if (index >= count)
    fail(ErrorCode::kInput, "[c] ", what, " ", index, " of ", count, " does not exist");
}

sanderling_model* import(std::span<const std::byte> bytes, const ExternalData& external) {
  return new sanderling_model{std::make_shared<const Graph>(import_model(bytes, external))};
}

sanderling_status create_session(const sanderling_model* model, int32_t threads, const char* isa,
                                 FloatProducts products, sanderling_session** session,
                                 sanderling_error* error) {
  return guarded(error, [&] {
    required(session, "session") = nullptr;
    Graph graph = *required(model, "model").graph;
    const KernelTable& kernels =
        with_float_products(isa ? table_named(isa) : default_table(), products);
    lower(graph);
    *session = new sanderling_session(
        std::make_shared<const CompiledModel>(std::move(graph), kernels), threads);
  });
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(file), {}};
  if (!file) fail(ErrorCode::kInput, "[load] cannot read '", path.string(), "'. Check the path");
  return bytes;
}

}  // namespace
}  // namespace sanderling

using namespace sanderling;

extern "C" {

const char* sanderling_version(void) { return SANDERLING_VERSION; }

sanderling_status sanderling_model_load(const char* path, sanderling_model** model,
                                        sanderling_error* error) {
  return guarded(error, [&] {
    required(model, "model") = nullptr;
    const std::filesystem::path file(&required(path, "path"));
    const std::string bytes = read_file(file);
    *model = import(std::as_bytes(std::span(bytes)),
                    ExternalData(std::filesystem::absolute(file).parent_path()));
  });
}

sanderling_status sanderling_model_load_bytes(const void* bytes, size_t size,
                                              sanderling_model** model, sanderling_error* error) {
  return guarded(error, [&] {
    required(model, "model") = nullptr;
    const auto* const data = static_cast<const std::byte*>(bytes);
    if (size > 0) required(data, "bytes");
    *model = import({data, size}, {});
  });
}

void sanderling_model_free(sanderling_model* model) { delete model; }

size_t sanderling_model_inputs(const sanderling_model* model) {
  return model ? model->graph->inputs.size() : 0;
}

size_t sanderling_model_outputs(const sanderling_model* model) {
  return model ? model->graph->outputs.size() : 0;
}

sanderling_status sanderling_model_input(const sanderling_model* model, size_t index,
                                         sanderling_spec* spec, sanderling_error* error) {
  return guarded(error, [&] {
    const Graph& graph = *required(model, "model").graph;
    check_index(index, graph.inputs.size(), "input");
    const GraphInput& input = graph.inputs[index];
    required(spec, "spec") = {};
    spec->name = graph.value(input.value).name.c_str();
    spec->dtype = onnx_number_of(input.dtype);
    set_dims(input.dims, spec->rank, spec->dims);
  });
}

sanderling_status sanderling_model_output(const sanderling_model* model, size_t index,
                                          sanderling_spec* spec, sanderling_error* error) {
  return guarded(error, [&] {
    const Graph& graph = *required(model, "model").graph;
    check_index(index, graph.outputs.size(), "output");
    const GraphOutput& output = graph.outputs[index];
    required(spec, "spec") = {};
    spec->name = output.name.c_str();
    spec->dtype = output.dtype ? onnx_number_of(*output.dtype) : 0;
    spec->rank = -1;
    if (output.dims) set_dims(*output.dims, spec->rank, spec->dims);
  });
}

sanderling_status sanderling_session_create(const sanderling_model* model, int32_t threads,
                                            const char* isa, sanderling_session** session,
                                            sanderling_error* error) {
  return create_session(model, threads, isa, FloatProducts::kFloat32, session, error);
}

sanderling_status sanderling_session_create_bfloat16(const sanderling_model* model, int32_t threads,
                                                     const char* isa, sanderling_session** session,
                                                     sanderling_error* error) {
  return create_session(model, threads, isa, FloatProducts::kBFloat16, session, error);
}

void sanderling_session_free(sanderling_session* session) { delete session; }

const char* sanderling_session_isa(const sanderling_session* session) {
  return session ? session->session.model().kernels().isa : "";
}

sanderling_status sanderling_session_output_types(sanderling_session* session,
                                                  const sanderling_tensor* inputs,
                                                  size_t input_count, sanderling_tensor* outputs,
                                                  size_t output_count, sanderling_error* error) {
  return guarded(error, [&] {
    const auto program =
        required(session, "session")
            .session.program_for(input_views.of(inputs, input_count, "input", false));
    if (program->cut)
      fail(ErrorCode::kUnsupported, "[c] the types of the outputs depend on the inputs' elements");
    if (output_count != program->output_types.size())
      fail(ErrorCode::kInput, "[c] got ", output_count, " outputs, the model has ",
           program->output_types.size());
    for (size_t i = 0; i < output_count; ++i) {
      const TensorType& type = program->output_types[i];
      outputs[i].dtype = onnx_number_of(type.dtype);
      set_dims(type.shape.dims(), outputs[i].rank, outputs[i].dims);
    }
  });
}

sanderling_status sanderling_session_run(sanderling_session* session,
                                         const sanderling_tensor* inputs, size_t input_count,
                                         sanderling_tensor* outputs, size_t output_count,
                                         sanderling_error* error) {
  return sanderling_session_run_for(session, inputs, input_count, outputs, output_count, INFINITY,
                                    error);
}

sanderling_status sanderling_session_run_for(sanderling_session* session,
                                             const sanderling_tensor* inputs, size_t input_count,
                                             sanderling_tensor* outputs, size_t output_count,
                                             double timeout_s, sanderling_error* error) {
  return guarded(error, [&] {
    Session& ours = required(session, "session").session;
    const Stop stop = ours.until(timeout_s);
    ours.run(input_views.of(inputs, input_count, "input", true),
             output_views.of(outputs, output_count, "output", true), stop);
  });
}

void sanderling_session_cancel(sanderling_session* session) {
  if (session) session->session.cancel();
}

}  // extern "C"
