// ModelProto as it lies in the file: names and structure are views into the caller's bytes, which
// must outlive it; tensors and attributes are decoded later, by read_tensor and read_attribute, so
// that what the engine cannot use costs nothing.
#pragma once

#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "onnx/wire.h"

namespace sanderling {

// What a file may ask for; more is kModel. Chosen to hold any model meant for a device many times
// over, and to keep what a hostile file can make us allocate to a small multiple of its own size.
struct OnnxLimits {
  static constexpr size_t kMaxModelBytes = size_t{1} << 31;  // protobuf's own limit
  static constexpr size_t kMaxTensorBytes = size_t{1} << 31;
  static constexpr size_t kMaxNodes = size_t{1} << 20;
  static constexpr size_t kMaxExpanded = size_t{1} << 17;  // nodes that come from local functions
  static constexpr int kMaxCalls = 64;                     // of local functions within each other
  static constexpr size_t kMaxItems =
      size_t{1} << 22;  // nodes, their inputs, outputs and attributes, tensors, dimensions, ...
  static constexpr size_t kMaxNameBytes = 4096;
};

struct OnnxDim {
  int64_t extent = -1;  // -1 where the file gives none
  std::string_view symbol;
};

struct OnnxValueInfo {
  std::string_view name;
  bool is_tensor = false;  // the file states a tensor type
  bool is_other = false;  // the file states a sequence, map, optional, opaque or sparse tensor type
  int64_t element_type = 0;  // TensorProto.DataType
  bool has_shape = false;
  std::vector<OnnxDim> dims;
};

struct OnnxAttribute {
  std::string_view name;
  WireMessage proto;
};

struct OnnxNode {
  std::string_view name;
  std::string_view op_type;
  std::string_view domain;
  std::string_view overload;
  std::vector<std::string_view> inputs;
  std::vector<std::string_view> outputs;
  std::vector<OnnxAttribute> attributes;
};

struct OnnxInitializer {
  std::string_view name;
  WireMessage proto;
};

struct OnnxGraph {
  std::string_view name;
  std::vector<OnnxNode> nodes;
  std::vector<OnnxInitializer> initializers;
  std::vector<OnnxInitializer> sparse_initializers;
  std::vector<OnnxValueInfo> inputs;
  std::vector<OnnxValueInfo> outputs;
};

struct OnnxOpset {
  std::string_view domain;
  int64_t version = 0;
};

// A function that the model itself defines; nodes call it by domain and name.
struct OnnxFunction {
  std::string_view name;
  std::string_view domain;
  std::string_view overload;
  std::vector<std::string_view> inputs;
  std::vector<std::string_view> outputs;
  std::vector<OnnxAttribute> defaults;  // attributes that a call may leave out
  std::vector<OnnxNode> nodes;
  std::vector<OnnxOpset> opsets;
};

struct OnnxModel {
  int64_t ir_version = 0;
  std::string_view producer_name;
  std::string_view producer_version;
  std::vector<OnnxOpset> opsets;
  std::vector<std::pair<std::string_view, std::string_view>> metadata;
  std::vector<OnnxFunction> functions;
  std::optional<OnnxGraph> graph;
};

// Throws kModel if the bytes are no well-formed ModelProto or break a limit. Fields that the engine
// does not use (doc strings, value_info, training_info, annotations, unknown ones) are skipped.
OnnxModel read_model(std::span<const std::byte> bytes);

// The GraphProto of an attribute of a node. Throws as read_model.
OnnxGraph read_graph(const WireMessage& message);

// A field that holds a name: UTF-8 of at most kMaxNameBytes.
std::string_view read_name(const WireField& field);

}  // namespace sanderling
