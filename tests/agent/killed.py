"""A device that is killed at one point and started again, for test_kills: a program, since SIGKILL ends the process.

What is outside of the agent (the route, the fleet's database) is a file, as it would survive too.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from tests.agent.world import Behaviour, World, wanted

from sanderling.agent import hooks
from sanderling.agent.state import Code, Trial
from sanderling.agent.store import SqliteStore

TRIAL = Trial(rows=30, duration_s=4, deadline_s=600)
SCENARIOS = {
    "commit": (Behaviour(), "m-2", "COMMITTED"),
    "revert": (Behaviour(dies=Code.CRASH, dies_after=1), "m-1", "REVERTED"),
    "discard": (Behaviour(golden=1), "m-1", "DISCARDED"),
}


class Survivor(World):
    """A world whose outside is a file and whose store is a real one."""

    def __init__(self, folder: Path, scenario: str) -> None:
        self._file = folder / "outside.json"
        outside = json.loads(self._file.read_text()) if self._file.exists() else {}
        super().__init__(store=SqliteStore(folder / "state.db"), behaviour={"m-2": SCENARIOS[scenario][0]})
        self.served.update(outside.get("served", {}))
        self.since.update(outside.get("since", {}))
        self.results = outside.get("results", [])
        self.clock.wait_until(outside.get("now", 0.0))

    def remember(self) -> None:
        outside = {"served": self.served, "since": self.since, "results": self.results, "now": self.clock.now()}
        self._file.write_text(json.dumps(outside))

    def serve(self, action):
        answers = super().serve(action)
        self.remember()
        return answers

    def check_in(self, action):
        self.results += [[r.assignment, r.attempt, r.outcome.value] for r in action.results]
        self.remember()
        return super().check_in(action)


def live(folder: Path, scenario: str) -> None:
    world = Survivor(folder, scenario)
    if "main" not in world.driver.state.slots or world.slot.active is None:
        world.want(wanted("m-1", trial=TRIAL), counter=100)
        while "main" not in world.driver.state.slots or world.slot.phase.value != "idle" or world.slot.active is None:
            world.run(10)
    world.want(wanted("m-2", "a-1", trial=TRIAL), counter=200)
    for _ in range(60):
        world.check_in_now()
        world.run(20)
        if world.slot.ended == "a-1/1" and world.slot.update is None and not world.driver.state.results:
            break
    world.check_in_now()
    numbers = [row.sequence for row in world.store.pending(0, 10_000)]
    world.store.close()
    answer = {
        "results": sorted({tuple(r) for r in world.results}),
        "served": world.served.get("main"),
        "active": world.slot.active.release.version,
        "kept": world.kept,
        "numbered": numbers == list(range(1, len(numbers) + 1)),
    }
    (folder / "answer.json").write_text(json.dumps(answer))


def fork(folder: Path, scenario: str, kill_at: str = "") -> int:
    """Lives in a process of its own; returns its pid."""
    pid = os.fork()
    if pid == 0:
        os.environ[hooks.VARIABLE] = kill_at
        try:
            live(folder, scenario)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    return pid


def wait(pid: int) -> int:
    """How it ended: its exit status, or the signal's number, negative."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def points(folder: Path, scenario: str) -> list[str]:
    """All hook points that a life without a kill comes to."""
    seen: dict[str, None] = {}
    original = hooks.reached
    hooks.reached = lambda name, place: seen.setdefault(f"{name}:{place}")
    try:
        live(folder, scenario)
    finally:
        hooks.reached = original
    return list(seen)


def main(folder: Path, scenario: str) -> None:
    (folder / "whole").mkdir()
    places = {point: folder / point.replace(":", "-") for point in points(folder / "whole", scenario)}
    for place in places.values():
        place.mkdir()
    # Side by side: most of their time is spent waiting for the disk.
    killed = {point: fork(place, scenario, point) for point, place in places.items()}
    firsts = {point: wait(pid) for point, pid in killed.items()}
    resumed = {point: fork(place, scenario) for point, place in places.items()}
    report = []
    for point, pid in resumed.items():
        second = wait(pid)
        answer = json.loads((places[point] / "answer.json").read_text()) if second == 0 else {}
        report.append({"point": point, "killed": firsts[point] == -signal.SIGKILL, "ended": second, **answer})
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
