#include "plan/plan_file.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "kernels/table.h"
#include "plan/check_graph.h"
#include "plan/checksum.h"
#include "plan/plan_fields.h"

namespace sanderling {
namespace {

// To be raised when a field of plan_fields.h, a graph's meaning or a packing changes in a way that
// the build's identity, which is part of the caller's key, would not tell.
constexpr uint32_t kVersion = 1;
constexpr size_t kHeaderBytes = 128;

struct Header {
  std::array<char, 8> magic{'S', 'D', 'R', 'L', 'P', 'L', 'A', 'N'};
  uint32_t byte_order = 0x01020304;
  uint32_t version = kVersion;
  PlanKey key{};
  std::array<char, 32> isa{};
  uint64_t fields_at = 0, fields_bytes = 0;
  uint64_t file_bytes = 0;
  FloatProducts float_products{};
  std::array<std::byte, 23> zeros{};
};
static_assert(sizeof(Header) == kHeaderBytes && kHeaderBytes % kAlignment == 0);
static_assert(std::is_trivially_copyable_v<Header> && kAlignment % Checksum::kBlockBytes == 0);

size_t padded(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }
size_t with_slack(size_t bytes) { return padded(bytes + kSlackBytes); }

Header header_for(const PlanKey& key, const KernelTable& kernels) {
  Header header;
  header.key = key;
  const std::string_view isa = kernels.isa;
  SANDERLING_ASSERT(isa.size() < header.isa.size(), isa);
  std::copy(isa.begin(), isa.end(), header.isa.begin());
  header.float_products = kernels.float_products;
  return header;
}

// Gives tensors their places; those that are the same bytes share one.
class Layout {
 public:
  size_t operator()(const Tensor& tensor) {
    const size_t bytes = tensor.type().bytes();
    const auto [found, added] = places_.try_emplace({tensor.raw(), bytes}, end_);
    if (added) {
      tensors_.push_back(tensor);
      end_ += with_slack(bytes);
    }
    return found->second;
  }
  const std::vector<Tensor>& tensors() const { return tensors_; }
  size_t end() const { return end_; }

 private:
  std::map<std::pair<const void*, size_t>, size_t> places_;  // by address and size
  std::vector<Tensor> tensors_;
  size_t end_ = kHeaderBytes;
};

void write_tensors(FieldWriter<Layout>& fields, const CompiledModel& model) {
  std::map<std::string, Tensor> tensors;
  for (const auto& [key, tensor] : model.tensors()) tensors.emplace(key, *tensor);
  fields(tensors);
  for (const auto& subgraph : model.subgraphs()) write_tensors(fields, *subgraph);
}

template <typename Reader>
void read_tensors(Reader& fields, const CompiledModel& model) {
  std::map<std::string, Tensor> tensors;
  fields(tensors);
  for (const auto& [key, tensor] : tensors) model.keep_tensor(key, tensor);
  for (const auto& subgraph : model.subgraphs()) read_tensors(fields, *subgraph);
}

// Writes whole blocks and sums them up.
class Blocks {
 public:
  explicit Blocks(const WriteBytes& write) : write_(write) {}

  void put(std::span<const std::byte> bytes, size_t size) {
    const size_t whole = bytes.size() / Checksum::kBlockBytes * Checksum::kBlockBytes;
    put_whole(bytes.first(whole));
    std::vector<std::byte> rest(size - whole);
    std::copy(bytes.begin() + static_cast<ptrdiff_t>(whole), bytes.end(), rest.begin());
    put_whole(rest);
  }
  void finish() {
    const uint64_t sum = checksum_.value();
    write_(std::as_bytes(std::span(&sum, 1)));
  }

 private:
  void put_whole(std::span<const std::byte> bytes) {
    if (bytes.empty()) return;
    checksum_.add(bytes);
    write_(bytes);
  }

