"""What an idle device costs: memory, CPU, wake-ups and bytes of an agent with its router and one runner.

    python benchmarks/agent_idle.py

Real processes, with the server on this machine and mutual TLS between them, and the defaults: a check-in every 15
minutes with one message of metrics in it, no broker. An hour is extrapolated, openly:

1. A version is installed and answers some requests.
2. Check-ins every few seconds, for `--often` seconds: what one costs in bytes and CPU. Bytes are those of TCP's
   payload, TLS included, counted by a relay between the device and the server's listener.
3. Check-ins at their default, for `--idle` seconds, none of which falls into it: what costs what without them.
4. An hour is 3,600 s of (3) and four check-ins of (2), with four messages of metrics.

Pss divides a page by the processes that map it, also by the server here and whatever else runs Python. So "alone" is
given too, what the device's processes would take without those: pages of a file once, as many as the one of them has
that maps most, the rest by Pss. The fork server is not there then: it rests when nothing was started for a while; what
all take while it is there is said too. Prints a table and one line of JSON; the exit code is 3 if "alone" is over its
limit.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import selectors
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from sanderling.agent.actions import Emit
from sanderling.agent.bodies import Metrics
from sanderling.agent.processes import find
from sanderling.agent.telemetry import envelope
from sanderling.errors import TransportError
from sanderling_devices.demo import digits
from sanderling_devices.demo.fleet import versions
from sanderling_devices.demo.fleet.inference import Client
from sanderling_devices.demo.fleet.operator import Operator
from sanderling_devices.demo.fleet.processes import Device, Server, wait_for
from sanderling_fleet.config import ServerConfig

LIMIT_MIB = 120.0
"""Of agent, router and one runner together."""
_DIALLED, _BOUND = "127.0.0.1", "127.0.0.2"  # the relay listens where the server says that it is
_OFTEN_S = 2.0
_SETTLE_S = 15.0  # until nothing is left of what was before
_ROWS = 1000
_TICKS = os.sysconf("SC_CLK_TCK")


class Relay:
    """Passes connections on to a server and counts bytes; those to one port apart.

    Args:
        ports: Of the server's listeners.
        counted: Of them, the one that devices call.
    """

    def __init__(self, ports: list[int], counted: int) -> None:
        self.up = self.down = self.connections = 0
        self._counted = counted
        for port in ports:
            door = socket.create_server((_DIALLED, port))
            threading.Thread(target=self._accept, args=(door, port), daemon=True).start()

    def _accept(self, door: socket.socket, port: int) -> None:
        while True:
            client, _ = door.accept()
            threading.Thread(target=self._pass, args=(client, port), daemon=True).start()

    def _pass(self, client: socket.socket, port: int) -> None:
        try:
            server = socket.create_connection((_BOUND, port))
        except OSError:
            client.close()
            return
        self.connections += port == self._counted
        with client, server, selectors.DefaultSelector() as both:
            both.register(client, selectors.EVENT_READ, server)
            both.register(server, selectors.EVENT_READ, client)
            while True:
                for key, _ in both.select():
                    source, target = key.fileobj, key.data
                    assert isinstance(source, socket.socket)
                    try:
                        data = source.recv(1 << 16)
                        target.sendall(data)
                    except OSError:
                        return
                    if not data:
                        return
                    if port == self._counted and source is client:
                        self.up += len(data)
                    elif port == self._counted:
                        self.down += len(data)


@dataclass(frozen=True)
class Look:
    """Of one process since it began: CPU seconds and times that one of its threads was waited for and woke up."""

    cpu_s: float
    wakes: int

    @classmethod
    def at(cls, pid: int) -> Look:
        """Now."""
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        wakes = 0
        for task in Path(f"/proc/{pid}/task").iterdir():
            for line in (task / "status").read_text().splitlines():
                if line.startswith("voluntary_ctxt_switches"):
                    wakes += int(line.split()[1])
        return cls((int(fields[11]) + int(fields[12])) / _TICKS, wakes)


def pss_mib(pid: int, kind: str = "Pss") -> float:
    """Memory of a process, shared pages counted by their share; `kind` may be one of those of smaps_rollup."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:")) / 1024


