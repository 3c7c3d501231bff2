// The fields of a graph in the order in which a plan's file has them: said once, for the writer and
// for the reader. Numbers are as this machine has them, texts and lists follow their 64-bit count.
#pragma once

#include <array>
#include <concepts>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "core/error.h"
#include "graph/graph.h"

namespace sanderling {

template <typename T, typename U>
concept Is = std::same_as<std::remove_const_t<T>, U>;
template <typename T>
concept Plain = std::is_arithmetic_v<T> || std::is_enum_v<T>;

template <typename Io, Is<Quantization> T>
void fields(Io& io, T& x) {
  io(x.scale, x.zero_point);
}
template <typename Io, Is<Value> T>
void fields(Io& io, T& x) {
  io(x.name, x.constant, x.quantization, x.rank);
}
template <typename Io, Is<Subgraph> T>
void fields(Io& io, T& x) {
  io(x.attribute, x.graph, x.captures);
}
template <typename Io, Is<Node> T>
void fields(Io& io, T& x) {
  io(x.op, x.name, x.inputs, x.outputs, x.attributes, x.opset, x.subgraphs, x.formal_inputs);
}
template <typename Io, Is<GraphInput> T>
void fields(Io& io, T& x) {
  io(x.value, x.dtype, x.dims, x.symbols);
}
template <typename Io, Is<GraphOutput> T>
void fields(Io& io, T& x) {
  io(x.value, x.name, x.dtype, x.dims, x.symbols);
}
template <typename Io, Is<ModelInfo> T>
void fields(Io& io, T& x) {
  io(x.producer_name, x.producer_version, x.ir_version, x.opset, x.metadata);
}
template <typename Io, Is<Graph> T>
void fields(Io& io, T& x) {
  io(x.name, x.info, x.values, x.nodes, x.inputs, x.outputs);
}

// Appends fields to bytes. `place` says where in the file a tensor's elements are.
template <typename Place>
class FieldWriter {
 public:
  explicit FieldWriter(Place& place) : place_(place) {}

  template <typename... T>
  void operator()(const T&... fields) {
    (put(fields), ...);
  }
  const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  void put_bytes(const void* data, size_t size) {
    const auto* const from = static_cast<const std::byte*>(data);
    bytes_.insert(bytes_.end(), from, from + size);
  }
  void put_count(size_t count) { put(static_cast<uint64_t>(count)); }
  template <Plain T>
  void put(const T& x) {
    put_bytes(&x, sizeof(x));
  }
  void put(const std::string& x) {
    put_count(x.size());
    put_bytes(x.data(), x.size());
  }
  template <typename T>
  void put(const std::vector<T>& x) {
    put_count(x.size());
    if constexpr (Plain<T>)
      put_bytes(x.data(), x.size() * sizeof(T));
    else
      for (const T& element : x) put(element);
  }
  template <typename T>
  void put(const std::optional<T>& x) {
    put(static_cast<uint8_t>(x.has_value()));
    if (x) put(*x);
  }
  template <typename T>
  void put(const std::map<std::string, T>& x) {
    put_count(x.size());
    for (const auto& [key, value] : x) (*this)(key, value);
  }
  void put(const Attribute& x) {
    put(static_cast<uint8_t>(x.index()));
    std::visit([&](const auto& value) { put(value); }, x);
  }
  void put(const Attributes& x) { put(x.all()); }
  void put(const Tensor& x) {
    (*this)(x.dtype(), x.shape().dims(), static_cast<uint64_t>(place_(x)));
  }
  void put(const std::shared_ptr<const Graph>& x) { put(*x); }
  template <typename T>
    requires std::is_class_v<T>
  void put(const T& x) {
    fields(*this, x);
  }

  Place& place_;
  std::vector<std::byte> bytes_;
};

// Reads what FieldWriter wrote, and throws kModel on bytes that say something else: nothing is read
// outside them, and lists grow with the bytes that are there, whatever their counts say.
// `find(type, place)` gives a tensor.
template <typename Find>
class FieldReader {
 public:
  // Deeper than any model that the importer reads (WireReader::kMaxDepth).
  static constexpr int kMaxDepth = 100;

