"""A whole core in memory under a manual clock."""

from __future__ import annotations

import random

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from running_fleet import FACTS, new_csr

from sanderling import trust
from sanderling.api.device.v1 import device_pb2
from sanderling_fleet.clock import ManualClock
from sanderling_fleet.core import devices, enrolment, registry
from sanderling_fleet.core.check_in import check_in
from sanderling_fleet.core.context import Core, Settings
from sanderling_fleet.core.desired import want
from sanderling_fleet.core.messages import Addresses, CheckIn
from sanderling_fleet.services.translate import facts_of
from sanderling_fleet.store import Document, MemoryStore
from sanderling_fleet.store.blobs import MemoryBlobs, put_blob
from sanderling_fleet.trust.ca import CertificateAuthority
from sanderling_fleet.trust.director import Director
from sanderling_fleet.trust.release import ReleaseFolder
from sanderling_fleet.trust.tuf_repository import OnlineRoles


class VirtualFleet:
    """A whole core in memory, run without an event loop: its coroutines never suspend."""

    def __init__(self, tmp_path, seed=0):
        self.clock = ManualClock()
        keys = [Ed25519PrivateKey.generate() for _ in range(3)]
        self.results = []

        async def on_result(tx, device, result):
            self.results.append((device.device_id, result.assignment_id, result.attempt))

        self.core = Core(
            store=MemoryStore(),
            blobs=MemoryBlobs(),
            clock=self.clock,
            authority=CertificateAuthority.create("test", self.clock.now()),
            roles=OnlineRoles(keys[0], keys[1]),
            director=Director(keys[2]),
            settings=Settings(Addresses("device:1", "enrolment:2")),
            on_result=on_result,
            entropy=random.Random(seed).randbytes,
        )
        self.release = ReleaseFolder.create(
            tmp_path / "release",
            snapshot=keys[0].public_key(),
            timestamp=keys[1].public_key(),
            director=keys[2].public_key(),
            now=self.clock.now(),
        )
        self.run(put_blob(self.core.blobs, trust.director_document(keys[2].public_key())))
        self.run(registry.initialise(self.core, self.release.root.to_bytes(), self.release.targets.to_bytes()))

    def run(self, coroutine):
        try:
            coroutine.send(None)
        except StopIteration as end:
            return end.value
        raise AssertionError("it suspended, and virtual time has nobody to wake it")

    def enroll(self, approved=True):
        token, _ = self.run(enrolment.create_join_token(self.core, labels={}, approved=approved))
        enrolled = enrolment.enroll(
            self.core,
            protocol_version=1,
            request_id="r",
            secret=token.secret,
            csr=new_csr()[1],
            facts=facts_of(FACTS),
        )
        return self.run(enrolled).device_id

    def check_in(self, device_id, sequence, boot="boot-1", **said):
        fields = {"facts": facts_of(FACTS), "slots": [], "desired_counter": 0, "protocol_version": 1, **said}
        return self.run(check_in(self.core, device_id, CheckIn(boot_id=boot, sequence=sequence, **fields)))

    def want(self, device_id, **slot):
        async def body():
            async with self.core.store.transaction() as tx:
                return await want(self.core, tx, device_id, device_pb2.DesiredSlot(**slot))

        return self.run(body())

    def alerts(self):
        async def body():
            async with self.core.store.transaction() as tx:
                return await tx.find(Document, {"kind": "alert"})

        return self.run(body())

    def device(self, device_id):
        return self.run(devices.get_device(self.core, device_id)).device
