// Reads NumPy's .npy files, versions 1 and 2: little-endian, C order, of the engine's element
// types.
#pragma once

#include <filesystem>

#include "core/tensor.h"

namespace sanderling {

// Throws kInput if the file is no such array.
Tensor read_npy(const std::filesystem::path& path);

}  // namespace sanderling
