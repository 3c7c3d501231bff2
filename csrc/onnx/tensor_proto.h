// TensorProto and its element types.
#pragma once

#include <string_view>

#include "core/tensor.h"
#include "onnx/external_data.h"
#include "onnx/wire.h"

namespace sanderling {

// The engine's type for a TensorProto.DataType. One that the engine lacks (float16, string, int4,
// ...) is kUnsupported and names the tensor (`what`, such as "initializer 'w'") and the type; one
// that ONNX lacks is kModel.
DType read_dtype(int64_t data_type, std::string_view what);

// Decodes a tensor in whichever storage form it has. Throws kModel if its elements do not match its
// dimensions, its type or its storage form, kUnsupported for types that the engine lacks, and what
// ExternalData throws.
Tensor read_tensor(const WireMessage& message, std::string_view what,
                   const ExternalData& external = {});

}  // namespace sanderling
