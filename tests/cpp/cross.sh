#!/usr/bin/env bash
# Replays what the Python suite wrote (SANDERLING_WRITE_CASES) on emulated 64-bit Arm, with the kernel tests. Installs Debian's
# cross compiler and qemu-user where it may; elsewhere says what it skips.
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
# A Cortex-A72 has neither dot products nor i8mm: an instruction of theirs in the baseline would trap.
for cpu in cortex-a72 cortex-a76 max; do
  echo "cross: $cpu"
  qemu-aarch64-static -cpu "$cpu" "$build/tests/cpp/kernels_test"
  qemu-aarch64-static -cpu "$cpu" "$build/tests/cpp/run_cases" "$cases"
done
