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

#include "core/tensor.h"
#include "core/workers.h"
#include "graph/graph.h"

namespace sanderling {

struct KernelTable;  // kernels/table.h

// No tensor of a model may be larger: a file of a few bytes must not make a device allocate all it
// has.
constexpr size_t kMaxTensorBytes = size_t{1} << 31;

// A borrowed tensor whose elements are known when a node is looked at: a constant, or something
// that follows from the shapes, or any input once the model runs.
class KnownTensor {
 public:
  KnownTensor(const TensorType& type, const void* data) : type_(&type), data_(data) {}
  const TensorType& type() const { return *type_; }
  DType dtype() const { return type_->dtype; }
  const Shape& shape() const { return type_->shape; }
  const void* raw() const { return data_; }
  template <typename T>
  std::span<const T> data() const {
    SANDERLING_ASSERT(dtype_of<T>() == type_->dtype, "tensor is ", type_->to_string());
    return {static_cast<const T*>(data_), static_cast<size_t>(type_->shape.elements())};
  }

 private:
  const TensorType* type_;
  const void* data_;
};

// An output's type depends on elements that are not known yet. Planning stops before the node and
// goes on when the model has run so far; who cannot do so lets the user read the message.
class NeedsValue : public Error {
 public:
  explicit NeedsValue(const std::string& message) : Error(ErrorCode::kUnsupported, message) {}
};

// A subgraph of a node (Node::subgraphs), ready to run for any input types.
class Body {
 public:
  virtual ~Body() = default;
  // The types of its outputs where they follow from the inputs' types (and from those of its own
  // inputs that are constant); nothing where they depend on data.
  virtual const std::vector<TensorType>* output_types(std::span<const TensorType> inputs) = 0;
  // Runs it; the results stand until it runs again. Throws what operators throw.
  virtual std::span<const TensorView> run(std::span<const TensorView> inputs, Workers& workers) = 0;
};

// One node with what is known about its inputs and outputs: what contexts are made of.
struct NodeView {
  const Graph& graph;
  const Node& node;
  std::span<const TensorType* const> inputs;  // nullptr where left out
  std::span<const void* const> known;  // elements per input, nullptr where not known; may be empty
  std::span<TensorType> outputs;
  std::span<const std::unique_ptr<Body>> bodies{};  // as Node::subgraphs; may be empty
};

// What a shape rule sees: one node with the types of its inputs; it sets the types of all outputs.
class InferContext {
 public:
  explicit InferContext(const NodeView& view) : view_(view) {}

  const Graph& graph() const { return view_.graph; }
  const Node& node() const { return view_.node; }
  const Attributes& attributes() const { return view_.node.attributes; }
  size_t inputs() const { return view_.inputs.size(); }
  size_t outputs() const { return view_.outputs.size(); }
  bool has_input(size_t i) const { return i < inputs() && view_.inputs[i] != nullptr; }
  // How many inputs the file gives the node: what follows is read by its subgraphs.
  size_t formal_inputs() const {
    return node().subgraphs.empty() ? inputs() : node().formal_inputs;
  }
  // Whether somebody wants output i.
  bool has_output(size_t i) const { return i < outputs() && node().outputs[i] != kNoValue; }
  const TensorType& input(size_t i) const;  // throws kModel if it was left out
  bool is_known(size_t i) const { return has_input(i) && i < view_.known.size() && view_.known[i]; }
  // The input's elements; throws NeedsValue if they are computed at run time.
  KnownTensor constant(size_t i) const;
  // For a rule whose result follows from no input that could be named.
  [[noreturn]] void needs_values() const;
  // The subgraph of this attribute; throws kModel if there is none, NeedsValue where none can run.
  Body& body(std::string_view attribute) const;
  // The node's inputs that a subgraph reads besides its formal ones, as indices.
  const std::vector<size_t>& captures(std::string_view attribute) const;
  // The scale and zero point of the codes in input or output i; asserts that the lowering pass set
  // them.
  const Quantization& input_quantization(size_t i) const;
  const Quantization& output_quantization(size_t i) const;
  // The same where the operator may yield codes or real numbers; nothing means real.
  const std::optional<Quantization>& quantization_of_output(size_t i) const;
  void set_output(size_t i, DType dtype, Shape shape);
  const TensorType& output_type(size_t i) const { return view_.outputs[i]; }

