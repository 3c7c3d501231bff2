"""Tells systemd that the agent is ready and alive; without systemd it does nothing."""

from __future__ import annotations

import os
import socket


def notify(message: str) -> None:
    """Sends "READY=1", "WATCHDOG=1" or "STOPPING=1" to NOTIFY_SOCKET."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]  # an abstract socket
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
            to.sendto(message.encode(), address)
    except OSError:
        pass  # nobody listens any more


def watchdog_s() -> float:
    """How often systemd wants to hear of us, seconds; infinite if it does not."""
    word = os.environ.get("WATCHDOG_USEC", "")
    return int(word) / 2e6 if word.isdigit() and int(word) else float("inf")
