"""Reads what the fleet signed for one device: desired states and downgrade tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError

from sanderling import trust
from sanderling.agent.events import Desired
from sanderling.agent.state import Release, TelemetryPlan, Trial, Wanted
from sanderling.api.device.v1 import device_pb2
from sanderling.errors import IntegrityError

_SLOT = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


def open_desired(signed: device_pb2.SignedDesiredState, keys: Mapping[str, bytes]) -> Desired:
    """Checks the signature, then reads.

    Args:
        signed: From a check-in.
        keys: The director's, raw by key id.

    Raises:
        IntegrityError: The signature is wrong, or what it signs cannot be read.
    """
    trust.verify(keys, signed.key_id, signed.signature, trust.DESIRED_STATE_CONTEXT, signed.desired_state)
    try:
        return read_desired(device_pb2.DesiredState.FromString(signed.desired_state))
    except DecodeError as error:
        raise IntegrityError(f"[desired state] cannot be read: {error}") from error


def read_desired(message: device_pb2.DesiredState) -> Desired:
    """The rules' form of the message."""
    plan = None
    if message.HasField("telemetry"):
        wire, default = message.telemetry, TelemetryPlan()
        plan = TelemetryPlan(
            window_rows=wire.window_rows or default.window_rows,
            warmup_rows=wire.warmup_rows or default.warmup_rows,
            metrics_interval_s=_seconds(wire.metrics_interval) or default.metrics_interval_s,
            sample_budget_bytes=wire.sample_budget_bytes,
            fleet_devices=wire.fleet_devices or default.fleet_devices,
        )
    slots = tuple((slot.slot, _wanted(slot, message.counter)) for slot in message.slots)
    return Desired(message.device_id, message.counter, slots, plan)


def downgrade_allowed(token: bytes, release: Release, keys: Mapping[str, bytes], now: float) -> bool:
    """Whether a token of the release role permits this version, though it is older.

    Args:
        token: A serialized SignedDowngradeToken; empty permits nothing.
        release: What would be installed.
        keys: The release role's, raw by key id.
        now: Seconds since the epoch.

    Raises:
        IntegrityError: There is a token and it is forged, for another version, or expired.
    """
    if not token:
        return False
    try:
        signed = device_pb2.SignedDowngradeToken.FromString(token)
        trust.verify(keys, signed.key_id, signed.signature, trust.DOWNGRADE_CONTEXT, signed.token)
        said = device_pb2.DowngradeToken.FromString(signed.token)
    except DecodeError as error:
        raise IntegrityError(f"[downgrade token] cannot be read: {error}") from error
    if said.version != release.version or said.manifest_digest.hex() != release.digest:
        raise IntegrityError(f"[downgrade token] it is for {said.version}, wanted is {release.version}")
    if said.expires_at.ToNanoseconds() <= now * 1e9:
        raise IntegrityError(f"[downgrade token] for {said.version} expired at {said.expires_at.ToJsonString()}")
    return True


def _wanted(slot: device_pb2.DesiredSlot, counter: int) -> Wanted:
    if not _SLOT.fullmatch(slot.slot):
        # It becomes part of file names: even the director's signature must not lead out of the state folder.
        raise IntegrityError(
            f"[desired state] slot {slot.slot!r}: at most 32 lower-case letters, digits, _ and - are allowed"
        )
    default, trial = Trial(), slot.probation
    return Wanted(
        version=slot.version,
        digest=slot.manifest_digest.hex(),
        assignment=slot.assignment_id,
        attempt=slot.attempt,
        counter=counter,
        trial=Trial(
            rows=trial.rows or default.rows,
            duration_s=_seconds(trial.duration) if trial.HasField("duration") else default.duration_s,
            deadline_s=_seconds(trial.deadline) or default.deadline_s,
        ),
        downgrade_token=slot.downgrade_token,
    )


def _seconds(duration: Duration) -> float:
    return float(duration.ToNanoseconds()) / 1e9
