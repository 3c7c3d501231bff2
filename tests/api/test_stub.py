"""The committed types of the core are those of the built one."""

import subprocess
import sys
from pathlib import Path

import pytest

GENERATOR = Path(__file__).resolve().parents[2] / "csrc" / "bind" / "generate_stub.py"


def test_the_stub_is_what_the_core_says():
    pytest.importorskip("pybind11_stubgen", reason="pybind11-stubgen is not installed (requirements-dev.txt)")
    done = subprocess.run([sys.executable, str(GENERATOR), "--check"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