  const WriteBytes& write_;
  Checksum checksum_;
};

// The header if it is ours and the bytes are whole.
std::optional<Header> checked_header(std::span<const std::byte> bytes, const PlanKey& key,
                                     const KernelTable& kernels) {
  uint64_t sum;
  if (bytes.size() < kHeaderBytes + sizeof(sum)) return std::nullopt;
  Header header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  Header expected = header_for(key, kernels);
  expected.fields_at = header.fields_at;
  expected.fields_bytes = header.fields_bytes;
  expected.file_bytes = bytes.size();
  if (std::memcmp(&header, &expected, sizeof(header)) != 0) return std::nullopt;
  const size_t body = bytes.size() - sizeof(sum);
  if (body % kAlignment != 0) return std::nullopt;
  if (header.fields_at < kHeaderBytes || header.fields_at > body ||
      header.fields_at % kAlignment != 0 || header.fields_bytes > body - header.fields_at)
    return std::nullopt;
  Checksum checksum;
  checksum.add(bytes.first(body));
  std::memcpy(&sum, bytes.data() + body, sizeof(sum));
  if (sum != checksum.value()) return std::nullopt;
  return header;
}

// Finds the elements of tensors between the header and the fields.
class Elements {
 public:
  Elements(std::span<const std::byte> region, const std::shared_ptr<const void>& owner)
      : region_(region), owner_(owner) {}

  Tensor operator()(TensorType type, uint64_t place) const {
    const size_t bytes = type.bytes();
    if (place < kHeaderBytes || place % kAlignment != 0 || place > region_.size() ||
        with_slack(bytes) > region_.size() - place)
      fail(ErrorCode::kModel, "[plan] damaged");
    const std::byte* const data = region_.data() + place;
    // Other bytes than 0 and 1 are no bool at all to a compiler.
    if (type.dtype == DType::kBool &&
        std::any_of(data, data + bytes, [](std::byte b) { return b > std::byte{1}; }))
      fail(ErrorCode::kModel, "[plan] damaged");
    return Tensor::borrowed(std::move(type), data, owner_);
  }

 private:
  std::span<const std::byte> region_;  // from the start of the file
  const std::shared_ptr<const void>& owner_;
};

}  // namespace

void write_plan(const CompiledModel& model, const PlanKey& key, const WriteBytes& write) {
  SANDERLING_ASSERT(!model.reference(), "a plan of reference functions");
  Layout layout;
  FieldWriter<Layout> fields(layout);
  fields(model.graph());
  write_tensors(fields, model);

  Header header = header_for(key, model.kernels());
  header.fields_at = layout.end();
  header.fields_bytes = fields.bytes().size();
  const size_t body = layout.end() + padded(fields.bytes().size());
  header.file_bytes = body + sizeof(uint64_t);

  Blocks blocks(write);
  blocks.put(std::as_bytes(std::span(&header, 1)), kHeaderBytes);
  for (const Tensor& tensor : layout.tensors()) {
    const size_t bytes = tensor.type().bytes();
    blocks.put({static_cast<const std::byte*>(tensor.raw()), bytes}, with_slack(bytes));
  }
  blocks.put(fields.bytes(), padded(fields.bytes().size()));
  blocks.finish();
}

std::shared_ptr<const CompiledModel> read_plan(std::span<const std::byte> bytes,
                                               const std::shared_ptr<const void>& owner,
                                               const PlanKey& key, const KernelTable& kernels) {
  SANDERLING_ASSERT(reinterpret_cast<uintptr_t>(bytes.data()) % kAlignment == 0, bytes.data());
  const std::optional<Header> header = checked_header(bytes, key, kernels);
  if (!header) return nullptr;
  try {
    const Elements elements(bytes.first(header->fields_at), owner);
    FieldReader<const Elements> fields(bytes.subspan(header->fields_at, header->fields_bytes),
                                       elements);
    Graph graph;
    fields(graph);
    check_graph(graph);
    auto model = std::make_shared<const CompiledModel>(std::move(graph), kernels);
    read_tensors(fields, *model);
    return fields.done() ? model : nullptr;
  } catch (const Error&) {
    return nullptr;
  }
}

}  // namespace sanderling
