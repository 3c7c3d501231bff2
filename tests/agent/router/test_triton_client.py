"""The Open Inference Protocol as a client that others wrote speaks it: tritonclient[http]."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from router_harness import Router
from runner_harness import Runners

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[2] / "build" / "peers" / "tritonclient"


@pytest.fixture(scope="module")
def triton_python() -> Path:
    """The interpreter of a virtual environment with tritonclient, made once and kept."""
    python, done = CACHE / "bin" / "python", CACHE / "complete"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(CACHE)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        wanted = [*install, "tritonclient[http]>=2.50"]
        tried = subprocess.run(wanted, capture_output=True, text=True, check=False, timeout=300)
        if tried.returncode:
            pytest.skip(f"pip cannot get tritonclient[http]: {tried.stderr.strip().splitlines()[-1:]}")
        done.touch()
    return python


@pytest.mark.slow
def test_tritonclient_is_served(router: Router, runners: Runners, triton_python: Path):
    router.to(runners.run("1.0", 1.0), "linear-1.0")
    command = [str(triton_python), str(HERE / "triton_calls.py"), str(router.port)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr
