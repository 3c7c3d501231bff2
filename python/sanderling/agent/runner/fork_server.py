"""`python -m sanderling.agent.runner.fork_server --run FOLDER`: forks into runners whose sockets lie in a folder.

Nine tenths of a runner's start are imports. This process has them behind it, so that a runner listens some
milliseconds after it was asked for: so long do requests wait when one has crashed. It has one thread and opens nothing
of gRPC, whose threads and locks a fork would not survive.

On stdin, one JSON object a line: {"socket": NAME, "log": PATH} is answered on stdout with {"pid": ..., "start_ticks":
...} of a runner that waits; {"go": PID} lets it run. Whoever asked records the process in between: when it dies before,
stdin ends, this process ends, and the runners that wait end with it, so that none is left that nobody knows.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

# Before NumPy loads: a runner calls no BLAS, whose threads would only cost memory.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

_GATE = 3  # the descriptor on which a runner waits


def main() -> int:
    """Forks until stdin ends."""
    parser = argparse.ArgumentParser(prog="sanderling.agent.runner.fork_server", description="Forks into runners.")
    parser.add_argument("--run", required=True, type=Path, help="folder of their sockets")
    given = parser.parse_args()

    from sanderling.agent.runner.process import run_runner
    from sanderling.agent.runner.service import start_ticks

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the agent decides
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
    gc.collect()
    gc.freeze()  # the collector's marks would copy the pages that runners share
    gates: dict[int, int] = {}
    for line in iter(sys.stdin.buffer.readline, b""):
        asked: dict[str, Any] = json.loads(line)
        if "go" in asked:
            gate = gates.pop(asked["go"])
            os.write(gate, b"1")
            os.close(gate)
            continue
        wait, gate = os.pipe()
        pid = os.fork()
        if not pid:
            code = 1
            try:  # whatever happens, this process must not go on as a second fork server
                _leave(wait, Path(asked["log"]))
                code = run_runner(given.run / asked["socket"])
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        os.close(wait)
        gates[pid] = gate
        print(json.dumps({"pid": pid, "start_ticks": start_ticks(pid)}), flush=True)
    return 0


def _leave(wait: int, log: Path) -> None:
    """Makes the forked process one of its own, and waits until it may run."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(wait, _GATE)
    os.closerange(_GATE + 1, os.sysconf("SC_OPEN_MAX"))  # among them gates of others that wait
    nothing, output = os.open(os.devnull, os.O_RDONLY), os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.closerange(_GATE + 1, output + 1)
    Path("/proc/self/comm").write_text("sanderling-run")
    may_run = os.read(_GATE, 1)
    os.close(_GATE)
    if not may_run:
        os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
