"""What is committed about the core is what the built one says: its types, its operators."""

import subprocess
import sys
from pathlib import Path

import pytest

BIND = Path(__file__).resolve().parents[2] / "csrc" / "bind"


def test_the_stub_is_what_the_core_says():
    pytest.importorskip("pybind11_stubgen", reason="pybind11-stubgen is not installed (requirements-dev.txt)")
    done = subprocess.run(
        [sys.executable, str(BIND / "generate_stub.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_page_of_operators_is_what_the_registry_says():
    command = [sys.executable, str(BIND / "generate_operators_page.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
