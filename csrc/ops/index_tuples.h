// What GatherND and ScatterND share: the last axis of the indices holds tuples, each of which names
// an element or, where it is short of the data's rank, a slice of the data.
#pragma once

#include "ops/index_data.h"

namespace sanderling {

struct IndexTuples {
  int64_t batch_dims;
  int64_t size;                  // indices per tuple
  int64_t slice;                 // elements that a tuple names
  int64_t batches;               // each with its own part of the data
  int64_t per_batch;             // tuples
  int64_t batch_stride;          // elements of the data per batch
  std::vector<int64_t> strides;  // in the data, per index of a tuple
  IndexRanges ranges;

  // Checks the shapes of the data (input 0) and the indices (input 1), and indices that are known.
  IndexTuples(const InferContext& context, int64_t batch_axes)
      : batch_dims(batch_axes), ranges(context, 1, extents(context, batch_axes)) {
    const Shape& data = context.input(0).shape;
    const Shape& indices = context.input(1).shape;
    size = indices[indices.rank() - 1];
    slice = data.elements(batch_dims + size, data.rank());
    batches = data.elements(0, batch_dims);
    per_batch = indices.elements(batch_dims, indices.rank() - 1);
    batch_stride = data.elements(batch_dims, data.rank());
    const std::vector<int64_t> all = data.strides();
    strides.assign(all.begin() + batch_dims, all.begin() + batch_dims + size);
    ranges.check_known(context);
  }

  // Where the slice of a tuple begins, once the indices are checked.
  template <typename T>
  int64_t offset(const T* indices, int64_t tuple) const {
    int64_t offset = batches == 1 ? 0 : tuple / per_batch * batch_stride;
    for (int64_t i = 0; i < size; ++i) {
      const auto s = static_cast<size_t>(i);
      offset += from_start(indices[tuple * size + i], ranges.extents[s]) * strides[s];
    }
    return offset;
  }

 private:
  static std::vector<int64_t> extents(const InferContext& context, int64_t batch_dims) {
    const Shape& data = context.input(0).shape;
    const Shape& indices = context.input(1).shape;
    require_index_dtype(context, 1);
    if (data.rank() == 0 || indices.rank() == 0)
      context.error("data has shape ", data.to_string(), " and indices have shape ",
                    indices.to_string(), "; neither may be a scalar");
    if (batch_dims < 0 || batch_dims >= std::min(data.rank(), indices.rank()))
      context.error("batch_dims is ", batch_dims, ", expected 0 to ",
                    std::min(data.rank(), indices.rank()) - 1);
    for (int64_t i = 0; i < batch_dims; ++i)
      if (data[i] != indices[i])
        context.error("data has shape ", data.to_string(), " and indices have shape ",
                      indices.to_string(), "; their first ", batch_dims, " extents must be equal");
    const int64_t size = indices[indices.rank() - 1];
    if (size > data.rank() - batch_dims)
      context.error("indices have shape ", indices.to_string(), ": tuples of ", size,
                    " where data of shape ", data.to_string(), " has ", data.rank() - batch_dims,
                    " axes to index");
    return {data.dims().begin() + batch_dims, data.dims().begin() + batch_dims + size};
  }
};

}  // namespace sanderling
