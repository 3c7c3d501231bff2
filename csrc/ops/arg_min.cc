#include "ops/arg_extremum.h"

namespace sanderling {
namespace {

SANDERLING_OPERATOR(arg_min)({.name = "ArgMin",
                              .since_opset = 7,
                              .infer = infer_arg_extremum,
                              .reference = reference_arg_extremum<false>,
                              .plan = plan_arg_extremum<false>});

}  // namespace
}  // namespace sanderling
