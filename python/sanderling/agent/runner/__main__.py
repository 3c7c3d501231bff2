"""`python -m sanderling.agent.runner --socket PATH`: a runner by hand. The agent's come from the fork server."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

# Before NumPy loads: a runner calls no BLAS, whose threads would only cost memory.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def main() -> int:
    """Runs a runner until it is drained; returns the exit code."""
    from sanderling.agent.runner.process import HANG_S, run_runner

    parser = argparse.ArgumentParser(prog="sanderling.agent.runner", description="Runs one version of one model.")
    parser.add_argument("--socket", required=True, type=Path, help="the agent's Unix socket, made 0600")
    parser.add_argument("--hang-s", default=HANG_S, type=float, help="inference without progress for so long is a hang")
    given = parser.parse_args()
    return run_runner(given.socket, given.hang_s)


if __name__ == "__main__":
    sys.exit(main())
