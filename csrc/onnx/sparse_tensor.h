// SparseTensorProto.
#pragma once

#include <string_view>

#include "core/tensor.h"
#include "onnx/external_data.h"
#include "onnx/wire.h"

namespace sanderling {

// Decodes a sparse tensor into a dense one: zero where the file names no element. Throws what
// read_tensor throws, and kModel for places outside the tensor or named twice.
Tensor read_sparse_tensor(const WireMessage& message, std::string_view what,
                          const ExternalData& external = {});

}  // namespace sanderling
