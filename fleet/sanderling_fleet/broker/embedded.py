"""A broker in a child process, for demos and first steps: MQTT 5 on 127.0.0.1 and a free port, one password per fleet.

It authenticates the fleet, not the device: whoever holds the password, which is every device, can publish as any other.
So what comes through it is marked as asserted, and judges nothing by itself unless the fleet trusts it.
"""

from __future__ import annotations

import logging
import secrets
import socket
from pathlib import Path
from typing import Any

from sanderling.errors import TransportError, UnsupportedError
from sanderling_fleet.core.messages import Broker
from sanderling_fleet.trust.keys import private_folder, write_private

USER = "fleet"
WINDOW = 100
"""Messages that it sends a client before it has acknowledgements, whatever the client allows: built into it."""

_START_SECONDS, _STOP_SECONDS = 10.0, 5.0
_ATTEMPTS = 5
_log = logging.getLogger(__name__)
_CONFIG = """\
id = 0

[router]
id = 0
max_connections = 10010
max_outgoing_packet_count = {window}
max_segment_size = 104857600
max_segment_count = 10

[v5.1]
name = "v5-1"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1

[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = 1048576
max_inflight_count = {window}
dynamic_filters = true

[v5.1.connections.auth]
{user} = "{password}"
"""


class EmbeddedBroker:
    """Runs the broker; its password and last port are kept in `folder`, so that devices find it again.

    Args:
        folder: Private; made if missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = private_folder(folder)
        self._broker: Any = None
        self._port = 0

    @property
    def address(self) -> Broker:
        """How devices and ingest reach it; they are told at enrolment and at every check-in."""
        return Broker(f"mqtt://127.0.0.1:{self._port}", USER, self._password())

    @property
    def pid(self) -> int:
        """Of the child process; 0 while there is none."""
        process = self._broker._process if self._broker else None
        return int(process.pid) if process else 0

    def start(self) -> None:
        """Starts it and waits until it answers.

        Raises:
            UnsupportedError: There is no iotcore for this machine.
            TransportError: It did not start.
        """
        reason = ""
        for attempt in range(_ATTEMPTS):
            self._port = self._free_port(again=attempt == 0)
            try:
                self._launch()
            except (OSError, RuntimeError) as error:  # another program was faster with the port
                reason = str(error)
                continue
            write_private(self._folder / "broker.port", str(self._port).encode(), replace=True)
            _log.warning(
                "the embedded broker authenticates the fleet, not the device: telemetry is marked identity=asserted. "
                "Use Mosquitto for a fleet that matters: sanderling fleet broker-config"
            )
            return
        raise TransportError(f"[broker] did not start in {_ATTEMPTS} attempts: {reason}. Look for a firewall")

    def stop(self) -> None:
        """Stops the child, by its own pid. Repeats safely."""
        if self._broker is not None:
            self._broker.stop(_STOP_SECONDS)
            self._broker = None

    def _launch(self) -> None:
        try:
            import iotcore
        except ImportError as error:
            raise UnsupportedError(
                "[broker] iotcore is not installed, or there is none for this machine. Use Mosquitto: sanderling fleet "
                "broker-config"
            ) from error
        path = self._folder / "broker.toml"
        text = _CONFIG.format(port=self._port, user=USER, password=self._password(), window=WINDOW)
        write_private(path, text.encode(), replace=True)
        # Never without its configuration: the default binds every address and asks for no password.
        broker = iotcore.Broker(config_path=str(path))
        if broker.listeners != [f"127.0.0.1:{self._port}"]:
            raise UnsupportedError(f"[broker] would listen on {broker.listeners}, 127.0.0.1 alone is wanted")
        broker.start(_START_SECONDS)
        self._broker = broker

    def _password(self) -> str:
        path = self._folder / "broker.password"
        if not path.exists():
            write_private(path, secrets.token_urlsafe(32).encode())
        return path.read_text()

    def _free_port(self, *, again: bool) -> int:
        path = self._folder / "broker.port"
        wanted = int(path.read_text()) if again and path.exists() else 0
        for port in dict.fromkeys((wanted, 0)):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
                return int(probe.getsockname()[1])
        raise TransportError("[broker] there is no free port on 127.0.0.1")
