#pragma once

#include <cstddef>
#include <cstdint>

namespace sanderling {

// Changes one field somewhere in the tree of messages that the protobuf bytes hold (removes,
// repeats, moves or copies it, edits its number, type, value or payload, or claims a length that is
// not there) and writes the enclosing lengths anew. Returns the new size, at most max_size. The
// same seed gives the same mutant.
size_t mutate_proto(uint8_t* data, size_t size, size_t max_size, uint32_t seed);

}  // namespace sanderling
