// Any bytes give a sketch or a kInput error. What was read is written as bytes that read back
// equal. The first byte chooses the kind.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <vector>

#include "core/error.h"
#include "drift/bytes.h"
#include "drift/class_histogram.h"
#include "drift/code_histogram.h"
#include "drift/confidence_histogram.h"
#include "drift/frozen_bins.h"
#include "drift/value_histogram.h"

namespace {

using Bytes = std::span<const uint8_t>;

template <typename Sketch>
void read(Bytes bytes) {
  Sketch sketch = Sketch::deserialize(bytes);
  const std::string again = sketch.serialize();
  if (!(Sketch::deserialize({reinterpret_cast<const uint8_t*>(again.data()), again.size()}) ==
        sketch)) {
    std::abort();
  }
  sketch.merge(Sketch(sketch));
}

constexpr size_t kHeaderBytes = 12;
constexpr size_t kChecksumBytes = 4;

void store(uint8_t* at, uint32_t value) {
  for (int i = 0; i < 4; ++i) at[i] = static_cast<uint8_t>(value >> (8 * i));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sanderling;
  if (size == 0) return 0;
  const Bytes bytes(data + 1, size - 1);
  try {
    switch (data[0] % 5) {
      case 0:
        read<CodeHistogram>(bytes);
        break;
      case 1:
        read<FrozenBins>(bytes);
        break;
      case 2:
        read<ClassHistogram>(bytes);
        break;
      case 3:
        read<ConfidenceHistogram>(bytes);
        break;
      default:
        read<ValueHistogram>(bytes);
    }
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kInput) return 0;
    std::fprintf(stderr, "wrong kind of error: %s\n", error.what());
    std::abort();
  }
  return 0;
}

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

// Seven of eight mutants get the length and checksum that belong to them and so reach the code
// behind these.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int seed) {
  size = LLVMFuzzerMutate(data, size, max_size);
  if (seed % 8 == 0 || size < 1 + kHeaderBytes + kChecksumBytes) return size;
  uint8_t* sketch = data + 1;
  const size_t body = size - 1 - kChecksumBytes;
  const auto kind = static_cast<uint8_t>(data[0] % 5 + 1);
  const uint8_t head[8] = {'S', 'D', 'R', 'F', 1, 0, kind, 0};
  std::copy(head, head + 8, sketch);
  store(sketch + 8, static_cast<uint32_t>(body - kHeaderBytes));
  store(sketch + body, sanderling::crc32({sketch, body}));
  return size;
}
