"""`sanderling agent`: enrol this machine, run its agent, say how it stands, leave the fleet."""

from __future__ import annotations

import contextlib
import datetime
import logging
import shutil
from pathlib import Path
from typing import Any

import click

from sanderling.errors import InputError

_state_option = click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("/var/lib/sanderling"),
    show_default=True,
    envvar="SANDERLING_AGENT_STATE",
    help="Folder of the device's identity, models and telemetry.",
)
_output_option = click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="How to print the result on stdout.",
)


@click.group()
def agent() -> None:
    """Make this machine a device of a fleet, and keep it one."""


@agent.command()
@click.argument("join_token", envvar="SANDERLING_JOIN_TOKEN")
@_state_option
@click.option("--profile", default="", help="Name of the device profile, such as raspberry-pi-5.")
@_output_option
def enroll(join_token: str, state: Path, profile: str, output: str) -> None:
    """Make this machine a device, with a JOIN_TOKEN from `sanderling device token`.

    The token is a secret that serves once; give it as SANDERLING_JOIN_TOKEN to keep it out of the process list.
    """
    from sanderling.agent.enrolment import enroll as enroll_device
    from sanderling.agent.facts import find_facts
    from sanderling.trust import JoinToken

    state.mkdir(mode=0o750, parents=True, exist_ok=True)
    identity, approved = enroll_device(JoinToken.from_text(join_token), state / "identity", find_facts(profile))
    _show(
        {
            "device": identity.device_id,
            "fleet": identity.addresses.device,
            "certificate_expires": identity.expires.isoformat(),
            "approved": approved,
        },
        output,
    )
    if not approved:
        click.echo(f"An operator has yet to approve it: sanderling device approve {identity.device_id}", err=True)


@agent.command()
@_state_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Where the router listens for inference.")
@click.option("--port", default=8000, show_default=True, help="Of the router; 0 lets it choose one.")
@click.option("--profile", default="", help="Name of the device profile.")
@click.option("--quota-mib", default=4096, show_default=True, help="Most that models may take, MiB.")
@click.option("--outbox-mib", default=64, show_default=True, help="Most that waiting telemetry may take, MiB.")
@click.option("--threads", default=0, show_default=True, help="Of each runner; 0 lets it choose.")
def run(state: Path, host: str, port: int, profile: str, quota_mib: int, outbox_mib: int, threads: int) -> None:
    """Run the agent.

    SIGTERM ends it and leaves router and runners, which go on answering, to the next agent; SIGINT ends them too.
    """
    from sanderling.agent.outbox import Caps
    from sanderling.agent.supervisor import Options, run_agent

    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    run_agent(
        Options(
            state,
            host=host,
            port=port,
            profile=profile,
            blobs_bytes=quota_mib << 20,
            outbox=Caps(bytes=outbox_mib << 20),
            threads=threads,
        )
    )


@agent.command()
@_state_option
@_output_option
def status(state: Path, output: str) -> None:
    """Say how this device stands: its identity, slots, processes and what waits to be sent."""
    _show(_status(state), output)


@agent.command()
@_state_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset(state: Path, yes: bool) -> None:
    """Leave the fleet: end router and runners, delete identity, models and telemetry of this device."""
    if not state.exists():
        raise InputError(f"[reset] {state} does not exist. Give the agent's folder with --state")
    if not any((state / name).exists() for name in ("identity", "state.db", "blobs")):
        raise InputError(f"[reset] {state} is no folder of an agent: nothing was deleted")
    if not yes:
        click.confirm(f"Delete the device's identity, models and unsent telemetry in {state}?", abort=True, err=True)
    _end_processes(state)
    for name in ("identity", "tuf", "blobs", "router", "run", "logs", "attach"):
        shutil.rmtree(state / name, ignore_errors=True)
    for name in ("state.db", "state.db-wal", "state.db-shm", "clock", "lock"):
        (state / name).unlink(missing_ok=True)
    click.echo(f"{state} is reset: this machine is no device any more.", err=True)


def _status(state: Path) -> dict[str, Any]:
    from sanderling.agent.identity import Identity
    from sanderling.agent.processes import Process
    from sanderling.agent.router_client import RouterClient
    from sanderling.agent.store import SqliteStore

    identity = Identity.load(state / "identity")
    found: dict[str, Any] = {
        "device": identity.device_id,
        "fleet": identity.addresses.device,
        "certificate_expires": identity.expires.isoformat(),
    }
    if not (state / "state.db").exists():
        return {**found, "agent": "has never run", "slots": []}
    store = SqliteStore(state / "state.db")
    try:
        stored, waiting = store.load(), store.waiting()
        processes = {name: Process.from_text(body) for name, body in store.processes().items()}
        host, port = RouterClient(state / "router", store, state / "logs", "", 0).address()
    finally:
        store.close()
    found["agent"] = "runs" if _is_locked(state) else "does not run"
    found["router"] = f"{host}:{port}" if "router" in processes and processes["router"].is_alive() else "does not run"
    found["waiting_rows"], found["waiting_bytes"], found["dropped_rows"] = waiting
    found["slots"] = []
    if stored is None:
        return found
    found["approved"] = stored.approved
    at = stored.checked_in_at
    found["checked_in"] = datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat() if at else "never"
    found["check_in_error"] = stored.check_in_error
    found["results_waiting"] = len(stored.results)
    for name, slot in sorted(stored.slots.items()):
        running = slot.active
        process = processes.get(f"runner/{name}/{running.release.version}") if running else None
        found["slots"].append(
            {
                "slot": name,
                "version": running.release.version if running else "",
                "phase": slot.phase.value,
                "candidate": slot.update.wanted.version if slot.update else "",
                "rows": running.all_rows if running else 0,
                "restarts": slot.restarts,
                "pid": process.pid if process is not None and process.is_alive() else None,
            }
        )
    return found


def _is_locked(state: Path) -> bool:
    import fcntl

    try:
        with (state / "lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _end_processes(state: Path) -> None:
    import signal

    from sanderling.agent.fork_server import ForkServer
    from sanderling.agent.processes import Process, find
    from sanderling.agent.store import SqliteStore
    from sanderling.errors import IntegrityError

    if _is_locked(state):
        raise InputError(f"[reset] an agent uses {state}. Stop it first")
    # Not by their records alone: a damaged database is one of the reasons to reset.
    processes = set(find("sanderling.agent.router", "--state", state / "router"))
    processes |= set(ForkServer(state / "run", state / "logs").forked())
    with contextlib.suppress(IntegrityError):
        if (state / "state.db").exists():
            store = SqliteStore(state / "state.db")
            try:
                processes |= {Process.from_text(body) for body in store.processes().values()}
            finally:
                store.close()
    for process in processes:
        if process.send(signal.SIGTERM) and not process.wait_gone(12.0):
            process.kill()


def _show(found: dict[str, Any], output: str) -> None:
    # Loads NumPy, which a short command may and a running agent must not.
    from sanderling.commands.output import print_json, table

    if output == "json":
        print_json(found)
        return
    slots = found.pop("slots", None)
    width = max(len(name) for name in found)
    for name, value in found.items():
        click.echo(f"{name.ljust(width)}  {value}")
    if slots:
        click.echo()
        click.echo(table(list(slots[0]), [list(slot.values()) for slot in slots]))
