"""The engine on x86-64 CPUs without AVX, which qemu-user stands in for: what they lack is really not there.

A CPU with AVX2 only is no case: qemu's masked AVX loads (7.2, in Debian 12) touch the lanes that are masked off.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
QEMU = shutil.which("qemu-x86_64-static") or shutil.which("qemu-x86_64")
BUILDS = [Path(os.environ["SANDERLING_BUILD_DIR"])] if "SANDERLING_BUILD_DIR" in os.environ else []
BUILDS += [ROOT / "build" / name for name in ("python", "release", "dev")]


@pytest.mark.slow
@pytest.mark.skipif(QEMU is None, reason="qemu-x86_64 was not found (Debian: qemu-user-static)")
@pytest.mark.parametrize(
    ("cpu", "runs", "lacks"),
    [("Denverton", ["scalar", "sse41"], ["avx2", "avx_vnni"]), ("core2duo", ["scalar"], ["sse41", "avx2"])],
)
def test_kernels_and_dispatch(cpu: str, runs: list[str], lacks: list[str]) -> None:
    program = next((p for build in BUILDS if (p := build / "tests/cpp/kernels_test").exists()), None)
    if program is None:
        pytest.skip("no build has kernels_test: make test-cpp, or set SANDERLING_BUILD_DIR")
    if program.read_bytes()[18] != 62:  # e_machine of the ELF header
        pytest.skip("kernels_test is not a program for x86-64")
    command = [str(QEMU), "-cpu", cpu, str(program), "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for isa in lacks:
        assert f"skipped {isa}: this CPU does not run it" in done.stdout
    for isa in runs:
        assert f"skipped {isa}:" not in done.stdout
