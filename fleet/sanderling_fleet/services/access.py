"""Who may call what: devices by their certificate, operators by their token and its role."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from sanderling.errors import AuthError, SanderlingError
from sanderling_fleet.core import audit, enrolment, operators
from sanderling_fleet.core.context import Core
from sanderling_fleet.core.operators import Role
from sanderling_fleet.services.errors import shortened
from sanderling_fleet.services.interceptor import Call, Context
from sanderling_fleet.services.throttle import Throttle, peer_of
from sanderling_fleet.store import OperatorToken, Standing

EVERYONE = frozenset(Role)
OPERATORS = frozenset({Role.OPERATOR, Role.ADMIN})
PUBLISHERS = frozenset({Role.PUBLISHER, Role.ADMIN})
ADMINS = frozenset({Role.ADMIN})


@dataclass(frozen=True)
class Operation:
    """What an operator's call is named in the audit log, and which roles may make it."""

    action: str
    roles: frozenset[Role]


_ADMIN, _REGISTRY = "/sanderling.api.device.v1.DeviceAdminService/", "/sanderling.api.registry.v1.RegistryService/"
_ROLLOUT = "/sanderling.api.rollout.v1.RolloutService/"
_ALERT = "/sanderling.api.telemetry.v1.AlertService/"
_RETRAIN = "/sanderling.api.retrain.v1.RetrainService/"
_ARTIFACT = "/sanderling.api.artifact.v1.ArtifactService/"
OPERATIONS = {
    _ADMIN + "CreateJoinToken": Operation("device.token", OPERATORS),
    _ADMIN + "ListDevices": Operation("device.list", EVERYONE),
    _ADMIN + "GetDevice": Operation("device.get", EVERYONE),
    _ADMIN + "ApproveDevice": Operation("device.approve", OPERATORS),
    _ADMIN + "RevokeDevice": Operation("device.revoke", OPERATORS),
    _ADMIN + "LabelDevice": Operation("device.label", OPERATORS),
    _ADMIN + "SetGroup": Operation("group.set", OPERATORS),
    _ADMIN + "DeleteGroup": Operation("group.delete", OPERATORS),
    _ADMIN + "ListGroups": Operation("group.list", EVERYONE),
    _ADMIN + "ListAudit": Operation("audit.list", ADMINS),
    _REGISTRY + "QueryUpload": Operation("blob.query", PUBLISHERS),
    _REGISTRY + "UploadBlob": Operation("blob.upload", PUBLISHERS),
    _REGISTRY + "PublishMetadata": Operation("metadata.publish", PUBLISHERS),
    _REGISTRY + "GetRole": Operation("metadata.get", EVERYONE),
    _REGISTRY + "ListVersions": Operation("version.list", EVERYONE),
    _REGISTRY + "GetVersion": Operation("version.get", EVERYONE),
    # A publisher starts the canary of what it signed; how it goes on is for operators.
    _ROLLOUT + "CreateRollout": Operation("rollout.create", OPERATORS | PUBLISHERS),
    _ROLLOUT + "ListRollouts": Operation("rollout.list", EVERYONE),
    _ROLLOUT + "GetRollout": Operation("rollout.get", EVERYONE),
    _ROLLOUT + "PauseRollout": Operation("rollout.pause", OPERATORS),
    _ROLLOUT + "ResumeRollout": Operation("rollout.resume", OPERATORS),
    _ROLLOUT + "AbortRollout": Operation("rollout.abort", OPERATORS),
    _ROLLOUT + "RollBackRollout": Operation("rollout.roll_back", OPERATORS),
    _ROLLOUT + "PromoteRollout": Operation("rollout.promote", OPERATORS),
    _ALERT + "ListAlerts": Operation("alert.list", EVERYONE),
    _ALERT + "AckAlert": Operation("alert.ack", OPERATORS),
    _ALERT + "ListFleetWindows": Operation("alert.windows", EVERYONE),
    _RETRAIN + "StartRetrain": Operation("retrain.start", OPERATORS),
    _RETRAIN + "ListJobs": Operation("retrain.list", EVERYONE),
    _RETRAIN + "GetJob": Operation("retrain.get", EVERYONE),
    _RETRAIN + "ImportLabels": Operation("retrain.label", OPERATORS),
    _RETRAIN + "ListDrafts": Operation("retrain.drafts", PUBLISHERS | OPERATORS),
    _RETRAIN + "RejectDraft": Operation("retrain.reject", PUBLISHERS | OPERATORS),
    # Samples to be labelled, drafts to be signed.
    _ARTIFACT + "ReadBlob": Operation("blob.read", PUBLISHERS | OPERATORS),
}
"""Every call of the operator listener; one that is not listed is refused."""
_MOST_SUBJECT, _MOST_DETAIL = 256, 1000
"""Characters in a line of the audit log, which anyone who reaches the listener makes."""
_ALWAYS = "/sanderling.api.device.v1.DeviceService/"
"""What a device may call that waits for approval."""


class DeviceAccess:
    """Admits devices of the fleet; TLS has checked that they hold the key of the certificate they show."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def admit(self, call: Call, context: Context) -> None:
        """See `Access.admit`."""
        shown = next(iter(context.auth_context().get("x509_pem_cert", ())), None)
        if shown is None:
            raise AuthError("[device] no certificate was shown, which this listener asks for")
        name, serial, expires_at, _ = self._core.authority.read_device(shown)
        device = await enrolment.identify(self._core, name, serial, expires_at)
        call.caller = device.device_id
        if device.standing != Standing.ACTIVE and not call.method.startswith(_ALWAYS):
            raise AuthError(
                f"[device] {device.device_id} is {device.standing}: it may check in, and is given nothing until an "
                "operator approves it"
            )

    async def done(self, call: Call, failure: SanderlingError | None) -> None:
        """See `Access.done`."""


class OperatorAccess:
    """Admits holders of a token whose role allows the call; every call, refused or not, leaves a line."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._throttle = Throttle()

    async def admit(self, call: Call, context: Context) -> None:
        """See `Access.admit`."""
        peer, now = peer_of(context), self._core.clock.now()
        await asyncio.sleep(self._throttle.wait_seconds(peer, now))
        try:
            token = await self._holder(context)
        except AuthError:
            self._throttle.failed(peer, now)
            raise
        self._throttle.succeeded(peer)
        call.caller = token.name
        operation = OPERATIONS.get(call.method)
        if operation is None or token.role not in operation.roles:
            allowed = ", ".join(sorted(operation.roles)) if operation else "nobody"
            method = call.method.rpartition("/")[2]
            raise AuthError(f"[operator] {token.name!r} has the role {token.role}, {method} is for {allowed}")

    async def _holder(self, context: Context) -> OperatorToken:
        metadata = {key: value for key, value in context.invocation_metadata() or ()}
        scheme, _, text = str(metadata.get("authorization", "")).partition(" ")
        if scheme.lower() != "bearer" or not text:
            raise AuthError("[operator] no bearer token was sent. Set SANDERLING_FLEET_TOKEN")
        return await operators.authenticate(self._core, text)

    async def done(self, call: Call, failure: SanderlingError | None) -> None:
        """See `Access.done`."""
        operation = OPERATIONS.get(call.method)
        async with self._core.store.transaction() as tx:
            await audit.append(
                tx,
                self._core.clock.now(),
                call.caller or "unknown",
                operation.action if operation else call.method,
                shortened(call.subject, _MOST_SUBJECT),
                type(failure).__name__ if failure else "ok",
                shortened(str(failure), _MOST_DETAIL) if failure else "",
            )
