"""One simulated device: the agent's own driver, rules and ports; only its runners and its network are made up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sanderling.agent.actions import (
    Action,
    CheckIn,
    Collect,
    Fetch,
    ForgetTelemetry,
    Keep,
    Load,
    Observe,
    Resolve,
    SelfTest,
    Serve,
    Verify,
)
from sanderling.agent.blobs import BlobStore
from sanderling.agent.check_in import CheckIns
from sanderling.agent.driver import Driver
from sanderling.agent.enrolment import addresses_of
from sanderling.agent.events import CheckedIn, CheckInFailed, Died, Hinted
from sanderling.agent.facts import host_of
from sanderling.agent.fakes import MemoryStore, VirtualClock
from sanderling.agent.files import Files
from sanderling.agent.identity import Identity, check_chain, new_key, signing_request
from sanderling.agent.ports import Later
from sanderling.agent.state import Settings
from sanderling.agent.tuf_client import SignedVersions
from sanderling.api.device.v1 import enrolment_pb2
from sanderling_devices.simulator.network import Link
from sanderling_devices.simulator.runners import Runners
from sanderling_devices.simulator.server import VirtualServer

_MOST_ROWS = 1000


@dataclass(frozen=True)
class Place:
    """Where a device stands.

    Attributes:
        profile: Name of its profile.
        labels: As the operator sees them.
        folder: Of its files.
        transfer_s: How long a version's download takes, by its name.
    """

    profile: str
    labels: Mapping[str, str]
    folder: Path
    transfer_s: Mapping[str, float]


class Device:
    """A device from its enrolment on.

    Attributes:
        device_id: As enrolled.
        place: Where it stands.
        store: State and outbox, which survive the agent.
        driver: Of the running agent, None while it is down.
        runners: Of the device.
        check_ins: How often it has asked the fleet, and how often in vain.
    """

    def __init__(
        self,
        place: Place,
        facts: enrolment_pb2.DeviceFacts,
        identity: Identity,
        link: Link,
        clock: VirtualClock,
        settings: Settings,
    ) -> None:
        self.device_id, self.place, self._facts = identity.device_id, place, facts
        self._identity, self._link, self._clock, self._settings = identity, link, clock, settings
        self.store = MemoryStore()
        self.driver: Driver | None = None
        self.check_ins = [0, 0]
        self._boots = 0
        self._sent = 0

    def start(self, runners: Runners, *, reboot: bool = True) -> None:
        """Begins an agent process; the machine's first one, or one after a power cut, with `reboot`."""
        self.runners = runners
        self._boots += reboot
        versions = SignedVersions(self.place.folder / "tuf", self._identity.tuf_root, self._link, self._clock.now)
        blobs = BlobStore(self.place.folder / "blobs")
        boot = f"boot-{self._boots}"
        blobs.start(boot)
        self._files = Files(blobs, versions, self._link, host_of(self._facts), self._clock.now)
        self._check_ins = CheckIns(
            self._link, versions, self.store, self._facts, lambda: self._identity, self._moved, self._clock.now
        )
        self._sent = 0
        self.driver = Driver(self.device_id, boot, self._clock, self.store, self._perform, self._settings)

    def stop(self, *, power_cut: bool) -> None:
        """Ends the agent as kill -9 does; what its driver had in mind is lost."""
        self.driver = None
        if power_cut:
            self.runners.power_cut()

    def died(self, event: Died) -> None:
        """A runner died; without an agent nobody notices until the next one looks."""
        if self.driver is not None:
            self.driver.post(event)

    def hint(self) -> None:
        """The broker says "come and ask", if it reaches the device."""
        if self.driver is not None and not self._link.is_silent():
            self.driver.post(Hinted())

    def next_due(self) -> float:
        """When the agent has something to do."""
        return self.driver.next_due() if self.driver else float("inf")

    def run_due(self) -> None:
        """Does what is due, then sends what is to be sent."""
        if self.driver is None:
            return
        self.driver.run_due()
        if self.store.written > self._sent and self.store.outbox and not self._link.is_silent():
            self._send()

    def _moved(self, identity: Identity) -> None:
        self._identity = identity
        self._link.chain = identity.chain

    def _send(self) -> None:
        rows = self.store.pending(self._sent, _MOST_ROWS)
        acknowledged = self._link.send(self.device_id, [row.payload for row in rows])
        if acknowledged:
            self._sent = rows[acknowledged - 1].number

    def _perform(self, action: Action) -> Iterable[Later]:
        if isinstance(action, Load | SelfTest | Serve | Observe | Keep):
            return self.runners.perform(action)
        if isinstance(action, ForgetTelemetry):
            self.store.forget(action.boot_id, action.sequence)
            return ()
        if not isinstance(action, CheckIn | Resolve | Fetch | Verify | Collect):
            return ()
        self._link.spent_s = 0.0
        answer = self._check_in(action) if isinstance(action, CheckIn) else self._files.perform(action)
        if isinstance(action, Fetch):
            self._link.spent_s += self.place.transfer_s.get(action.release.version, 0.0)
        return [(self._clock.now() + self._link.spent_s, answer)] if answer else ()

    def _check_in(self, action: CheckIn) -> CheckedIn | CheckInFailed:
        answer = self._check_ins.perform(action)
        self.check_ins[0] += 1
        if isinstance(answer, CheckInFailed):
            self.check_ins[1] += 1
            self._sent = 0  # the broker has not kept the session of a device that was away: all is sent again
        return answer


def enroll(server: VirtualServer, place: Place, facts: enrolment_pb2.DeviceFacts) -> Identity:
    """Makes a device of a machine: its key, a request signed with it, a certificate that fits both.

    Raises:
        IntegrityError: The certificate is for another key.
    """
    key = new_key()
    answer = server.enroll(signing_request(key, "device"), facts, place.labels)
    chain = answer.certificate_chain.encode()
    check_chain(chain, key, answer.device_id)
    place.folder.mkdir(parents=True)
    addresses = addresses_of(answer.addresses, "enrolment:2")
    return Identity(
        place.folder, answer.device_id, key, chain, answer.ca_certificate.encode(), answer.tuf_root, addresses
    )
