"""The fleet server: three listeners over one core, and what it does by itself.

enrolment   server TLS: who comes has no certificate yet. The chain ends with the CA, so that its hash can be compared
device      mutual TLS
operator    server TLS and a bearer token
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import grpc

from sanderling.api.artifact.v1.artifact_pb2_grpc import add_ArtifactServiceServicer_to_server
from sanderling.api.device.v1.device_admin_pb2_grpc import add_DeviceAdminServiceServicer_to_server
from sanderling.api.device.v1.device_pb2_grpc import add_DeviceServiceServicer_to_server
from sanderling.api.device.v1.enrolment_pb2_grpc import add_EnrolmentServiceServicer_to_server
from sanderling.api.registry.v1.registry_pb2_grpc import add_RegistryServiceServicer_to_server
from sanderling.api.rollout.v1.rollout_pb2_grpc import add_RolloutServiceServicer_to_server
from sanderling.api.telemetry.v1.alert_pb2_grpc import add_AlertServiceServicer_to_server
from sanderling.errors import InputError, IntegrityError
from sanderling_fleet.config import ServerConfig
from sanderling_fleet.core import registry, rollouts
from sanderling_fleet.core.context import Core
from sanderling_fleet.core.readings import measure
from sanderling_fleet.ingest.parts import TelemetryParts
from sanderling_fleet.retrain.config import load_models
from sanderling_fleet.retrain.driver import Retrainer
from sanderling_fleet.retrain.opener import Opener
from sanderling_fleet.server_certificate import ListenerCertificate
from sanderling_fleet.services.access import DeviceAccess, OperatorAccess
from sanderling_fleet.services.alert import AlertService
from sanderling_fleet.services.device import ArtifactService, DeviceService
from sanderling_fleet.services.device_admin import DeviceAdminService
from sanderling_fleet.services.enrolment import EnrolmentService
from sanderling_fleet.services.interceptor import Access, Interceptor, OpenAccess
from sanderling_fleet.services.registry import RegistryService
from sanderling_fleet.services.retrain import add_to_device_listener, add_to_operator_listener
from sanderling_fleet.services.rollout import RolloutService

_log = logging.getLogger(__name__)
_RESIGN_LOOK_SECONDS = 600.0
_RENEW_GRACE_SECONDS = 5.0
_ENROLMENT_BYTES = 64 << 10
_DEVICE_BYTES = 4 << 20
_OPERATOR_BYTES = 8 << 20
"""Largest message that each listener takes: a CSR; a check-in with its telemetry; targets metadata of 5 MB."""


class FleetServer:
    """A running fleet server. Its certificates are made when it starts, and anew while it runs."""

    def __init__(self, core: Core, config: ServerConfig, folder: Path) -> None:
        """Prepares it.

        Args:
            core: The fleet.
            config: How to listen.
            folder: server/, for the broker's files.
        """
        self._core = core
        self._config = config
        self.telemetry = TelemetryParts(core, folder, config.broker)
        self.retrainer = Retrainer(core, load_models(folder / "retrain.toml"), folder / "retrain")
        self.opener = Opener(core, self.retrainer)
        self._measure = measure(core)
        self._servers: list[grpc.aio.Server] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.operator_address = ""

    async def start(self) -> None:
        """Binds and answers; `core.settings.addresses` has the ports that were bound.

        Raises:
            InputError: A port is taken, or the broker's URL cannot be used.
            TransportError: The embedded broker did not start.
            UnsupportedError: There is no embedded broker for this machine.
            IntegrityError: The database is not the fleet's.
        """
        config, core = self._config, self._core
        if not await registry.resign(core, force=True):
            raise IntegrityError(
                "[server] the database has no TUF metadata: it is not the one that init made. Restore it"
            )
        rollouts.join(core)
        hosts = [config.host, config.bind, "localhost", "127.0.0.1"]
        self._certificate = ListenerCertificate(core.authority, hosts, core.clock)
        self._bind_all(config.enrolment_port, config.device_port, config.operator_port)
        await self.telemetry.start()
        for server in self._servers:
            await server.start()
        self._tasks = [
            asyncio.create_task(_repeat(_RESIGN_LOOK_SECONDS, self._keep_fresh)),
            asyncio.create_task(_repeat(config.rollout_tick_seconds, self._advance)),
            asyncio.create_task(self.retrainer.run()),
        ]

    async def renew_certificate(self) -> bool:
        """Has the listeners show a new certificate where less than a third of its life is left; whether it was so.

        Connections are closed, once what is under way has ended; clients come again.
        """
        if not self._certificate.renew() and self._servers:
            return False
        addresses = self._core.settings.addresses
        ports = [
            int(address.rpartition(":")[2])
            for address in (addresses.enrolment, addresses.device, self.operator_address)
        ]
        await asyncio.gather(*(server.stop(_RENEW_GRACE_SECONDS) for server in self._servers))
        self._servers = []
        try:
            self._bind_all(*ports)
        except InputError:
            await asyncio.gather(*(server.stop(None) for server in self._servers))
            self._servers = []  # it is tried again
            raise
        for server in self._servers:
            await server.start()
        _log.info("the server's certificate is a new one")
        return True

    def _bind_all(self, enrolment_port: int, device_port: int, operator_port: int) -> None:
        core = self._core
        plain, mutual = self._certificate.credentials(mutual=False), self._certificate.credentials(mutual=True)
        enrolment = self._listener(OpenAccess(), _ENROLMENT_BYTES)
        device = self._listener(DeviceAccess(core), _DEVICE_BYTES)
        operator = self._listener(OperatorAccess(core), _OPERATOR_BYTES)
        add_EnrolmentServiceServicer_to_server(EnrolmentService(core), enrolment)
        add_DeviceServiceServicer_to_server(DeviceService(core), device)
        add_ArtifactServiceServicer_to_server(ArtifactService(core), device)
        add_DeviceAdminServiceServicer_to_server(DeviceAdminService(core), operator)
        add_RegistryServiceServicer_to_server(RegistryService(core), operator)
        add_RolloutServiceServicer_to_server(RolloutService(core), operator)
        add_AlertServiceServicer_to_server(AlertService(core), operator)
        add_to_operator_listener(core, self.retrainer, operator)
        add_to_device_listener(core, self.retrainer, device)
        addresses = dataclasses.replace(
            core.settings.addresses,
            enrolment=self._bind(enrolment, enrolment_port, plain),
            device=self._bind(device, device_port, mutual),
        )
        self.operator_address = self._bind(operator, operator_port, plain)
        core.settings = dataclasses.replace(core.settings, addresses=addresses)

    async def stop(self, grace_seconds: float = 5.0) -> None:
        """Refuses new calls, lets those under way end, then closes the store."""
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await asyncio.gather(*(server.stop(grace_seconds) for server in self._servers))
        await self.telemetry.stop()
        await self._core.store.close()

    def _listener(self, access: Access, most_bytes: int) -> grpc.aio.Server:
        options: Sequence[tuple[str, int]] = [
            # A second server on the same port is an error, not a way to share its load.
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", most_bytes),
            ("grpc.max_concurrent_streams", 128),
        ]
        server = grpc.aio.server(interceptors=[Interceptor(access)], options=options)
        self._servers.append(server)
        return server

    def _bind(self, server: grpc.aio.Server, port: int, credentials: grpc.ServerCredentials) -> str:
        try:
            bound = server.add_secure_port(f"{self._config.bind}:{port}", credentials)
        except RuntimeError as error:
            raise InputError(f"[server] cannot bind {self._config.bind}:{port}. Is another server running?") from error
        return f"{self._config.host}:{bound}"

    async def _keep_fresh(self) -> None:
        await self.renew_certificate()
        await registry.warn_of_expiry(self._core)
        if await registry.resign(self._core):
            _log.info("signed snapshot and timestamp anew")

    async def _advance(self) -> None:
        await self.opener.look()
        self.telemetry.hint(await rollouts.tick(self._core, self._measure))


async def _repeat(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await work()
        except Exception:
            # It must try again: a fleet whose timestamp expires, or whose rollouts stand still, helps nobody.
            _log.exception("%s failed, it is tried again in %g s", work.__name__, seconds)
        await asyncio.sleep(seconds)
