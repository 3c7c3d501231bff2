#!/usr/bin/env bash
# Replays what the Python suite wrote (SANDERLING_WRITE_CASES) on emulated 64-bit Arm, with the C++ tests of the kernels, of
# both readers and of the sketches (char is unsigned there). Installs Debian's cross compiler and qemu-user where it may;
# elsewhere says what it skips.
#   usage: cross.sh CASES_FOLDER
set -euo pipefail
cases=$1 build=build/aarch64

missing() { ! command -v aarch64-linux-gnu-g++ >/dev/null || ! command -v qemu-aarch64-static >/dev/null; }
if missing && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "cross: installing g++-aarch64-linux-gnu and qemu-user-static with apt"
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq g++-aarch64-linux-gnu qemu-user-static >/dev/null || true
fi
if missing; then
  echo "SKIPPED: Arm under qemu: needs aarch64-linux-gnu-g++ and qemu-aarch64-static (Debian: g++-aarch64-linux-gnu, qemu-user-static)"
  exit 0
fi
[ -s "$cases/cases.txt" ] || { echo "cross: no cases in $cases"; exit 1; }

cmake --preset aarch64 >/dev/null
cmake --build --preset aarch64

# Each unit on the first processor that has it: an instruction of a later one, in the unit or in what is compiled for all,
# would trap. A Cortex-A72 has neither dot products nor i8mm, a Cortex-A76 no i8mm. run_cases fails if the processor is not
# seen to run the unit; kernels_test runs all that it is seen to run.
export tests=$build/tests/cpp cases
emulate() {
  if output=$(qemu-aarch64-static -cpu "$@" 2>&1); then
    printf 'cross: %s %s: %s\n' "$1" "${2##*/}" "$output"
  else
    printf 'cross: FAILED: %s\n%s\n' "$*" "$output"
    return 1
  fi
}
export -f emulate
xargs -d '\n' -P "$(nproc)" -I '{}' bash -c 'emulate {}' <<'EOF'
cortex-a72 "$tests/run_cases" "$cases" reference
cortex-a72 "$tests/run_cases" "$cases" scalar
cortex-a72 "$tests/run_cases" "$cases" neon
cortex-a76 "$tests/run_cases" "$cases" neon_dotprod
max "$tests/run_cases" "$cases" neon_i8mm
cortex-a72 "$tests/kernels_test"
cortex-a76 "$tests/kernels_test"
max "$tests/kernels_test"
cortex-a72 "$tests/onnx_test"
cortex-a72 "$tests/plan_file_test"
cortex-a72 "$tests/drift_test"
EOF
