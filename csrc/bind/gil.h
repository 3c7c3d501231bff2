#pragma once

#include <pybind11/pybind11.h>
#include <unistd.h>

namespace sanderling {

// Gives the GIL away while it lives. Other than pybind11's, it survives the end of the interpreter:
// CPython then unwinds a daemon thread that asks for the GIL, which would end in std::terminate,
// since a destructor asks. Such a thread waits for the end of the process instead; its frames hold
// Python objects that nobody may touch any more.
class WithoutGil {
 public:
  WithoutGil() : state_(PyEval_SaveThread()) {}
  ~WithoutGil() {
    try {
      PyEval_RestoreThread(state_);
    } catch (...) {
      for (;;) pause();
    }
  }
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;

 private:
  PyThreadState* state_;
};

}  // namespace sanderling
