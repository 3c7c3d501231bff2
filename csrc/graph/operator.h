// What one operator is to the engine, and the registry of all of them. A file in ops/ ends with one
// SANDERLING_OPERATOR.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/workers.h"
#include "graph/graph.h"

namespace sanderling {

struct KernelTable;  // kernels/table.h

// No tensor of a model may be larger: a file of a few bytes must not make a device allocate all it
// has.
constexpr size_t kMaxTensorBytes = size_t{1} << 31;

// What a shape rule sees: one node with the types of its inputs; it sets the types of all outputs.
class InferContext {
 public:
  InferContext(const Graph& graph, const Node& node, std::span<const TensorType* const> inputs,
               std::span<TensorType> outputs)
      : graph_(graph), node_(node), inputs_(inputs), outputs_(outputs) {}

  const Node& node() const { return node_; }
  const Attributes& attributes() const { return node_.attributes; }
  size_t inputs() const { return inputs_.size(); }
  size_t outputs() const { return outputs_.size(); }
  bool has_input(size_t i) const { return i < inputs_.size() && inputs_[i] != nullptr; }
  const TensorType& input(size_t i) const;  // throws kModel if it was left out
  // The input's value where it is known at load time; throws kUnsupported if it is computed at run
  // time.
  const Tensor& constant(size_t i) const;
  // The scale and zero point of the codes in input or output i; asserts that the lowering pass set
  // them.
  const Quantization& input_quantization(size_t i) const;
  const Quantization& output_quantization(size_t i) const;
  // The same where the operator may yield codes or real numbers; nothing means real.
  const std::optional<Quantization>& quantization_of_output(size_t i) const;
  void set_output(size_t i, DType dtype, Shape shape);
  const TensorType& output_type(size_t i) const { return outputs_[i]; }

  // Fails as kModel with "[op] node 'name': " before the message.
  template <typename... Parts>
  [[noreturn]] void error(const Parts&... parts) const {
    fail(ErrorCode::kModel, "[", node_.op, "] node '", node_.name, "': ", parts...);
  }
  template <typename... Parts>
  [[noreturn]] void unsupported(const Parts&... parts) const {
    fail(ErrorCode::kUnsupported, "[", node_.op, "] node '", node_.name, "' (opset ", node_.opset,
         "): ", parts...);
  }

 protected:
  const Graph& graph_;
  const Node& node_;
  std::span<const TensorType* const> inputs_;
  std::span<TensorType> outputs_;
};

// What the reference function sees: the same, with data. It reads inputs, writes every element of
// every output, and may be slow, but must be obviously right: it also folds constants, and tests
// run it beside the kernels.
class ReferenceContext : public InferContext {
 public:
  ReferenceContext(const Graph& graph, const Node& node, std::span<const TensorType* const> inputs,
                   std::span<TensorType> outputs, std::span<const void* const> input_data,
                   std::span<void* const> output_data)
      : InferContext(graph, node, inputs, outputs),
        input_data_(input_data),
        output_data_(output_data) {}

  const TensorType& output(size_t i) const { return outputs_[i]; }
  const void* raw_input(size_t i) const { return input_data_[i]; }
  void* raw_output(size_t i) const { return output_data_[i]; }
  template <typename T>
  const T* in(size_t i) const {
    SANDERLING_ASSERT(input(i).dtype == dtype_of<T>(), node_.op, " input ", i);
    return static_cast<const T*>(input_data_[i]);
  }
  template <typename T>
  T* out(size_t i) const {
    SANDERLING_ASSERT(outputs_[i].dtype == dtype_of<T>(), node_.op, " output ", i);
    return static_cast<T*>(output_data_[i]);
  }

