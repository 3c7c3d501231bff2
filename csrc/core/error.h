// The one exception of the C++ core. bind/ maps its code to a Python class
// (python/sanderling/errors.py has the table).
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace sanderling {

enum class ErrorCode {
  kModel,        // the model file is damaged, inconsistent or breaks a limit
  kInput,        // a caller's array, name, shape, dtype or setting is wrong
  kUnsupported,  // valid, but this build, host or runtime cannot do it
  kInternal,     // our own bug
  kDeadline,     // a run did not end within its time
  kCancelled,    // somebody stopped the run
};

class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

// Joins its arguments as operator<< prints them (GCC 12 has no std::format).
template <typename... Parts>
std::string cat(const Parts&... parts) {
  std::ostringstream out;
  static_cast<void>((out << ... << parts));  // no parts: GCC warns of a statement without effect
  return out.str();
}

// Messages read "[op] what is wrong, both values, what to do".
template <typename... Parts>
[[noreturn]] void fail(ErrorCode code, const Parts&... parts) {
  throw Error(code, cat(parts...));
}

// States what must hold unless we have a bug; never use it on user input, files or the wire.
#define SANDERLING_ASSERT(condition, ...)                                                         \
  do {                                                                                            \
    if (!(condition))                                                                             \
      ::sanderling::fail(::sanderling::ErrorCode::kInternal, "internal error at ", __FILE__, ":", \
                         __LINE__, ": ", #condition, " ", __VA_ARGS__);                           \
  } while (false)

}  // namespace sanderling
