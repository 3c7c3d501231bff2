# Cross-compiles to 64-bit Arm with Debian's g++-aarch64-linux-gnu; tests run under qemu-user-static.
#   cmake --preset aarch64 && cmake --build --preset aarch64
# SANDERLING_QEMU_CPU chooses the processor: a Cortex-A72 has no dot product instructions, so that one used by mistake traps.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
# Static, so that the emulator needs no Arm libraries.
set(CMAKE_EXE_LINKER_FLAGS_INIT -static)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)

set(SANDERLING_QEMU_CPU
    cortex-a72
    CACHE STRING
    "Processor that qemu-aarch64-static emulates in tests"
)
set(CMAKE_CROSSCOMPILING_EMULATOR
    "qemu-aarch64-static;-cpu;${SANDERLING_QEMU_CPU}"
)
