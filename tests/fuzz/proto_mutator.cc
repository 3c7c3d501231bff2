#include "proto_mutator.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sanderling {
namespace {

// It shares no code with the reader under test, whose mistakes it would otherwise repeat.
struct Field {
  uint64_t tag = 0;
  std::string payload;  // the bytes behind the tag, of a length-delimited field behind the length
  uint64_t type() const { return tag & 7; }
};

void put_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

std::optional<uint64_t> take_varint(std::string_view& bytes) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(bytes.front());
    bytes.remove_prefix(1);
    value |= uint64_t{byte & 0x7Fu} << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

// Nothing unless all of the bytes are fields.
std::optional<std::vector<Field>> parse(std::string_view bytes) {
  std::vector<Field> fields;
  while (!bytes.empty()) {
    const auto tag = take_varint(bytes);
    if (!tag || (*tag >> 3) == 0) return std::nullopt;
    size_t length = 0;
    if ((*tag & 7) == 0) {
      const auto value = take_varint(bytes);
      if (!value) return std::nullopt;
      std::string payload;
      put_varint(payload, *value);
      fields.push_back({*tag, std::move(payload)});
      continue;
    } else if ((*tag & 7) == 1) {
      length = 8;
    } else if ((*tag & 7) == 5) {
      length = 4;
    } else if ((*tag & 7) == 2) {
      const auto stated = take_varint(bytes);
      if (!stated || *stated > bytes.size()) return std::nullopt;
      length = static_cast<size_t>(*stated);
    } else {
      return std::nullopt;
    }
    if (length > bytes.size()) return std::nullopt;
    fields.push_back({*tag, std::string(bytes.substr(0, length))});
    bytes.remove_prefix(length);
  }
  return fields;
}

std::string write(const std::vector<Field>& fields) {
  std::string out;
  for (const Field& field : fields) {
    put_varint(out, field.tag);
    if (field.type() == 2) put_varint(out, field.payload.size());
    out += field.payload;
  }
  return out;
}

class Mutator {
 public:
  explicit Mutator(uint32_t seed) : random_(seed) {}

  std::string mutate(std::string_view bytes) {
    auto fields = parse(bytes);
    if (!fields || fields->empty()) return mutate_text(std::string(bytes));
    const size_t i = below(fields->size());
    Field& field = (*fields)[i];
    if (field.type() == 2 && below(4) != 0) {
      field.payload = mutate(field.payload);
      return write(*fields);
    }
    switch (below(8)) {
      case 0:
        fields->erase(fields->begin() + static_cast<long>(i));
        break;
      case 1:
        fields->insert(fields->begin() + static_cast<long>(i), Field(field));
        break;
      case 2:
        std::swap(field, (*fields)[below(fields->size())]);
        break;
      case 3: {  // the payload of another field of the message: names meet, tensors change places
        const Field& other = (*fields)[below(fields->size())];
        if (other.type() == field.type()) field.payload = std::string(other.payload);
        break;
      }
      case 4:
        field.tag = (below(32) << 3) | field.type();
        break;
      case 5:
        return claim_length(*fields, i);
      default:
        change_value(field);
    }
    return write(*fields);
  }

 private:
  size_t below(size_t limit) { return static_cast<size_t>(random_() % limit); }

  uint64_t number() {
    static constexpr uint64_t kEdges[] = {
        0,          1,          2,          127,        128,        255,        256,   0x7FFFFFFF,
        0x80000000, 0xFFFFFFFF, 1ull << 32, 1ull << 40, 1ull << 62, 1ull << 63, ~0ull, ~1ull};
    return below(2) ? below(32) : kEdges[below(std::size(kEdges))];
  }

  void change_value(Field& field) {
    if (field.type() == 0) {
      field.payload.clear();
      put_varint(field.payload, number());
    } else {
      field.payload = mutate_text(std::move(field.payload));
    }
  }

  std::string mutate_text(std::string text) {
    const size_t at = below(text.size() + 1);
    switch (below(4)) {
      case 0:
        text.resize(at);
        break;
      case 1:
        text.insert(at, text.substr(at / 2, 16));
        break;
      case 2: {
        std::string varint;
        put_varint(varint, number());
        text.insert(at, varint);
        break;
      }
      default:
        if (at < text.size()) text[at] = static_cast<char>(text[at] ^ (1 << below(8)));
    }
    return text;
  }

  // Field i says that it is longer or shorter than it is.
  std::string claim_length(const std::vector<Field>& fields, size_t i) {
    std::string out = write({fields.begin(), fields.begin() + static_cast<long>(i)});
    put_varint(out, (fields[i].tag & ~uint64_t{7}) | 2);
    put_varint(out, below(2) ? fields[i].payload.size() + 1 + below(16) : number());
    out += fields[i].payload;
    return out + write({fields.begin() + static_cast<long>(i) + 1, fields.end()});
  }

  std::mt19937 random_;
};

}  // namespace

size_t mutate_proto(uint8_t* data, size_t size, size_t max_size, uint32_t seed) {
  std::string mutant = Mutator(seed).mutate({reinterpret_cast<const char*>(data), size});
  mutant.resize(std::min(mutant.size(), max_size));
  std::memcpy(data, mutant.data(), mutant.size());
  return mutant.size();
}

}  // namespace sanderling