def alone_mib(pids: Iterable[int]) -> float:
    """Memory of processes together if no others mapped their files."""
    files: dict[tuple[str, str], int] = {}
    for pid in pids:
        mapping, rss = ("", ""), 0
        for words in map(str.split, Path(f"/proc/{pid}/smaps").read_text().splitlines()):
            if "-" in words[0] and not words[0].endswith(":"):
                mapping = (words[5] if len(words) > 5 else "", words[2])
            elif words[0] == "Rss:":
                rss = int(words[1])
            elif words[0] == "Anonymous:" and mapping[0].startswith("/"):
                files[mapping] = max(files.get(mapping, 0), rss - int(words[1]))
    return sum(pss_mib(pid, "Pss_Anon") for pid in pids) + sum(files.values()) / 1024


@dataclass(frozen=True)
class Cost:
    """Of one process per second: CPU seconds and wake-ups."""

    cpu_s: float
    wakes: float


def measure(pids: dict[str, int], seconds: float) -> dict[str, Cost]:
    """What processes cost while so many seconds pass."""
    began, before = time.monotonic(), {name: Look.at(pid) for name, pid in pids.items()}
    time.sleep(seconds)
    passed, after = time.monotonic() - began, {name: Look.at(pid) for name, pid in pids.items()}
    return {
        name: Cost((after[name].cpu_s - look.cpu_s) / passed, (after[name].wakes - look.wakes) / passed)
        for name, look in before.items()
    }


def interval_s(device: Device) -> float:
    """Between check-ins, as the device heard last."""
    state = device.remembered()
    return state.check_in_interval_s if state is not None else 0.0


def check_ins(device: Device) -> int:
    """That the device has begun."""
    state = device.remembered()
    return state.sequence if state is not None else 0


def metrics_bytes() -> int:
    """Of one message of metrics, as a check-in carries it."""
    body = Metrics(1000, 0, 123.4, 234.5, 0.987, 0, 60 << 20, 12.3)
    row = Emit(versions.SLOT, "digits-1", body)
    return envelope(row, "01234567-89ab-cdef-0123-456789abcdef", 1000, time.time()).ByteSize() + 3


def install(server: Server, operator: Operator, device: Device, folder: Path) -> None:
    """Rolls version 1 out to the device, and has it answer rows until it has committed and more."""
    frames = digits.split(0).reference.frames
    (version,) = operator.push([versions.good_bundle(frames)], folder)
    operator.roll_out(version, versions.SLOT, [("everyone", 100.0)], soak_seconds=0.1)

    def committed() -> bool:
        with suppress(TransportError):  # no version answers yet
            client = Client(*device.router(), versions.SLOT)
            for row in range(50):
                client.infer(frames[row : row + 1])
            client.close()
        return device.runner(versions.SLOT) is not None

    wait_for(committed, "the commit")
    client = Client(*device.router(), versions.SLOT)
    for row in range(_ROWS):
        client.infer(frames[row % len(frames)][None])
    client.close()


