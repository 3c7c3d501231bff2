#pragma once

#include <string>

namespace sanderling {

// What the linker hashed this module to (-Wl,--build-id): another build with any other code has
// another. "" if it was linked without.
std::string build_id();

}  // namespace sanderling
