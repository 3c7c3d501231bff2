#include "onnx/model.h"

namespace sanderling {
namespace {

// Reads the messages of onnx.proto whose field numbers stand in the switches below.
class ModelReader {
 public:
  OnnxModel read(const WireMessage& message) {
    OnnxModel model;
    WireField field;
    for (WireCursor cursor(message); cursor.next(field);) {
      switch (field.number()) {
        case 1:
          model.ir_version = field.integer();
          break;
        case 2:
          model.producer_name = read_name(field);
          break;
        case 3:
          model.producer_version = read_name(field);
          break;
        case 7:
          // Protobuf would merge the two; no writer makes such a file, and a second graph is easier
          // to hide than to see.
          if (model.graph)
            fail(ErrorCode::kModel, "[onnx] the model has a second graph at byte ", field.offset());
          model.graph = read_graph(field.message());
          break;
        case 8:
          append(model.opsets, read_opset(field.message()));
          break;
        case 14:
          append(model.metadata, read_entry(field.message()));
          break;
        case 25:
          append(model.functions, read_function(field.message()));
          break;
      }
    }
    return model;
  }

  OnnxGraph read_graph(const WireMessage& message) {
    OnnxGraph graph;
    WireField field;
    for (WireCursor cursor(message); cursor.next(field);) {
      switch (field.number()) {
        case 1:
          if (graph.nodes.size() == OnnxLimits::kMaxNodes)
            fail(ErrorCode::kModel, "[onnx] the graph has more than ", OnnxLimits::kMaxNodes,
                 " nodes");
          append(graph.nodes, read_node(field.message()));
          break;
        case 2:
          graph.name = read_name(field);
          break;
        case 5:
          append(graph.initializers, {read_field_text(field.message(), 8), field.message()});
          break;
        case 11:
          append(graph.inputs, read_value_info(field.message()));
          break;
        case 12:
          append(graph.outputs, read_value_info(field.message()));
          break;
        case 15:
          append(graph.sparse_initializers, read_sparse(field.message()));
          break;
      }
    }
    return graph;
  }

 private:
  template <typename T>
  void append(std::vector<T>& list, T item) {
    if (++items_ > OnnxLimits::kMaxItems)
      fail(ErrorCode::kModel, "[onnx] the model holds more than ", OnnxLimits::kMaxItems,
           " nodes, names, attributes, tensors and dimensions together");
    list.push_back(std::move(item));
  }

  // The text field `number` of a message of which nothing else is wanted; "" if absent.
  static std::string_view read_field_text(const WireMessage& message, uint32_t number) {
    std::string_view text;
    WireField field;
    for (WireCursor cursor(message); cursor.next(field);)
      if (field.number() == number) text = read_name(field);
    return text;
  }

  static OnnxOpset read_opset(const WireMessage& message) {
    OnnxOpset opset;
    WireField field;
    for (WireCursor cursor(message); cursor.next(field);) {
      if (field.number() == 1) opset.domain = read_name(field);
      if (field.number() == 2) opset.version = field.integer();
    }
    return opset;
  }

  static std::pair<std::string_view, std::string_view> read_entry(const WireMessage& message) {
    std::pair<std::string_view, std::string_view> entry;
    WireField field;
    for (WireCursor cursor(message); cursor.next(field);) {
      if (field.number() == 1) entry.first = read_name(field);
      if (field.number() == 2) entry.second = field.text();  // label lists and recipes may be long
    }
    return entry;
  }

  OnnxNode read_node(const WireMessage& message) {
    OnnxNode node;
    WireField field;
    for (WireCursor cursor(message); cursor.next(field);) {
      switch (field.number()) {
        case 1:
          append(node.inputs, read_name(field));
          break;
        case 2:
          append(node.outputs, read_name(field));
          break;
        case 3:
          node.name = read_name(field);
          break;
        case 4:
          node.op_type = read_name(field);
          break;
        case 5:
          append(node.attributes, {read_field_text(field.message(), 1), field.message()});
          break;
        case 7:
          node.domain = read_name(field);
          break;
        case 8:
          node.overload = read_name(field);
          break;
      }
    }
    return node;
  }

