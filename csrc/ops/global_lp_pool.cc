#include "ops/norm_pooling.h"

namespace sanderling {
namespace {

SANDERLING_OPERATOR(global_lp_pool)({.name = "GlobalLpPool",
                                     .since_opset = 2,
                                     .infer = infer_norm_pool,
                                     .reference = reference_norm_pool});

}  // namespace
}  // namespace sanderling
