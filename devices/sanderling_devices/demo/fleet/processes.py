"""The demo's processes: a fleet server and devices, started by their own commands and ended by their own pids."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sanderling.agent.fork_server import ForkServer
from sanderling.agent.processes import Process
from sanderling.agent.state import AgentState
from sanderling.agent.store import SqliteStore
from sanderling.errors import DeadlineError, SanderlingError, TransportError

COMMAND = (sys.executable, "-m", "sanderling.cli")
AGENT_PROGRAM = (sys.executable, "-m", "sanderling_devices.demo.fleet.agent")
WAIT_S = 30.0
_PAUSE_S = 0.05
_LISTENERS = ("enrolment", "device", "operator")


def sanderling(*arguments: str | Path, environment: Mapping[str, str] | None = None) -> str:
    """Runs a command of Sanderling to its end; returns what it printed on stdout.

    Raises:
        SanderlingError: It failed; the message is its own.
        DeadlineError: It did not end.
    """
    try:
        done = subprocess.run(
            [*COMMAND, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=4 * WAIT_S,
            check=False,
            env={**os.environ, **(environment or {})},
        )
    except subprocess.TimeoutExpired as error:
        raise DeadlineError(f"[{' '.join(map(str, arguments[:2]))}] did not end within {4 * WAIT_S:.0f} s") from error
    if done.returncode:
        raise SanderlingError(f"[{' '.join(map(str, arguments[:2]))}] exit code {done.returncode}: {done.stderr}")
    return done.stdout


def wait_for(condition: Callable[[], bool], what: str, seconds: float = WAIT_S) -> None:
    """Asks until a condition holds.

    Raises:
        DeadlineError: It does not in time.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise DeadlineError(f"[demo] {what} did not come to pass within {seconds:.0f} s")
        time.sleep(_PAUSE_S)


class Server:
    """A fleet server over FOLDER/server. Restarted, it listens on the ports that it had.

    Args:
        folder: New or of `sanderling fleet init`.
        settings: In place of those in fleet.toml, from the next start on.
    """

    def __init__(self, folder: Path, settings: Mapping[str, float | str]) -> None:
        self.folder, self.settings = folder, dict(settings)
        self.addresses: dict[str, str] = {}
        self.process: subprocess.Popen[str] | None = None
        sanderling("fleet", "init", folder)

    @property
    def release(self) -> Path:
        """The release folder."""
        return self.folder / "release"

    @property
    def environment(self) -> dict[str, str]:
        """By which operators' commands find it."""
        return {
            "SANDERLING_FLEET_ADDRESS": self.addresses["operator"],
            "SANDERLING_FLEET_CA": str(self.folder / "operator" / "ca.pem"),
            "SANDERLING_FLEET_TOKEN_FILE": str(self.folder / "operator" / "token"),
        }

    def start(self, **environment: str) -> None:
        """Starts it and waits until it listens.

        Raises:
            TransportError: It ended instead.
        """
        ports: list[str] = []
        for name in _LISTENERS:
            ports += [f"--{name}-port", self.addresses.get(name, ":0").rpartition(":")[2]]
        chosen = [word for name, value in self.settings.items() for word in ("--set", f"{name}={value}")]
        with (self.folder / "server.log").open("ab") as log:
            command = [*COMMAND, "fleet", "run", str(self.folder), *ports, *chosen, "-o", "json"]
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **environment}
            )
        assert self.process.stdout is not None
        said = ""
        for line in self.process.stdout:  # ends when it prints the last line of its addresses, or ends
            said += line
            if line.startswith("}"):
                break
        try:
            self.addresses = dict(json.loads(said))
        except ValueError as error:
            raise TransportError(f"[demo] the fleet server ended. See {self.folder / 'server.log'}") from error

    def kill(self) -> None:
        """SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self.process is not None:
            end(self.process, number)
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None


class Device:
    """A machine with an agent, a router and runners.

    Args:
        state: Folder of its agent. Short: Unix sockets lie in it.
        program: Of the agent, in place of `sanderling agent run`; it is given the folder.
    """

    def __init__(self, state: Path, program: Sequence[str] = ()) -> None:
        self.state, self._program = state, tuple(program)
        self.device_id = ""
        self.agent: subprocess.Popen[bytes] | None = None

    def enrol(self, token: str) -> None:
        """`sanderling agent enroll`."""
        said = sanderling(
            "agent", "enroll", "--state", self.state, "-o", "json", environment={"SANDERLING_JOIN_TOKEN": token}
        )
        self.device_id = str(json.loads(said)["device"])

    def start(self, **environment: str) -> None:
        """Starts the agent."""
        plain = [*COMMAND, "agent", "run", "--port", "0", "--threads", "1", "--state"]
        with (self.state / "agent.log").open("ab") as log:
            self.agent = subprocess.Popen(
                [*(self._program or plain), str(self.state)],
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
            )

    def end(self, number: signal.Signals) -> None:
        """Ends the agent alone: SIGTERM and SIGKILL leave router and runners running."""
        if self.agent is not None:
            end(self.agent, number)
            self.agent = None

    def close(self) -> None:
        """Ends everything."""
        # The agent ends what it has started, what it has not yet written down included.
        self.end(signal.SIGINT)
        for process in (*self.processes().values(), *self.forked()):
            process.kill()

    def processes(self) -> dict[str, Process]:
        """By name: "router", "runner/SLOT/VERSION"."""
        return {name: Process.from_text(body) for name, body in self._read(SqliteStore.processes).items()}

    def forked(self) -> list[Process]:
        """Runners, and the process that they are forked from."""
        return ForkServer(self.state / "run", self.state / "logs").forked()

    def remembered(self) -> AgentState | None:
        """What its agent has stored last."""
        found: AgentState | None = self._read(SqliteStore.load)
        return found

    def runner(self, slot: str) -> Process | None:
        """Of the slot's active version, if it runs."""
        state = self.remembered()
        active = state.slots[slot].active if state is not None and slot in state.slots else None
        found = self.processes().get(f"runner/{slot}/{active.release.version}") if active else None
        return found if found is not None and found.is_alive() else None

    def router(self) -> tuple[str, int]:
        """Where applications ask.

        Raises:
            TransportError: It has not listened yet.
        """
        try:
            plain = json.loads((self.state / "router" / "router.json").read_text())
            return str(plain["host"]), int(plain["port"])
        except (OSError, ValueError, KeyError) as error:
            raise TransportError(f"[demo] {self.state.name} has no router that listens yet") from error

    def _read(self, what: Callable[[SqliteStore], Any]) -> Any:
        # Written after the agent has made its database: two processes must not make it at once.
        if not (self.state / "router" / "router.json").exists():
            return {} if what is SqliteStore.processes else None
        store = SqliteStore(self.state / "state.db")
        try:
            return what(store)
        finally:
            store.close()


def end(process: subprocess.Popen[Any], number: signal.Signals) -> None:
    """Sends a signal and waits; what has not ended by then is killed."""
    if process.poll() is None:
        process.send_signal(number)
    try:
        process.wait(WAIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(WAIT_S)