  // Fails as kModel with "[op] node 'name': " before the message.
  template <typename... Parts>
  [[noreturn]] void error(const Parts&... parts) const {
    fail(ErrorCode::kModel, "[", node().op, "] node '", node().name, "': ", parts...);
  }
  template <typename... Parts>
  [[noreturn]] void unsupported(const Parts&... parts) const {
    fail(ErrorCode::kUnsupported, "[", node().op, "] node '", node().name, "' (opset ",
         node().opset, "): ", parts...);
  }

 protected:
  NodeView view_;
};

// What the reference function sees: the same, with data. It reads inputs, writes every element of
// every output that is wanted, and may be slow, but must be obviously right: it also folds
// constants, and tests run it beside the kernels. Every input is known here.
class ReferenceContext : public InferContext {
 public:
  ReferenceContext(const NodeView& view, std::span<void* const> output_data)
      : InferContext(view), output_data_(output_data) {}

  const TensorType& output(size_t i) const { return view_.outputs[i]; }
  const void* raw_input(size_t i) const { return i < inputs() ? view_.known[i] : nullptr; }
  void* raw_output(size_t i) const { return output_data_[i]; }
  template <typename T>
  const T* in(size_t i) const {
    SANDERLING_ASSERT(input(i).dtype == dtype_of<T>(), node().op, " input ", i);
    return static_cast<const T*>(view_.known[i]);
  }
  template <typename T>
  T* out(size_t i) const {
    SANDERLING_ASSERT(output(i).dtype == dtype_of<T>(), node().op, " output ", i);
    return static_cast<T*>(output_data_[i]);
  }

 private:
  std::span<void* const> output_data_;
};

// What Operator::compute sees: data, and no outputs yet. It makes each output that is wanted when
// it knows its type. Every input is known here.
class ComputeContext : public InferContext {
 public:
  ComputeContext(const NodeView& view, Workers& workers) : InferContext(view), workers_(workers) {}
  virtual ~ComputeContext() = default;

  template <typename T>
  const T* in(size_t i) const {
    return constant(i).data<T>().data();
  }
  TensorView view(size_t i) const {
    return {input(i), const_cast<void*>(view_.known[i])};  // not to be written to
  }
  Workers& workers() const { return workers_; }
  // Memory for output i, which must be wanted; once per output.
  virtual void* make_output(size_t i, const TensorType& type) = 0;
  // Says, before they are allocated, that the operator needs `bytes` more for itself than inputs
  // and outputs of known types tell. Throws where the run may not have them; they count until the
  // operator returns.
  virtual void hold(size_t /*bytes*/) {}
  template <typename T>
  T* make_output(size_t i, Shape shape) {
    return static_cast<T*>(make_output(i, {dtype_of<T>(), std::move(shape)}));
  }

 private:
  Workers& workers_;
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
// shapes; steps must not allocate or look at shapes. Tasks that a step gives to workers must not
// throw; the step itself may, about data that it cannot follow (an index that is not there).
class PlanContext : public InferContext {
 public:
  PlanContext(const NodeView& view, const KernelTable& kernels, int threads)
      : InferContext(view), kernels_(kernels), threads_(threads) {}
  virtual ~PlanContext() = default;

