// Which operator a node of a file means.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "graph/operator.h"
#include "onnx/import.h"
#include "onnx/model.h"

namespace sanderling {

constexpr const char* kOtherBackend = "Use backend='onnxruntime' or backend='auto'";

inline bool is_default_domain(std::string_view domain) {
  return domain.empty() || domain == "ai.onnx";
}

inline bool same_domain(std::string_view a, std::string_view b) {
  return a == b || (is_default_domain(a) && is_default_domain(b));
}

inline std::string registry_name(const OnnxNode& node) {
  return is_default_domain(node.domain) ? std::string(node.op_type)
                                        : cat(node.domain, ".", node.op_type);
}

// The registered operator of a node, nullptr if there is none. The engine's own operators are not
// for files to name.
inline const Operator* operator_of(const OnnxNode& node) {
  const Operator* op = find_operator(registry_name(node));
  return op && op->since_opset > 0 ? op : nullptr;
}

// The model's own function that a node calls; nullptr if it is an operator or neither. An operator
// that the engine has goes before a function of its name, which exporters add for those who lack
// it.
inline const OnnxFunction* function_of(const OnnxModel& model, const OnnxNode& node) {
  if (operator_of(node)) return nullptr;
  for (const OnnxFunction& function : model.functions)
    if (function.name == node.op_type && function.overload == node.overload &&
        same_domain(function.domain, node.domain))
      return &function;
  return nullptr;
}

inline std::string describe(const OnnxAttribute& attribute, const OnnxNode& node) {
  return cat("attribute '", attribute.name, "' of node '", node.name, "' (", node.op_type, ")");
}

// The versions of operator sets that a model or a function imports.
class Opsets {
 public:
  // Throws kModel where they contradict each other, kUnsupported for versions that are not read.
  // `opsets` must outlive it.
  explicit Opsets(const std::vector<OnnxOpset>& opsets) : opsets_(opsets) {
    for (const OnnxOpset& opset : opsets_) {
      if (const int64_t first = of(opset.domain); first != opset.version)
        fail(ErrorCode::kModel, "[onnx] the model imports both opset ", first, " and opset ",
             opset.version, " of ",
             is_default_domain(opset.domain) ? "the default domain"
                                             : cat("domain '", opset.domain, "'"));
      if (!is_default_domain(opset.domain)) continue;
      if (opset.version < kOldestOpset || opset.version > kNewestOpset)
        fail(ErrorCode::kUnsupported, "[onnx] the model has opset ", opset.version,
             "; the native engine reads opsets ", kOldestOpset, " to ", kNewestOpset,
             ". Convert it with onnx.version_converter.convert_version(model, ",
             opset.version > kNewestOpset ? kNewestOpset : 13,
             "), or use backend='onnxruntime' or backend='auto'");
    }
  }

  // The version of a domain's; 0 if there is none.
  int64_t of(std::string_view domain) const {
    for (const OnnxOpset& opset : opsets_)
      if (same_domain(opset.domain, domain)) return opset.version;
    return 0;
  }

 private:
  const std::vector<OnnxOpset>& opsets_;
};

}  // namespace sanderling
