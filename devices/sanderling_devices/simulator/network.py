"""What lies between devices and the fleet: delays, losses, hours without network, and a server that is down."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sanderling.api.device.v1 import device_pb2
from sanderling.errors import InputError, TransportError
from sanderling_devices.simulator.scenario import NetworkSpec, Offline, Outage
from sanderling_devices.simulator.server import VirtualServer

_TIMEOUT_S = 30.0
_CONNECT_S = 5.0


def matching(selector: str, devices: Sequence[Mapping[str, str]]) -> list[int]:
    """Which of these devices, by their labels, a selector names: "key=value,key=value", all equal; empty for all.

    Raises:
        InputError: It is of another form, or names none: a scenario in which nothing happens would hold.
    """
    wanted: dict[str, str] = {}
    for part in filter(str.strip, selector.split(",")):
        key, sign, value = (word.strip() for word in part.partition("="))
        if not (key and sign and value):
            raise InputError(f"[scenario] selector {selector!r}: {part!r} is not key=value. Correct it")
        wanted[key] = value
    found = [i for i, labels in enumerate(devices) if wanted.items() <= labels.items()]
    if not found:
        known = sorted({f"{key}={value}" for labels in devices for key, value in labels.items() if key != "device_id"})
        raise InputError(f"[scenario] selector {selector!r} names no device. Labels are {', '.join(known[:20])}")
    return found


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
    """Who is offline when, per device, by its labels.

    Raises:
        InputError: A rule names no device.
    """
    found: list[list[Silence]] = [[] for _ in devices]
    for rule in rules:
        concerned = matching(rule.selector, devices)
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
