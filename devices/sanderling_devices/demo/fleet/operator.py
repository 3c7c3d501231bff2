"""The operator's side of the demo: join tokens, devices and rollouts over gRPC, signing by command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf.duration_pb2 import Duration

from sanderling.api.device.v1 import device_admin_pb2
from sanderling.api.device.v1.device_admin_pb2_grpc import DeviceAdminServiceStub
from sanderling.api.retrain.v1 import retrain_pb2
from sanderling.api.retrain.v1.retrain_pb2_grpc import RetrainServiceStub
from sanderling.api.rollout.v1 import rollout_pb2
from sanderling.api.rollout.v1.rollout_pb2_grpc import RolloutServiceStub
from sanderling.api.telemetry.v1 import alert_pb2
from sanderling.api.telemetry.v1.alert_pb2_grpc import AlertServiceStub
from sanderling.errors import SanderlingError
from sanderling.versions import Bundle, write_bundle
from sanderling_devices.demo.fleet.processes import WAIT_S, Server, sanderling

_TRIES = 10
FINISHED = frozenset({"SUCCEEDED", "ABORTED", "ROLLED_BACK", "PAUSED"})
"""States of a rollout in which it waits for nobody, or for a person."""


class Operator:
    """A connection to the operator listener, which outlives restarts of the server.

    Its methods raise SanderlingError with the server's words where it refuses.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        credentials = grpc.ssl_channel_credentials((server.folder / "operator" / "ca.pem").read_bytes())
        token = (server.folder / "operator" / "token").read_text().strip()
        self._metadata = (("authorization", f"Bearer {token}"),)
        # A server that is started again is found again at once, not after gRPC's two minutes.
        options = [("grpc.max_reconnect_backoff_ms", 500), ("grpc.min_reconnect_backoff_ms", 2000)]
        self._channel = grpc.secure_channel(server.addresses["operator"], credentials, options)
        self._devices, self._rollouts = DeviceAdminServiceStub(self._channel), RolloutServiceStub(self._channel)
        self._alerts, self._retraining = AlertServiceStub(self._channel), RetrainServiceStub(self._channel)

    def __enter__(self) -> Self:
        """Nothing is sent before the first call."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the connection."""
        self._channel.close()

    def join_token(self, **labels: str) -> str:
        """For one device, approved."""
        request = device_admin_pb2.CreateJoinTokenRequest(labels=labels, approved=True, life=Duration(seconds=3600))
        return str(self._call(self._devices.CreateJoinToken, request).join_token)

    def devices(self) -> dict[str, Any]:
        """All, by id."""
        found = self._call(self._devices.ListDevices, device_admin_pb2.ListDevicesRequest(page_size=500)).devices
        return {device.device_id: device for device in found}

    def alerts(self) -> list[alert_pb2.Alert]:
        """Those that stand."""
        return list(self._call(self._alerts.ListAlerts, alert_pb2.ListAlertsRequest()).alerts)

    def windows(self, slot: str, most: int = 500) -> list[alert_pb2.FleetWindow]:
        """The windows that the fleet was judged by, newest first."""
        request = alert_pb2.ListFleetWindowsRequest(slot=slot, page_size=most)
        return list(self._call(self._alerts.ListFleetWindows, request).windows)

    def push(self, bundles: Sequence[Bundle], folder: Path) -> list[str]:
        """Writes bundles, then uploads and signs them: `sanderling model push`. Returns each "NAME-VERSION"."""
        paths = [write_bundle(bundle, folder) for bundle in bundles]
        sanderling("model", "push", *paths, "--release", self._server.release, environment=self._server.environment)
        return [bundle.manifest.full_name for bundle in bundles]

    def roll_out(
        self,
        version: str,
        slot: str,
        stages: Sequence[tuple[str, float]],
        *,
        soak_seconds: float,
        limit: tuple[int, float] = (2, 0.5),
    ) -> str:
        """Creates a rollout to all devices, aborted by its first breach. Returns its id.

        Args:
            version: "NAME-VERSION".
            slot: Of the model.
            stages: Name and share of the fleet in percent.
            soak_seconds: Of each stage.
            limit: Devices that fail, and their share of those that attempted, at which a stage is breached.
        """
        count, share = limit
        gate = rollout_pb2.Gate(
            hard_limit=rollout_pb2.HardLimit(metric=rollout_pb2.METRIC_FAILURES, count=count, share=share)
        )
        spec = rollout_pb2.RolloutSpec(
            slot=slot,
            version=version,
            stages=[
                rollout_pb2.Stage(
                    name=name,
                    percent=percent,
                    soak=_duration(soak_seconds),
                    deadline=Duration(seconds=600),
                    gates=[gate],
                )
                for name, percent in stages
            ],
            on_breach=rollout_pb2.ON_BREACH_ABORT,
            device_deadline=Duration(seconds=300),
        )
        request = rollout_pb2.CreateRolloutRequest(request_id=f"{version} to {slot}", spec=spec)
        return str(self._call(self._rollouts.CreateRollout, request).rollout.rollout_id)

    def rollout(self, rollout_id: str) -> rollout_pb2.Rollout:
        """As it stands."""
        answer: rollout_pb2.GetRolloutResponse = self._call(
            self._rollouts.GetRollout, rollout_pb2.GetRolloutRequest(rollout_id=rollout_id)
        )
        return answer.rollout

    def rollout_of(self, version: str) -> str:
        """Id of the rollout that brings a version; empty if there is none."""
        found = self._call(self._rollouts.ListRollouts, rollout_pb2.ListRolloutsRequest()).rollouts
        return next((rollout.rollout_id for rollout in found if rollout.spec.version == version), "")

    def promote(self, rollout_id: str, stage: int) -> None:
        """Lets it go past a stage in which it waits for a person; 0 is the first."""
        request = rollout_pb2.PromoteRolloutRequest(rollout_id=rollout_id, stage=stage)
        self._call(self._rollouts.PromoteRollout, request)

    def job(self, slot: str) -> retrain_pb2.Job | None:
        """The slot's latest retraining job; None without one."""
        jobs = self._call(self._retraining.ListJobs, retrain_pb2.ListJobsRequest(slot=slot)).jobs
        return jobs[-1] if jobs else None

    def _call(self, method: Any, request: Any) -> Any:
        # Every call here repeats safely; a token that nobody saw expires.
        for last in (False,) * _TRIES + (True,):
            try:
                return method(request, metadata=self._metadata, timeout=WAIT_S, wait_for_ready=True)
            except grpc.RpcError as error:
                if last or error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise SanderlingError(f"[operator] {error.code().name}: {error.details()}") from error
        raise AssertionError("the last try has returned or raised")


def state_of(rollout: rollout_pb2.Rollout) -> str:
    """Its state as a word."""
    return rollout_pb2.RolloutState.Name(rollout.state).removeprefix("ROLLOUT_STATE_")


def _duration(seconds: float) -> Duration:
    made = Duration()
    made.FromNanoseconds(int(seconds * 1e9))
    return made
