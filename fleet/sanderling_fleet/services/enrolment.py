"""The enrolment listener: machines that have no certificate yet, or an expired one."""

from __future__ import annotations

import asyncio

from sanderling.api.device.v1 import enrolment_pb2 as pb
from sanderling.api.device.v1.enrolment_pb2_grpc import EnrolmentServiceServicer
from sanderling.errors import AuthError
from sanderling.trust import PROTOCOL_VERSION
from sanderling_fleet.core import enrolment
from sanderling_fleet.core.context import Core
from sanderling_fleet.services.interceptor import Context
from sanderling_fleet.services.throttle import Throttle, peer_of
from sanderling_fleet.services.translate import addresses_message, facts_of
from sanderling_fleet.wire import timestamp


class EnrolmentService(EnrolmentServiceServicer):
    """See enrolment.proto."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._throttle = Throttle()

    async def Enroll(self, request: pb.EnrollRequest, context: Context) -> pb.EnrollResponse:
        """See enrolment.proto."""
        peer = peer_of(context)
        await asyncio.sleep(self._throttle.wait_seconds(peer, self._core.clock.now()))
        try:
            enrolled = await enrolment.enroll(
                self._core,
                protocol_version=request.protocol_version,
                request_id=request.request_id,
                secret=request.token_secret,
                csr=request.csr,
                facts=facts_of(request.facts),
            )
        except AuthError:
            self._throttle.failed(peer, self._core.clock.now())
            raise
        self._throttle.succeeded(peer)
        return pb.EnrollResponse(
            protocol_version=PROTOCOL_VERSION,
            device_id=enrolled.device_id,
            certificate_chain=enrolled.certificate_chain,
            ca_certificate=enrolled.ca_certificate,
            tuf_root=enrolled.tuf_root,
            addresses=addresses_message(enrolled.addresses),
            approved=enrolled.approved,
        )

    async def BeginRecovery(self, request: pb.BeginRecoveryRequest, context: Context) -> pb.BeginRecoveryResponse:
        """See enrolment.proto."""
        nonce, expires_at = await enrolment.begin_recovery(
            self._core, protocol_version=request.protocol_version, certificate=request.certificate
        )
        return pb.BeginRecoveryResponse(nonce=nonce, expires_at=timestamp(expires_at))

    async def Recover(self, request: pb.RecoverRequest, context: Context) -> pb.RecoverResponse:
        """See enrolment.proto."""
        chain = await enrolment.recover(
            self._core,
            protocol_version=request.protocol_version,
            certificate=request.certificate,
            nonce=request.nonce,
            signature=request.signature,
            csr=request.csr,
        )
        return pb.RecoverResponse(certificate_chain=chain)
