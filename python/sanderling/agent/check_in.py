"""The Transport port: one check-in, from the rules' words to the wire's and back. Performs CheckIn."""

from __future__ import annotations

import logging
from collections.abc import Callable

from sanderling.agent.actions import CheckIn, SlotReport
from sanderling.agent.desired import open_desired
from sanderling.agent.enrolment import addresses_of, keep_valid
from sanderling.agent.events import CheckedIn, CheckInFailed, Desired
from sanderling.agent.identity import Identity
from sanderling.agent.ports import Fleet, Outgoing
from sanderling.agent.state import Measured, Outcome, Phase, Result
from sanderling.agent.tuf_client import SignedVersions
from sanderling.api.device.v1 import device_pb2, enrolment_pb2
from sanderling.api.rollout.v1 import assignment_pb2
from sanderling.api.telemetry.v1 import telemetry_pb2
from sanderling.errors import IntegrityError, SanderlingError
from sanderling.trust import PROTOCOL_VERSION

_TELEMETRY_ROWS = 2_000
_TELEMETRY_BYTES = 2 << 20
"""Of one check-in without a broker; gRPC's own limit is 4 MiB."""
_SOONEST_S, _LATEST_S = 0.1, 86_400.0
_log = logging.getLogger("sanderling.agent")

_STATES = {
    Phase.IDLE: assignment_pb2.ASSIGNMENT_STATE_UNSPECIFIED,
    Phase.REPORT: assignment_pb2.ASSIGNMENT_STATE_UNSPECIFIED,
    Phase.FETCH: assignment_pb2.ASSIGNMENT_STATE_FETCH,
    Phase.VERIFY: assignment_pb2.ASSIGNMENT_STATE_VERIFY,
    Phase.BUILD: assignment_pb2.ASSIGNMENT_STATE_BUILD,
    Phase.SELFTEST: assignment_pb2.ASSIGNMENT_STATE_SELFTEST,
    Phase.SWITCH: assignment_pb2.ASSIGNMENT_STATE_SWITCH,
    Phase.PROBATION: assignment_pb2.ASSIGNMENT_STATE_PROBATION,
    Phase.COMMIT: assignment_pb2.ASSIGNMENT_STATE_COMMITTED,
    Phase.REVERT: assignment_pb2.ASSIGNMENT_STATE_PROBATION,
}