  FieldReader(std::span<const std::byte> bytes, Find& find) : left_(bytes), find_(find) {}

  template <typename... T>
  void operator()(T&... fields) {
    (get(fields), ...);
  }
  bool done() const { return left_.empty(); }
  [[noreturn]] static void damaged() { fail(ErrorCode::kModel, "[plan] damaged"); }

 private:
  std::span<const std::byte> take(uint64_t size) {
    if (size > left_.size()) damaged();
    const auto taken = left_.first(static_cast<size_t>(size));
    left_ = left_.subspan(static_cast<size_t>(size));
    return taken;
  }
  uint64_t count() {
    uint64_t value;
    get(value);
    return value;
  }
  template <Plain T>
  void get(T& x) {
    std::memcpy(&x, take(sizeof(x)).data(), sizeof(x));
  }
  void get(DType& x) {
    uint8_t number;
    get(number);
    if (number >= kDTypes) damaged();
    x = static_cast<DType>(number);
  }
  void get(std::string& x) {
    const auto text = take(count());
    x.assign(reinterpret_cast<const char*>(text.data()), text.size());
  }
  template <typename T>
  void get(std::vector<T>& x) {
    const uint64_t size = count();
    x.clear();
    if constexpr (Plain<T>) {
      if (size > left_.size() / sizeof(T)) damaged();
      x.resize(static_cast<size_t>(size));
      if (size != 0) std::memcpy(x.data(), take(size * sizeof(T)).data(), size * sizeof(T));
    } else {
      for (uint64_t i = 0; i < size; ++i) get(x.emplace_back());
    }
  }
  template <typename T>
  void get(std::optional<T>& x) {
    uint8_t there;
    get(there);
    if (there > 1) damaged();
    x.reset();
    if (there) get(x.emplace());
  }
  template <typename T>
  void get(std::map<std::string, T>& x) {
    const uint64_t size = count();
    x.clear();
    for (uint64_t i = 0; i < size; ++i) {
      std::string key;
      get(key);
      const auto [place, added] = x.try_emplace(std::move(key));
      if (!added) damaged();
      get(place->second);
    }
  }
  template <typename T>
  Attribute attribute() {
    T value{};
    get(value);
    return value;
  }
  void get(Attribute& x) {
    uint8_t index;
    get(index);
    using Read = Attribute (FieldReader::*)();
    constexpr Read kReads[] = {&FieldReader::attribute<int64_t>,
                               &FieldReader::attribute<float>,
                               &FieldReader::attribute<std::string>,
                               &FieldReader::attribute<std::vector<int64_t>>,
                               &FieldReader::attribute<std::vector<float>>,
                               &FieldReader::attribute<std::vector<std::string>>,
                               &FieldReader::attribute<Tensor>};
    static_assert(std::size(kReads) == std::variant_size_v<Attribute>);
    if (index >= std::size(kReads)) damaged();
    x = (this->*kReads[index])();
    if (x.index() != index) damaged();
  }
  void get(Attributes& x) {
    std::map<std::string, Attribute> all;
    get(all);
    for (auto& [name, value] : all) x.set(name, std::move(value));
  }
  void get(Tensor& x) {
    DType dtype;
    std::vector<int64_t> dims;
    uint64_t place;
    (*this)(dtype, dims, place);
    x = find_(TensorType{dtype, Shape(std::move(dims))}, place);
  }
  void get(std::shared_ptr<const Graph>& x) {
    if (++depth_ > kMaxDepth) damaged();
    auto graph = std::make_shared<Graph>();
    get(*graph);
    x = std::move(graph);
    --depth_;
  }
  template <typename T>
    requires std::is_class_v<T>
  void get(T& x) {
    fields(*this, x);
  }

  std::span<const std::byte> left_;
  Find& find_;
  int depth_ = 0;
};

}  // namespace sanderling
