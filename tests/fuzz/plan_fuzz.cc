// Any bytes give a model or none. One that is read is written as bytes that read back the same, and
// planning it gives a plan or an Error. Files are those of the key of zeros and the scalar kernels.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <vector>

#include "kernels/table.h"
#include "plan/checksum.h"
#include "plan/plan_file.h"

namespace sanderling {
namespace {

// As plan/plan_file.cc has them.
constexpr size_t kHeaderBytes = 128, kFieldsAt = 80, kFieldsBytes = 88, kFileBytes = 96;
constexpr size_t kChecksumBytes = 8;

// A block of exactly this size at an address that plans may have.
struct Block {
  explicit Block(std::span<const uint8_t> bytes)
      : data(static_cast<std::byte*>(::operator new[](bytes.size(), std::align_val_t{kAlignment}))),
        size(bytes.size()) {
    std::copy_n(reinterpret_cast<const std::byte*>(bytes.data()), size, data);
  }
  ~Block() { ::operator delete[](data, std::align_val_t{kAlignment}); }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  std::byte* data;
  size_t size;
};

std::shared_ptr<const CompiledModel> read(std::span<const uint8_t> bytes) {
  const auto block = std::make_shared<const Block>(bytes);
  return read_plan({block->data, block->size}, block, PlanKey{}, table_named("scalar"));
}

std::vector<uint8_t> written(const CompiledModel& model) {
  std::vector<uint8_t> bytes;
  write_plan(model, PlanKey{}, [&](std::span<const std::byte> part) {
    const auto* const from = reinterpret_cast<const uint8_t*>(part.data());
    bytes.insert(bytes.end(), from, from + part.size());
  });
  return bytes;
}

// For rows that are small, as a caller's are.
void plan(const CompiledModel& model) {
  try {
    std::vector<TensorType> types;
    for (const GraphInput& input : model.graph().inputs) {
      std::vector<int64_t> dims = input.dims;
      std::replace(dims.begin(), dims.end(), int64_t{-1}, int64_t{2});
      types.push_back({input.dtype, Shape(dims)});
    }
    model.plan(types, {.threads = 1});
  } catch (const Error&) {
  }
}

uint64_t load(const uint8_t* at) {
  uint64_t value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}
void store(uint8_t* at, uint64_t value) { std::memcpy(at, &value, sizeof(value)); }

// The checksum that belongs to a file of this size.
void seal(uint8_t* data, size_t size) {
  store(data + kFileBytes, size);
  Checksum checksum;
  checksum.add(std::as_bytes(std::span(data, size - kChecksumBytes)));
  store(data + size - kChecksumBytes, checksum.value());
}

}  // namespace
}  // namespace sanderling

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sanderling;
  const auto model = read({data, size});
  if (!model) return 0;
  const std::vector<uint8_t> again = written(*model);
  const auto reread = read(again);
  if (!reread || written(*reread) != again) std::abort();
  plan(*model);
  return 0;
}

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

// Most mutants change the fields alone and get the lengths and the checksum that belong to them,
// and so reach the code behind these; some change elements or places too, and some anything.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int seed) {
  using namespace sanderling;
  const size_t fields_at = size < kHeaderBytes ? 0 : load(data + kFieldsAt);
  const size_t fields_bytes = size < kHeaderBytes ? 0 : load(data + kFieldsBytes);
  const bool is_plan = fields_at >= kHeaderBytes && fields_at % kAlignment == 0 &&
                       fields_at < size && fields_bytes <= size - fields_at;
  const size_t room = max_size - kChecksumBytes - kAlignment;
  if (seed % 16 == 0 || !is_plan || fields_at >= room)
    return LLVMFuzzerMutate(data, size, max_size);
  if (seed % 16 == 1) {
    if ((size - kChecksumBytes) % kAlignment != 0) return size;
    data[kFieldsAt + seed / 16 % (size - kFieldsAt)] ^=
        static_cast<uint8_t>(1u << (seed >> 28) % 8);
    seal(data, size);
    return size;
  }
  const size_t fields = LLVMFuzzerMutate(data + fields_at, fields_bytes, room - fields_at);
  const size_t body = (fields_at + fields + kAlignment - 1) / kAlignment * kAlignment;
  std::fill(data + fields_at + fields, data + body, uint8_t{0});
  store(data + kFieldsBytes, fields);
  seal(data, body + kChecksumBytes);
  return body + kChecksumBytes;
}