class CheckIns:
    """The port.

    Args:
        client: Of the device listener.
        versions: Whose metadata names the director's keys.
        store: Of telemetry.
        facts: What this device is.
        identity: The present one.
        moved: Takes a renewed or moved identity.
        now: Seconds since the epoch.
    """

    def __init__(
        self,
        client: Fleet,
        versions: SignedVersions,
        store: Outgoing,
        facts: enrolment_pb2.DeviceFacts,
        identity: Callable[[], Identity],
        moved: Callable[[Identity], None],
        now: Callable[[], float],
    ) -> None:
        self._client, self._versions, self._store, self._facts = client, versions, store, facts
        self._identity, self._moved, self._now = identity, moved, now
        self._keys: dict[str, bytes] = {}

    def perform(self, action: CheckIn) -> CheckedIn | CheckInFailed:
        """Asks; what goes wrong is the answer CheckInFailed."""
        try:
            renewal = self._keep_valid()
            dropped = self._store.dropped()
            answer = self._client.check_in(self._request(action, dropped))
        except (SanderlingError, OSError) as error:
            _log.info("check-in %d failed: %s", action.sequence, error)
            return CheckInFailed(f"{type(error).__name__}: {error}")
        except Exception as error:  # whatever it is, the next check-in must come
            _log.exception("check-in %d failed", action.sequence)
            return CheckInFailed(f"{type(error).__name__}: {error}")
        if dropped:
            self._store.confirm_dropped(dropped)
        identity = self._identity()
        if answer.HasField("addresses") and answer.addresses.device:  # without one this device would never come again
            self._moved(identity.with_addresses(addresses_of(answer.addresses, identity.addresses.enrolment)))
        desired, refused = self._desired(answer)
        return CheckedIn(
            next_s=min(max(answer.next_check_in_after.ToNanoseconds() / 1e9, _SOONEST_S), _LATEST_S),
            approved=answer.approved,
            desired=desired,
            committed=tuple((r.assignment_id, r.attempt) for r in answer.committed_results),
            telemetry=tuple((c.boot_id, c.sequence) for c in answer.telemetry_committed_through),
            refused=refused or renewal,
        )

    def _keep_valid(self) -> str:
        """Renews the certificate if it is time to. While the old one is valid a failure is told, not fatal."""
        identity = self._identity()
        try:
            self._moved(keep_valid(identity, self._client, self._now()))
        except SanderlingError as error:
            if identity.is_expired(self._now()):
                raise
            return f"the certificate could not be renewed, it expires {identity.expires:%Y-%m-%d}: {error}"
        return ""

    def _desired(self, answer: device_pb2.CheckInResponse) -> tuple[Desired | None, str]:
        """The desired state, believed; or why it is not."""
        newer = answer.tuf_timestamp_version > self._versions.timestamp_version
        try:
            if newer and self._keys:
                self._keys = self._versions.director_keys()
            if not answer.HasField("desired_state"):
                return None, ""
            if answer.desired_state.key_id not in self._keys:
                self._keys = self._versions.director_keys()
            return open_desired(answer.desired_state, self._keys), ""
        except IntegrityError as error:
            return None, str(error)
        except SanderlingError:
            return None, ""  # it comes again with the next check-in

    def _request(self, action: CheckIn, dropped: int) -> device_pb2.CheckInRequest:
        request = device_pb2.CheckInRequest(
            protocol_version=PROTOCOL_VERSION,
            boot_id=action.boot_id,
            sequence=action.sequence,
            facts=self._facts,
            slots=[_slot(slot) for slot in action.slots],
            results=[_result(result) for result in action.results],
            desired_counter=action.desired_counter,
            telemetry_dropped=dropped,
        )
        if not self._identity().addresses.broker_url:
            for row in self._store.pending(0, _TELEMETRY_ROWS, _TELEMETRY_BYTES):
                request.telemetry.append(telemetry_pb2.Envelope.FromString(row.payload))
        return request


def _slot(report: SlotReport) -> device_pb2.SlotStatus:
    return device_pb2.SlotStatus(
        slot=report.slot,
        active_version=report.active_version,
        manifest_digest=bytes.fromhex(report.manifest_digest),
        state=_STATES[report.phase],
        assignment_id=report.assignment,
        inferences=report.inferences,
        runner_restarts=report.runner_restarts,
    )


_OUTCOMES = {
    Outcome.COMMITTED: assignment_pb2.ASSIGNMENT_STATE_COMMITTED,
    Outcome.DISCARDED: assignment_pb2.ASSIGNMENT_STATE_DISCARDED,
    Outcome.REVERTED: assignment_pb2.ASSIGNMENT_STATE_REVERTED,
    Outcome.SUPERSEDED: assignment_pb2.ASSIGNMENT_STATE_SUPERSEDED,
}


def _result(result: Result) -> assignment_pb2.AssignmentResult:
    wire = assignment_pb2.AssignmentResult(
        id=assignment_pb2.ResultId(assignment_id=result.assignment, attempt=result.attempt),
        slot=result.slot,
        version=result.version,
        state=_OUTCOMES[result.outcome],
        code=assignment_pb2.ResultCode.Value(f"RESULT_CODE_{result.code.value}"),
        detail=result.detail,
        candidate=_measured(result.candidate),
        incumbent=_measured(result.incumbent),
    )
    wire.ended_at.FromNanoseconds(int(result.ended_at * 1e9))
    return wire


def _measured(found: Measured) -> assignment_pb2.Measurements:
    return assignment_pb2.Measurements(
        rows=found.rows,
        errors=found.errors,
        crashes=found.crashes,
        latency_p95_us=found.latency_p95_us,
        golden_score=found.golden_score,
        mean_confidence=found.mean_confidence,
        confidence_evidence=found.confidence_evidence,
    )
