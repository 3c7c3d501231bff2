#pragma once

#include <pybind11/pybind11.h>
#include <unistd.h>

namespace sanderling {

// Other than pybind11's, these survive the end of the interpreter: CPython then unwinds a daemon
// thread that asks for the GIL, which ends in std::terminate where a destructor asks. Such a thread
// waits for the end of the process instead; its frames hold Python objects that nobody may touch
// any more.

// Gives the GIL away while it lives.
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

// Has the GIL while it lives, whether or not the thread had it before.
class WithGil {
 public:
  WithGil() {
    try {
      state_ = PyGILState_Ensure();
    } catch (...) {
      for (;;) pause();
    }
    thread_ = PyThreadState_Get();
  }
  ~WithGil() {
    // Unwound from Python code that asked for the GIL after the end: it has not got it.
    if (pybind11::detail::get_thread_state_unchecked() != thread_)
      for (;;) pause();
    PyGILState_Release(state_);
  }
  WithGil(const WithGil&) = delete;
  WithGil& operator=(const WithGil&) = delete;

 private:
  PyGILState_STATE state_;
  PyThreadState* thread_;
};

}  // namespace sanderling
