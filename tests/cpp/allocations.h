#pragma once

#include <cstddef>

namespace sanderling {

// How often this program has asked for memory so far, by new, malloc or one of its kin; all threads
// together.
size_t allocations();

}  // namespace sanderling