 private:
  std::span<const void* const> input_data_;
  std::span<void* const> output_data_;
};

// What a step of a plan is given at run time.
struct StepArgs {
  void* const* inputs;   // the node's inputs, nullptr where left out
  void* const* outputs;  // the node's outputs, nullptr where not wanted
  std::byte* scratch;  // PlanContext::scratch() bytes for thread 0; thread t starts at scratch + t
                       // * scratch_stride
  size_t scratch_stride;
  Workers* workers;
};
using StepFunction = void (*)(const void* parameters, const StepArgs& args);

// What an operator's plan function sees: concrete types, constants, and this host's kernels. It
// emits one step, or none: then the reference runs. It is called once per node and set of input
// shapes; steps must not allocate, throw or look at shapes.
class PlanContext : public InferContext {
 public:
  PlanContext(const Graph& graph, const Node& node, std::span<const TensorType* const> inputs,
              std::span<TensorType> outputs, const KernelTable& kernels, int threads)
      : InferContext(graph, node, inputs, outputs), kernels_(kernels), threads_(threads) {}
  virtual ~PlanContext() = default;

  const TensorType& output(size_t i) const { return outputs_[i]; }
  const KernelTable& kernels() const { return kernels_; }
  int threads() const { return threads_; }
  bool is_constant(size_t i) const { return has_input(i) && graph_.constant(node_.inputs[i]); }
  // Bytes that the step may use for itself, per thread, uninitialised and aligned.
  void scratch(size_t bytes_per_thread) { scratch_ = bytes_per_thread; }
  // Something made once from this node's constants (packed weights, tables) and shared by every
  // plan and session of the model that uses the same kernels; `tag` tells several of one node
  // apart.
  template <typename T>
  std::shared_ptr<const T> shared(std::string_view tag, const std::function<T()>& make) {
    return std::static_pointer_cast<const T>(find_or_make(
        tag, [&]() -> std::shared_ptr<const void> { return std::make_shared<const T>(make()); }));
  }
  // `parameters` is copied into the plan; own memory by shared_ptr members.
  template <typename P>
  void emit(void (*step)(const P&, const StepArgs&), P parameters) {
    struct Bound {
      void (*step)(const P&, const StepArgs&);
      P parameters;
    };
    parameters_ = std::make_shared<const Bound>(Bound{step, std::move(parameters)});
    function_ = [](const void* bound, const StepArgs& args) {
      const auto& b = *static_cast<const Bound*>(bound);
      b.step(b.parameters, args);
    };
  }

 protected:
  virtual std::shared_ptr<const void> find_or_make(
      std::string_view tag, const std::function<std::shared_ptr<const void>()>& make) = 0;

  const KernelTable& kernels_;
  int threads_;
  size_t scratch_ = 0;
  StepFunction function_ = nullptr;
  std::shared_ptr<const void> parameters_;
};

struct Operator {
  std::string_view name;  // ONNX op_type, or the engine's own name ("QConv")
  int since_opset = 0;  // the first opset of the default domain whose meaning this file implements;
                        // 0: engine's own
  size_t min_inputs = 1;
  size_t max_inputs = 1;
  size_t max_outputs = 1;
  void (*infer)(InferContext&) = nullptr;
  void (*reference)(const ReferenceContext&) = nullptr;
  void (*plan)(PlanContext&) = nullptr;  // optional
  // Output 0 is input 0's bytes under another shape: no step runs, the memory is shared.
  bool view = false;
  bool (*view_if)(const InferContext&) = nullptr;  // the same, where it depends on the shapes
  // Output element i depends on nothing but element i of each input (after NumPy broadcasting), so
  // layouts and lookup tables pass through.
  bool elementwise = false;
  // Multiply-accumulates for these types, for `sanderling model show`; nullptr means none.
  int64_t (*macs)(const InferContext&, const TensorType& output) = nullptr;
};

const Operator* find_operator(std::string_view name);  // nullptr if unknown
// op.infer(context), with every failure in the node's name: what breaks a limit of Shape, or an
// attribute of another type, does not know of the node itself.
void infer_types(const Operator& op, InferContext& context);
std::vector<std::string_view> operator_names();  // sorted

struct RegisterOperator {
  explicit RegisterOperator(const Operator& op);
};

#define SANDERLING_OPERATOR(name) static const ::sanderling::RegisterOperator registered_##name

}  // namespace sanderling
