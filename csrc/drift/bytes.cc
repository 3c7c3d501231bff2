#include "drift/bytes.h"

#include <bit>
#include <cstring>

#include "core/error.h"

namespace sanderling {
namespace {

constexpr std::array<uint8_t, 4> kMagic = {'S', 'D', 'R', 'F'};
constexpr uint16_t kVersion = 1;
constexpr size_t kHeaderBytes = 12;
constexpr size_t kChecksumBytes = 4;

template <typename T>
T load(const uint8_t* at) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) value |= static_cast<T>(static_cast<T>(at[i]) << (8 * i));
  return value;
}

template <typename T>
void store(uint8_t* at, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) at[i] = static_cast<uint8_t>(value >> (8 * i));
}

constexpr std::array<uint32_t, 256> make_crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) ? 0xEDB88320u : 0u);
    table[i] = value;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kCrcTable = make_crc_table();

}  // namespace

std::string to_string(const ReferenceId& id) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const uint8_t byte : id) {
    text.push_back(kDigits[byte >> 4]);
    text.push_back(kDigits[byte & 15]);
  }
  return text;
}

uint32_t crc32(std::span<const uint8_t> bytes) {
  uint32_t value = 0xFFFFFFFFu;
  for (const uint8_t byte : bytes) value = (value >> 8) ^ kCrcTable[(value ^ byte) & 255];
  return ~value;
}

SketchWriter::SketchWriter(SketchKind kind) : bytes_(kHeaderBytes) {
  std::memcpy(bytes_.data(), kMagic.data(), kMagic.size());
  store<uint16_t>(bytes_.data() + 4, kVersion);
  store<uint16_t>(bytes_.data() + 6, static_cast<uint16_t>(kind));
}

void SketchWriter::put_float(float value) {
  std::array<uint8_t, 4> bytes;
  store<uint32_t>(bytes.data(), std::bit_cast<uint32_t>(value));
  put_bytes(bytes);
}

void SketchWriter::put_bytes(std::span<const uint8_t> bytes) {
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
}

void SketchWriter::put_count(uint64_t value) {
  for (; value >= 128; value >>= 7) put_byte(static_cast<uint8_t>(value | 128));
  put_byte(static_cast<uint8_t>(value));
}

std::string SketchWriter::finish() {
  store<uint32_t>(bytes_.data() + 8, static_cast<uint32_t>(bytes_.size() - kHeaderBytes));
  std::array<uint8_t, kChecksumBytes> checksum;
  store<uint32_t>(checksum.data(), crc32(bytes_));
  put_bytes(checksum);
  return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
}

SketchReader::SketchReader(std::span<const uint8_t> bytes, SketchKind kind, const char* what)
    : what_(what) {
  if (bytes.size() < kHeaderBytes + kChecksumBytes) {
    damaged(cat(bytes.size(), " bytes are fewer than the ", kHeaderBytes + kChecksumBytes,
                " of an empty one"));
  }
  if (std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0)
    damaged("they do not start with SDRF");
  const auto version = load<uint16_t>(bytes.data() + 4);
  if (version != kVersion)
    damaged(cat("version ", version, ", this release reads version ", kVersion));
  const auto found = load<uint16_t>(bytes.data() + 6);
  if (found != static_cast<uint16_t>(kind)) {
    damaged(cat("a sketch of kind ", found, ", kind ", static_cast<uint16_t>(kind), " is wanted"));
  }
  const auto payload = load<uint32_t>(bytes.data() + 8);
  if (payload != bytes.size() - kHeaderBytes - kChecksumBytes) {
    damaged(cat("the payload says ", payload, " bytes and has ",
                bytes.size() - kHeaderBytes - kChecksumBytes));
  }
  const size_t body = bytes.size() - kChecksumBytes;
  if (load<uint32_t>(bytes.data() + body) != crc32(bytes.first(body)))
    damaged("the checksum does not fit");
  left_ = bytes.subspan(kHeaderBytes, payload);
}

void SketchReader::damaged(const std::string& why) const {
  fail(ErrorCode::kInput, "[", what_, "] damaged bytes: ", why, ". Send the sketch again.");
}

uint8_t SketchReader::byte() {
  if (left_.empty()) damaged("the payload ends too early");
  const uint8_t value = left_.front();
  left_ = left_.subspan(1);
  return value;
}

float SketchReader::float_value() {
  std::array<uint8_t, 4> bytes;
  copy(bytes);
  return std::bit_cast<float>(load<uint32_t>(bytes.data()));
}

void SketchReader::copy(std::span<uint8_t> out) {
  if (left_.size() < out.size()) damaged("the payload ends too early");
  if (!out.empty()) std::memcpy(out.data(), left_.data(), out.size());
  left_ = left_.subspan(out.size());
}

uint64_t SketchReader::count() {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    const uint8_t next = byte();
    if (shift == 63 && next > 1) damaged("a counter exceeds 64 bits");
    value |= static_cast<uint64_t>(next & 127) << shift;
    if (next < 128) return value;
  }
  damaged("a counter exceeds 64 bits");
}

size_t SketchReader::size(size_t limit) {
  const uint64_t value = count();
  if (value > limit) damaged(cat("a size of ", value, ", at most ", limit, " is allowed"));
  if (value > left_.size()) damaged("the payload ends too early");
  return static_cast<size_t>(value);
}

void SketchReader::finish() {
  if (!left_.empty()) damaged(cat(left_.size(), " bytes too many"));
}

}  // namespace sanderling
