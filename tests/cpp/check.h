// All there is of a test framework: CHECK counts and prints, run() names what it ran, finish() sums
// up.
#pragma once

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <exception>
#include <string>

#include "core/error.h"

namespace sanderling::test {

struct Tally {
  int passed = 0, failed = 0, skipped = 0;
  int errors = 0;  // in the test that runs now
  std::string name;
};
inline Tally tally;

inline void report(const char* file, int line, const char* condition, const std::string& detail) {
  if (++tally.errors > 5) return;  // the first ones tell enough
  printf("%s:%d: in %s: %s is false. %s\n", file, line, tally.name.c_str(), condition,
         detail.c_str());
}

#define CHECK(condition, ...)                                                                     \
  do {                                                                                            \
    if (!(condition)) {                                                                           \
      ::sanderling::test::report(__FILE__, __LINE__, #condition, ::sanderling::cat(__VA_ARGS__)); \
    }                                                                                             \
  } while (false)

// Says which test touched a guard page before the program dies of it.
inline void name_crashes() {
  const auto handler = [](int number) {
    const char text[] = "crashed (touched memory that it must not?) in ";
    if (write(STDOUT_FILENO, text, sizeof(text) - 1) < 0) _exit(3);
    if (write(STDOUT_FILENO, tally.name.c_str(), tally.name.size()) < 0) _exit(3);
    if (write(STDOUT_FILENO, "\n", 1) < 0) _exit(3);
    signal(number, SIG_DFL);
    raise(number);
  };
  for (const int number : {SIGSEGV, SIGBUS, SIGILL, SIGFPE}) signal(number, handler);
}

template <typename Body>
void run(const std::string& name, const Body& body) {
  tally.name = name;
  tally.errors = 0;
  fflush(stdout);
  try {
    body();
  } catch (const std::exception& error) {
    report(__FILE__, __LINE__, "no exception", error.what());
  }
  ++(tally.errors == 0 ? tally.passed : tally.failed);
  if (tally.errors > 0) printf("FAILED %s: %d checks\n", name.c_str(), tally.errors);
}

inline void skip(const std::string& name, int tests, const std::string& reason) {
  tally.skipped += tests;
  printf("skipped %s: %s\n", name.c_str(), reason.c_str());
}

// The exit code of the program.
inline int finish() {
  printf("%d passed, %d failed, %d skipped\n", tally.passed, tally.failed, tally.skipped);
  return tally.failed == 0 && tally.passed > 0 ? 0 : 1;
}

}  // namespace sanderling::test