  OnnxFunction read_function(const WireMessage& message) {
    OnnxFunction function;
    WireField field;
    for (WireCursor cursor(message); cursor.next(field);) {
      switch (field.number()) {
        case 1:
          function.name = read_name(field);
          break;
        case 4:
          append(function.inputs, read_name(field));
          break;
        case 5:
          append(function.outputs, read_name(field));
          break;
        case 7:
          append(function.nodes, read_node(field.message()));
          break;
        case 9:
          append(function.opsets, read_opset(field.message()));
          break;
        case 10:
          function.domain = read_name(field);
          break;
        case 11:
          append(function.defaults, {read_field_text(field.message(), 1), field.message()});
          break;
        case 13:
          function.overload = read_name(field);
          break;
      }
    }
    return function;
  }

  // SparseTensorProto carries its name in the tensor of its values.
  static OnnxInitializer read_sparse(const WireMessage& message) {
    OnnxInitializer sparse{{}, message};
    WireField field;
    for (WireCursor cursor(message); cursor.next(field);)
      if (field.number() == 1) sparse.name = read_field_text(field.message(), 8);
    return sparse;
  }

  OnnxValueInfo read_value_info(const WireMessage& message) {
    OnnxValueInfo info;
    WireField field;
    for (WireCursor cursor(message); cursor.next(field);) {
      if (field.number() == 1) info.name = read_name(field);
      if (field.number() == 2) read_type(field.message(), info);
    }
    return info;
  }

  // TypeProto is a oneof: a tensor, or something that the engine has no values of.
  void read_type(const WireMessage& message, OnnxValueInfo& info) {
    WireField field;
    for (WireCursor cursor(message); cursor.next(field);) {
      switch (field.number()) {
        case 1:
          info.is_tensor = true;
          read_tensor_type(field.message(), info);
          break;
        case 4:  // sequence
        case 5:  // map
        case 7:  // opaque
        case 8:  // sparse tensor
        case 9:  // optional
          info.is_other = true;
          break;
      }
    }
  }

  void read_tensor_type(const WireMessage& message, OnnxValueInfo& info) {
    WireField field;
    for (WireCursor cursor(message); cursor.next(field);) {
      if (field.number() == 1) info.element_type = field.integer();
      if (field.number() == 2) {
        info.has_shape = true;
        read_shape(field.message(), info.dims);
      }
    }
  }

  void read_shape(const WireMessage& message, std::vector<OnnxDim>& dims) {
    WireField field;
    for (WireCursor cursor(message); cursor.next(field);)
      if (field.number() == 1) append(dims, read_dim(field.message()));
  }

  static OnnxDim read_dim(const WireMessage& message) {
    OnnxDim dim;
    WireField field;
    for (WireCursor cursor(message); cursor.next(field);) {
      if (field.number() == 1) dim = {field.integer(), {}};
      if (field.number() == 2) dim = {-1, read_name(field)};
    }
    return dim;
  }

  size_t items_ = 0;
};

}  // namespace

std::string_view read_name(const WireField& field) {
  if (field.bytes().size() > OnnxLimits::kMaxNameBytes)
    fail(ErrorCode::kModel, "[onnx] the name in field ", field.number(), " at byte ",
         field.offset(), " has ", field.bytes().size(), " bytes; the limit is ",
         OnnxLimits::kMaxNameBytes);
  return field.text();
}

OnnxModel read_model(std::span<const std::byte> bytes) {
  if (bytes.size() > OnnxLimits::kMaxModelBytes)
    fail(ErrorCode::kModel, "[onnx] the model has ", bytes.size(), " bytes; the limit is ",
         OnnxLimits::kMaxModelBytes);
  return ModelReader().read({bytes, 0, 0});
}

OnnxGraph read_graph(const WireMessage& message) { return ModelReader().read_graph(message); }

}  // namespace sanderling
