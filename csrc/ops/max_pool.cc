#include "ops/pooling.h"

namespace sanderling {
namespace {

SANDERLING_OPERATOR(max_pool)({.name = "MaxPool",
                               .since_opset = 1,
                               .max_outputs = 2,
                               .infer = infer_maximum,
                               .reference = reference_maximum,
                               .plan = plan_maximum});

}  // namespace
}  // namespace sanderling
