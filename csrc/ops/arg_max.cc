#include "ops/arg_extremum.h"

namespace sanderling {
namespace {

SANDERLING_OPERATOR(arg_max)({.name = "ArgMax",
                              .since_opset = 7,
                              .infer = infer_arg_extremum,
                              .reference = reference_arg_extremum<true>,
                              .plan = plan_arg_extremum<true>});

}  // namespace
}  // namespace sanderling
