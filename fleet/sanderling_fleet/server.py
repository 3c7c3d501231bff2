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
from collections.abc import Sequence

import grpc

from sanderling.api.artifact.v1.artifact_pb2_grpc import add_ArtifactServiceServicer_to_server
from sanderling.api.device.v1.device_admin_pb2_grpc import add_DeviceAdminServiceServicer_to_server
from sanderling.api.device.v1.device_pb2_grpc import add_DeviceServiceServicer_to_server
from sanderling.api.device.v1.enrolment_pb2_grpc import add_EnrolmentServiceServicer_to_server
from sanderling.api.registry.v1.registry_pb2_grpc import add_RegistryServiceServicer_to_server
from sanderling.errors import InputError, IntegrityError
from sanderling_fleet.config import ServerConfig
from sanderling_fleet.core import registry
from sanderling_fleet.core.context import Core
from sanderling_fleet.services.access import DeviceAccess, OperatorAccess
from sanderling_fleet.services.device import ArtifactService, DeviceService
from sanderling_fleet.services.device_admin import DeviceAdminService
from sanderling_fleet.services.enrolment import EnrolmentService
from sanderling_fleet.services.interceptor import Access, Interceptor, OpenAccess
from sanderling_fleet.services.registry import RegistryService

_log = logging.getLogger(__name__)
_RESIGN_LOOK_SECONDS = 600.0
_ENROLMENT_BYTES = 64 << 10
_DEVICE_BYTES = 4 << 20
_OPERATOR_BYTES = 8 << 20
"""Largest message that each listener takes: a CSR; a check-in with its telemetry; targets metadata of 5 MB."""


class FleetServer:
    """A running fleet server. Its certificate is made when it starts and lives 397 days: restart it within them."""

    def __init__(self, core: Core, config: ServerConfig) -> None:
        self._core = core
        self._config = config
        self._servers: list[grpc.aio.Server] = []
        self._resigning: asyncio.Task[None] | None = None
        self.operator_address = ""

    async def start(self) -> None:
        """Binds and answers; `core.settings.addresses` has the ports that were bound.

        Raises:
            InputError: A port is taken.
            IntegrityError: The database is not the fleet's.
        """
        config, core = self._config, self._core
        if not await registry.resign(core, force=True):
            raise IntegrityError(
                "[server] the database has no TUF metadata: it is not the one that init made. Restore it"
            )
        hosts = [config.host, config.bind, "localhost", "127.0.0.1"]
        key, chain = core.authority.issue_server(hosts, core.clock.now())
        plain = grpc.ssl_server_credentials([(key, chain)])
        mutual = grpc.ssl_server_credentials([(key, chain)], core.authority.pem.encode(), require_client_auth=True)
        enrolment = self._listener(OpenAccess(), _ENROLMENT_BYTES)
        device = self._listener(DeviceAccess(core), _DEVICE_BYTES)
        operator = self._listener(OperatorAccess(core), _OPERATOR_BYTES)
        add_EnrolmentServiceServicer_to_server(EnrolmentService(core), enrolment)
        add_DeviceServiceServicer_to_server(DeviceService(core), device)
        add_ArtifactServiceServicer_to_server(ArtifactService(core), device)
        add_DeviceAdminServiceServicer_to_server(DeviceAdminService(core), operator)
        add_RegistryServiceServicer_to_server(RegistryService(core), operator)
        addresses = dataclasses.replace(
            core.settings.addresses,
            enrolment=self._bind(enrolment, config.enrolment_port, plain),
            device=self._bind(device, config.device_port, mutual),
        )
        self.operator_address = self._bind(operator, config.operator_port, plain)
        core.settings = dataclasses.replace(core.settings, addresses=addresses)
        for server in self._servers:
            await server.start()
        self._resigning = asyncio.create_task(self._keep_fresh())

    async def stop(self, grace_seconds: float = 5.0) -> None:
        """Refuses new calls, lets those under way end, then closes the store."""
        if self._resigning is not None:
            self._resigning.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._resigning
        await asyncio.gather(*(server.stop(grace_seconds) for server in self._servers))
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
        while True:
            try:
                await registry.warn_of_expiry(self._core)
                if await registry.resign(self._core):
                    _log.info("signed snapshot and timestamp anew")
            except Exception:
                # It must try again: a fleet whose timestamp expires installs nothing more.
                _log.exception("could not sign snapshot and timestamp anew")
            await asyncio.sleep(_RESIGN_LOOK_SECONDS)
