"""`python -m sanderling.agent.runner --socket PATH`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from pathlib import Path

# Before NumPy loads: a runner calls no BLAS, whose threads would only cost memory.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def main() -> int:
    """Runs a runner until it is drained; returns the exit code."""
    parser = argparse.ArgumentParser(prog="sanderling.agent.runner", description="Runs one version of one model.")
    parser.add_argument("--socket", required=True, type=Path, help="the agent's Unix socket, made 0600")
    parser.add_argument("--hang-s", default=10.0, type=float, help="inference without progress for so long is a hang")
    given = parser.parse_args()
    logging.basicConfig(format="%(name)s %(levelname)s: %(message)s")

    from sanderling.agent.runner.process import RunnerProcess
    from sanderling.errors import SanderlingError

    try:
        asyncio.run(RunnerProcess(given.socket, hang_s=given.hang_s).run())
    except SanderlingError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
