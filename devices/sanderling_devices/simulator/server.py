"""The server side as the simulator sees it: protocols' messages and plain values.

It is found by the entry-point group `sanderling.virtual_server`: devices never import the fleet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol, cast

from sanderling.api.device.v1 import device_pb2, enrolment_pb2
from sanderling.api.rollout.v1 import rollout_pb2
from sanderling.errors import UnsupportedError
from sanderling.versions import Manifest

GROUP = "sanderling.virtual_server"


class VirtualServer(Protocol):
    """A fleet server under virtual time, its operator and the release role."""

    def enroll(
        self, csr: bytes, facts: enrolment_pb2.DeviceFacts, labels: Mapping[str, str]
    ) -> enrolment_pb2.EnrollResponse:
        """Makes a device, approved."""
        ...

    def check_in(self, chain: bytes, request: device_pb2.CheckInRequest) -> device_pb2.CheckInResponse:
        """A check-in of the device whose certificate this is."""
        ...

    def renew(self, chain: bytes, csr: bytes) -> bytes:
        """A new certificate chain."""
        ...

    def metadata(self, name: str) -> bytes | None:
        """A file of TUF metadata."""
        ...

    def read_blob(self, digest: str, offset: int) -> Iterator[bytes]:
        """Parts of a blob."""
        ...

    def send(self, device_id: str, payloads: Sequence[bytes]) -> None:
        """Telemetry, to the broker."""
        ...

    def ingest(self) -> None:
        """Takes what waits at the broker."""
        ...

    def tend(self) -> None:
        """Overdue windows, gaps and expiring signatures."""
        ...

    def advance(self) -> list[str]:
        """Lets time pass in rollouts; returns the devices that the broker gives a hint to come and ask."""
        ...

    def publish(self, manifest: Manifest, blobs: Sequence[bytes]) -> None:
        """Signs a version and pushes it."""
        ...

    def push_again(self) -> None:
        """Pushes the release file that was signed last."""
        ...

    def create_rollout(self, spec: rollout_pb2.RolloutSpec, request_id: str) -> str:
        """Begins a rollout; returns its id."""
        ...

    def command(self, rollout_id: str, word: str) -> None:
        """What an operator says of a rollout."""
        ...

    def backup(self) -> object:
        """A copy of what the server stores."""
        ...

    def restore(self, backup: Any) -> None:
        """A new server over a backup."""
        ...

    def rollouts(self) -> list[rollout_pb2.Rollout]:
        """All rollouts, oldest first."""
        ...

    def alerts(self) -> list[dict[str, Any]]:
        """All alerts: kind, subject, state, severity, summary, devices, at."""
        ...

    def results(self) -> set[tuple[str, str, int]]:
        """(device, assignment, attempt) of every stored result."""
        ...

    def telemetry(self) -> list[tuple[str, str, int]]:
        """(device, boot id, sequence) of every stored row."""
        ...

    def counted(self) -> tuple[int, int]:
        """Inferences by stored rows, and by the totals of versions."""
        ...

    def windows(self) -> list[dict[str, Any]]:
        """Fleet windows that were judged, oldest first."""
        ...


class MakeServer(Protocol):
    """Makes a server."""

    def __call__(
        self,
        folder: Path,
        now: Callable[[], float],
        *,
        seed: int,
        check_in_s: float,
        probation: device_pb2.Probation,
        telemetry: device_pb2.TelemetryPlan,
    ) -> VirtualServer:
        """Makes one whose release role keeps its files in `folder`."""
        ...


def find_server() -> MakeServer:
    """The installed server side.

    Raises:
        UnsupportedError: None is installed.
    """
    for point in entry_points(group=GROUP, name="fleet"):
        try:
            return cast(MakeServer, point.load())
        except ImportError as error:
            raise UnsupportedError(
                f"[simulate] the server side needs {error.name or error}. Install it: pip install 'sanderling[fleet]'"
            ) from error
    raise UnsupportedError("[simulate] no server side is installed. Install it: pip install 'sanderling[fleet]'")