def main() -> int:
    """Measures and prints; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--often", type=float, default=60.0, help="seconds with check-ins every few")
    parser.add_argument("--idle", type=float, default=300.0, help="seconds without check-ins, at most 600")
    given = parser.parse_args()
    defaults = ServerConfig()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="idle-")))
        quick: dict[str, float | str] = {"bind": _BOUND, "check_in_seconds": 0.3, "rollout_tick_seconds": 0.2}
        server = Server(folder / "fleet", {**quick, "probation_rows": 20, "probation_seconds": 1.0})
        server.start()
        stack.callback(server.stop)
        ports = {name: int(address.rpartition(":")[2]) for name, address in server.addresses.items()}
        relay = Relay(list(ports.values()), ports["device"])
        device = Device(folder / "d")
        stack.callback(device.close)
        with Operator(server) as operator:
            device.enrol(operator.join_token())
            device.start()
            install(server, operator, device, folder)

        def pids() -> dict[str, int]:
            runner = device.runner(versions.SLOT)
            assert device.agent is not None
            assert runner is not None
            return {"agent": device.agent.pid, "router": device.processes()["router"].pid, "runner": runner.pid}

        def ask_every(seconds: float) -> None:
            """A new server that asks the device to come so often."""
            server.stop()
            server.settings = {"bind": _BOUND, "check_in_seconds": seconds}
            server.start()
            wait_for(lambda: abs(interval_s(device) / seconds - 1) < 0.5, "a check-in", 120.0)
            time.sleep(_SETTLE_S)

        # The fork server that runners start from rests when it is not used. A restarted agent has not started it yet.
        forked = {process.pid for process in find("sanderling.agent.runner.fork_server", "--run", device.state / "run")}
        with_forks = alone_mib({*pids().values(), *forked})
        device.end(signal.SIGTERM)
        device.start()
        ask_every(_OFTEN_S)
        those = pids()
        before = relay.up, relay.down, check_ins(device)
        often = measure(those, given.often)
        count = check_ins(device) - before[2]
        up, down = (relay.up - before[0]) / count, (relay.down - before[1]) / count
        ask_every(defaults.check_in_seconds)
        count_idle = check_ins(device)
        idle = measure(those, given.idle)
        if check_ins(device) != count_idle:
            raise SystemExit("[idle] a check-in came in the idle time. Measure for a shorter one")
        pss = {name: pss_mib(pid) for name, pid in those.items()}
        alone = alone_mib(those.values())

    hourly = 3600.0 / defaults.check_in_seconds
    one_s = (often["agent"].cpu_s - idle["agent"].cpu_s) * given.often / count
    cpu = {name: cost.cpu_s * 3600 + (hourly * one_s if name == "agent" else 0.0) for name, cost in idle.items()}
    sent, received = hourly * (up + metrics_bytes()), hourly * down
    print(f"{'':8}{'Pss, MiB':>10}{'CPU, s/h':>10}{'wake-ups/s':>12}")
    for name in those:
        print(f"{name:8}{pss[name]:10.1f}{cpu[name]:10.1f}{idle[name].wakes:12.1f}")
    print(f"{'all':8}{sum(pss.values()):10.1f}{sum(cpu.values()):10.1f}{sum(c.wakes for c in idle.values()):12.1f}")
    print(f"\none check-in ({count} measured): {up:,.0f} bytes up, {down:,.0f} down, {one_s * 1000:.0f} ms of CPU")
    print(f"an hour: {hourly:.0f} check-ins, {sent:,.0f} bytes up, {received:,.0f} down")
    print(f"memory: {alone:.1f} MiB alone, {with_forks:.1f} with the fork server; the limit is {LIMIT_MIB:.0f}")
    figures = {
        "pss_mib": {name: round(value, 1) for name, value in pss.items()},
        "alone_mib": round(alone, 1),
        "alone_with_fork_server_mib": round(with_forks, 1),
        "cpu_s_per_hour": {name: round(value, 1) for name, value in cpu.items()},
        "wakes_per_s": {name: round(cost.wakes, 1) for name, cost in idle.items()},
        "check_in": {"up_bytes": round(up), "down_bytes": round(down), "cpu_ms": round(one_s * 1000, 1)},
        "up_bytes_per_hour": round(sent),
        "down_bytes_per_hour": round(received),
        "idle_s": given.idle,
        "check_ins": count,
        "machine": {"machine": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()},
    }
    print(json.dumps(figures))
    return 0 if alone <= LIMIT_MIB else 3


if __name__ == "__main__":
    sys.exit(main())