  const TensorType& output(size_t i) const { return view_.outputs[i]; }
  const KernelTable& kernels() const { return kernels_; }
  int threads() const { return threads_; }
  // Whether input i is the same in every plan of the model, so that what is made of it can be
  // shared; constant(i) also gives what only this plan's shapes make known.
  bool is_constant(size_t i) const {
    return has_input(i) && view_.graph.constant(node().inputs[i]);
  }
  // Bytes that the step may use for itself, per thread, uninitialised and aligned.
  void scratch(size_t bytes_per_thread) { scratch_ = bytes_per_thread; }
  // Something made once from this node's constants (tables) and shared by every plan and session of
  // the model that uses the same kernels; `tag` tells several of one node apart.
  template <typename T>
  std::shared_ptr<const T> shared(std::string_view tag, const std::function<T()>& make) {
    return std::static_pointer_cast<const T>(find_or_make(
        tag, [&]() -> std::shared_ptr<const void> { return std::make_shared<const T>(make()); }));
  }
  // The same for a tensor of this type, which is kept in the plan's file too (plan/plan_file.h):
  // for what is large or slow to make. What is made must depend on the node's constants and
  // attributes and on the kernels alone, not on the number of threads or on the shapes of other
  // inputs.
  std::shared_ptr<const Tensor> shared_tensor(std::string_view tag, const TensorType& type,
                                              const std::function<Tensor()>& make) {
    return find_or_make_tensor(tag, type, make);
  }
  // `parameters` is copied into the plan; own memory by shared_ptr members. `kernel` is what
  // profiles call the step: the name of the kernel that does most of its work, if there is one.
  template <typename P>
  void emit(void (*step)(const P&, const StepArgs&), P parameters, const char* kernel = "loops") {
    kernel_ = kernel;
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
  virtual std::shared_ptr<const Tensor> find_or_make_tensor(
      std::string_view tag, const TensorType& type, const std::function<Tensor()>& make) = 0;

  const KernelTable& kernels_;
  int threads_;
  size_t scratch_ = 0;
  StepFunction function_ = nullptr;
  std::shared_ptr<const void> parameters_;
  const char* kernel_ = "";
};

// What becomes of a NaN among an operator's inputs.
enum class NanRule : uint8_t {
  kMayHide,  // it may become a number, an index or a code that looks like any other
  kKeeps,    // it stays NaN, in its place or where it is moved to
  kMeans,    // it has a meaning of its own: IsNaN, a missing value in a tree
};

struct Operator {
  // ONNX op_type, with its domain before it unless that is ONNX's own ("com.microsoft.QLinearAdd");
  // or the engine's own name ("QConv").
  std::string_view name;
  int since_opset = 0;  // the first opset of its domain whose meaning this file implements; 0:
                        // engine's own
  size_t min_inputs = 1;
  size_t max_inputs = 1;
  size_t max_outputs = 1;
  void (*infer)(InferContext&) = nullptr;
  void (*reference)(const ReferenceContext&) = nullptr;
  // In place of a reference, where what comes out may be known only when it is computed: infer
  // throws NeedsValue then.
  void (*compute)(ComputeContext&) = nullptr;
  void (*plan)(PlanContext&) = nullptr;  // optional
  // Plans although inputs may be empty, such as a past of no length; else the reference runs then.
  bool plans_empty_inputs = false;
  // Output 0 is input 0's bytes under another shape: no step runs, the memory is shared.
  bool view = false;
  bool (*view_if)(const InferContext&) = nullptr;  // the same, where it depends on the shapes
  // Where an output's bytes are in input 0, if these shapes leave them there in one run: no step
  // runs then (Split, Slice).
  std::optional<size_t> (*part_offset)(const InferContext&, size_t output) = nullptr;
  // Where an input's bytes are in output 0, if these shapes leave them in one run: what makes the
  // input may then write it there (Concat).
  std::optional<size_t> (*piece_offset)(const InferContext&, size_t input) = nullptr;
  // Output element i depends on nothing but element i of each input (after NumPy broadcasting), so
  // layouts and lookup tables pass through.
  bool elementwise = false;
  // The outputs follow from the inputs' types alone: Shape, Size.
  bool from_types = false;
  NanRule nan = NanRule::kMayHide;
  // Multiply-accumulates for these types, for `sanderling model show`; nullptr means none.
  int64_t (*macs)(const InferContext&, const TensorType& output) = nullptr;
};

const Operator* find_operator(std::string_view name);  // nullptr if unknown
// op.infer(context), with every failure in the node's name: what breaks a limit of Shape, or an
// attribute of another type, does not know of the node itself.
void infer_types(const Operator& op, InferContext& context);
// Fails if an output of this type would be larger than kMaxTensorBytes.
void check_size(const InferContext& context, size_t output, const TensorType& type);
std::vector<std::string_view> operator_names();  // sorted

struct RegisterOperator {
  explicit RegisterOperator(const Operator& op);
};

#define SANDERLING_OPERATOR(name) static const ::sanderling::RegisterOperator registered_##name

}  // namespace sanderling
