#include "bind/bind.h"

PYBIND11_MODULE(_core, m) {
  using namespace sanderling;
  m.doc() = "The C++ core of Sanderling. Private: use the names in `sanderling`.";
  register_errors();
  bind_drift(m);
  bind_input_check(m);
  bind_plan(m);
  bind_model(m);  // names Plan
  bind_quantize(m);
  bind_registry(m);
  bind_session(m);
  bind_batcher(m);  // names Session
}
