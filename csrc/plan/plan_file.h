// A compiled model as a file: its lowered graph and what its plans share, for one kernel table. It
// is this machine's own, a cache of what is made from the ONNX file, and no format to exchange: any
// doubt about it means that it is not there.
//
//   header (kHeaderBytes: magic, byte order, version, key, instruction set, float products, places)
//   elements of the tensors, each at a multiple of kAlignment and followed by kSlackBytes
//   fields of the graph and names of the tensors (plan/plan_fields.h)
//   64-bit checksum of all before it
//
// A reader uses the elements where they are mapped: processes that run one model share its pages.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>

#include "plan/program.h"

namespace sanderling {

// What the caller derives from all that a plan depends on; a file of another key is no plan.
using PlanKey = std::array<std::byte, 32>;
using WriteBytes = std::function<void(std::span<const std::byte>)>;

// Gives the whole file to `write`, in order. Throws what that throws.
void write_plan(const CompiledModel& model, const PlanKey& key, const WriteBytes& write);

// The model in these bytes, which start at a multiple of kAlignment and live as long as `owner`.
// nullptr if they are not what write_plan() of this version wrote for this key and these kernels.
// What a forger of the checksum writes is checked as far as memory is concerned: a graph that makes
// no sense throws Error when it is planned.
std::shared_ptr<const CompiledModel> read_plan(std::span<const std::byte> bytes,
                                               const std::shared_ptr<const void>& owner,
                                               const PlanKey& key, const KernelTable& kernels);

}  // namespace sanderling
