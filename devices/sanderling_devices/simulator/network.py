"""What lies between devices and the fleet: delays, losses, hours without network, and a server that is down."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sanderling.api.device.v1 import device_pb2
from sanderling.errors import TransportError
from sanderling_devices.simulator.scenario import NetworkSpec, Offline, Outage
from sanderling_devices.simulator.server import VirtualServer

_TIMEOUT_S = 30.0
_CONNECT_S = 5.0


def matches(selector: str, labels: Mapping[str, str]) -> bool:
    """Whether labels are equal to all of "key=value,key=value"; an empty selector matches all."""
    pairs = (part.partition("=") for part in selector.split(",") if part.strip())
    return all(labels.get(key.strip()) == value.strip() for key, _, value in pairs)


@dataclass(frozen=True)
class Silence:
    """When one device has no network: from `begin` to `end`, or daily between two hours, UTC."""

    begin: float = 0.0
    end: float = 0.0
    daily: tuple[float, ...] = ()

    def holds(self, now: float, start: float) -> bool:
        """Whether it does now."""
        if not self.daily:
            return self.begin <= now - start < self.end
        first, last = self.daily
        hour = now % 86400.0 / 3600.0
        return first <= hour < last if first <= last else hour >= first or hour < last


def is_down(outages: Sequence[Outage], since_start: float) -> bool:
    """Whether the server is down, so many seconds after the start."""
    return any(outage.at <= since_start < outage.at + outage.lasts for outage in outages)


def deal_silences(
    rules: Sequence[Offline], devices: Sequence[Mapping[str, str]], chance: random.Random
) -> list[tuple[Silence, ...]]:
    """Who is offline when, per device, by its labels."""
    found: list[list[Silence]] = [[] for _ in devices]
    for rule in rules:
        concerned = [i for i, labels in enumerate(devices) if matches(rule.selector, labels)]
        for i in chance.sample(concerned, round(rule.share * len(concerned))):
            found[i].append(Silence(rule.at, rule.at + rule.lasts, rule.daily))
    return [tuple(silences) for silences in found]


class Link:
    """One device's way to the fleet. `sanderling.agent` uses it in place of gRPC, MQTT and downloads.

    Attributes:
        spent_s: What calls have taken since it was last set to 0.
        calls: Calls that were begun.
        failures: Of them failed, on their way there or back.
    """

    def __init__(
        self,
        server: VirtualServer,
        spec: NetworkSpec,
        silences: Sequence[Silence],
        chance: random.Random,
        now: Callable[[], float],
        start: float,
    ) -> None:
        self._server, self._spec, self._silences = server, spec, silences
        self._chance, self._now, self._start = chance, now, start
        self.chain = b""
        self.spent_s = 0.0
        self.calls = self.failures = 0

    def is_silent(self) -> bool:
        """Whether the device has no network now."""
        return any(silence.holds(self._now(), self._start) for silence in self._silences)

    def check_in(self, request: device_pb2.CheckInRequest) -> device_pb2.CheckInResponse:
        """See `sanderling.agent.ports.Fleet`."""
        with self._call():
            return self._server.check_in(self.chain, request)

    def renew(self, csr: bytes) -> bytes:
        """See `sanderling.agent.ports.Fleet`."""
        with self._call():
            return self._server.renew(self.chain, csr)

    def metadata(self, name: str) -> bytes | None:
        """See `sanderling.agent.tuf_client.ArtifactSource`."""
        with self._call():
            return self._server.metadata(name)

    def read_blob(self, digest: str, offset: int = 0, limit: int = 0) -> Iterator[bytes]:
        """See `sanderling.agent.tuf_client.ArtifactSource`."""
        with self._call():
            return iter(list(self._server.read_blob(digest, offset)))

    def send(self, device_id: str, payloads: Sequence[bytes]) -> int:
        """Telemetry to the broker, which is up while the server is down.

        Returns:
            How many of them, from the first on, were acknowledged. One more may have arrived: it is sent again.
        """
        if self.is_silent():
            return 0
        for sent, payload in enumerate(payloads):
            lost = self._spec.loss > 0 and self._chance.random() < self._spec.loss
            if not lost or self._chance.random() < 0.5:
                self._server.send(device_id, [payload])
            if lost:
                return sent
        return len(payloads)

    def _call(self) -> _Call:
        self.calls += 1
        spec = self._spec
        if self.is_silent() or is_down(spec.outages, self._now() - self._start):
            self._fail(_CONNECT_S, "no route to the fleet")
        self.spent_s += spec.latency_ms / 1000 * math.exp(spec.latency_spread * self._chance.gauss(0.0, 1.0))
        lost = spec.loss > 0 and self._chance.random() < spec.loss
        if lost and self._chance.random() < 0.5:
            self._fail(_TIMEOUT_S, "the request got lost")
        return _Call(self, lost)

    def _fail(self, took_s: float, why: str) -> None:
        self.spent_s += took_s
        self.failures += 1
        raise TransportError(f"[network] {why}. Try again")


class _Call:
    """Loses the answer, after the server has done its part."""

    def __init__(self, link: Link, lost: bool) -> None:
        self._link, self._lost = link, lost

    def __enter__(self) -> None:
        """The request has arrived."""

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._lost and kind is None:
            self._link._fail(_TIMEOUT_S, "the answer got lost")
