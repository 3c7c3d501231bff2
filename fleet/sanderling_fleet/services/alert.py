"""The operator listener: alerts, and the windows that the fleet was judged by."""

from __future__ import annotations

import math
from typing import Any

from sanderling.api.telemetry.v1 import alert_pb2 as pb
from sanderling.api.telemetry.v1 import telemetry_pb2
from sanderling.api.telemetry.v1.alert_pb2_grpc import AlertServiceServicer
from sanderling_fleet.alerts import Severity
from sanderling_fleet.core import alert_admin
from sanderling_fleet.core.context import Core
from sanderling_fleet.services.interceptor import CALL, Context
from sanderling_fleet.store import Document
from sanderling_fleet.wire import timestamp

_PAGE, _MOST = 100, 1000
_SEVERITIES = {
    Severity.INFO: telemetry_pb2.SEVERITY_INFO,
    Severity.WARNING: telemetry_pb2.SEVERITY_WARNING,
    Severity.ERROR: telemetry_pb2.SEVERITY_ERROR,
}


class AlertService(AlertServiceServicer):
    """See alert.proto."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def ListAlerts(self, request: pb.ListAlertsRequest, context: Context) -> pb.ListAlertsResponse:
        """See alert.proto."""
        found = await alert_admin.list_alerts(self._core, acknowledged=request.include_acknowledged)
        return pb.ListAlertsResponse(alerts=[alert_message(item) for item in found])

    async def AckAlert(self, request: pb.AckAlertRequest, context: Context) -> pb.AckAlertResponse:
        """See alert.proto."""
        call = CALL.get()
        call.subject = request.alert_id
        found = await alert_admin.acknowledge(self._core, request.alert_id, call.caller, request.comment)
        return pb.AckAlertResponse(alert=alert_message(found))

    async def ListFleetWindows(
        self, request: pb.ListFleetWindowsRequest, context: Context
    ) -> pb.ListFleetWindowsResponse:
        """See alert.proto."""
        limit = min(request.page_size or _PAGE, _MOST)
        found = await alert_admin.list_windows(self._core, request.slot, limit)
        return pb.ListFleetWindowsResponse(windows=[window_message(item) for item in found])


def alert_message(document: Document) -> pb.Alert:
    """An alert on the wire."""
    body = document.body
    return pb.Alert(
        alert_id=document.document_id,
        kind=body["kind"],
        severity=_SEVERITIES[Severity(body["severity"])],
        summary=body["summary"],
        devices=body["devices"],
        raised=timestamp(document.created_at),
        acknowledged=timestamp(body["acknowledged_at"]),
        acknowledged_by=body["acknowledged_by"],
        repeats=body["repeats"],
    )


def window_message(body: dict[str, Any]) -> pb.FleetWindow:
    """A fleet window on the wire; minus infinity where there was no evidence."""
    evidence = body["log_evidence"]
    return pb.FleetWindow(
        slot=body["slot"],
        window=body["window"],
        scope=pb.FleetScope.Value(f"FLEET_SCOPE_{body['scope'].upper()}"),
        log_evidence=-math.inf if evidence is None else evidence,
        devices=body["devices"],
        missing=body["missing"],
        moved=body["moved"],
        faulty=body["faulty"],
        judged=timestamp(body["judged_at"]),
    )
