"""The C interface, installed as a program finds it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILDS = [Path(os.environ["SANDERLING_BUILD_DIR"])] if "SANDERLING_BUILD_DIR" in os.environ else []
BUILDS += [ROOT / "build" / name for name in ("python", "dev", "release")]


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the library, its header and its CMake files are."""
    build = next((b for b in BUILDS if list(b.glob("csrc/capi/libsanderling.so"))), None)
    if build is None:
        pytest.skip("no build with the C interface: make test-cpp, or set SANDERLING_BUILD_DIR")
    prefix = tmp_path_factory.mktemp("prefix")
    done = subprocess.run(
        ["cmake", "--install", build, "--prefix", prefix, "--component", "c_api"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return prefix
