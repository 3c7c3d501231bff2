"""The operator listener: alerts, and the windows that the fleet was judged by."""

from __future__ import annotations

from typing import Any

from sanderling.api.telemetry.v1 import alert_pb2 as pb
from sanderling.api.telemetry.v1 import telemetry_pb2
from sanderling.api.telemetry.v1.alert_pb2_grpc import AlertServiceServicer
from sanderling_fleet.alerts import Severity
from sanderling_fleet.core import alert_admin
from sanderling_fleet.core.context import Core
from sanderling_fleet.services.interceptor import CALL, Context
from sanderling_fleet.services.paging import page, page_size
from sanderling_fleet.store import Document
from sanderling_fleet.wire import timestamp

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
        listed, following = page(found, lambda item: (-item.created_at, item.document_id), request)
        return pb.ListAlertsResponse(alerts=[alert_message(item) for item in listed], next_page_token=following)

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
        found, following = await alert_admin.list_windows(
            self._core, request.slot, request.page_token, page_size(request.page_size)
        )
        return pb.ListFleetWindowsResponse(windows=[window_message(item) for item in found], next_page_token=following)


def alert_message(document: Document) -> pb.Alert:
    """An alert on the wire."""
    body = document.body
    return pb.Alert(
        alert_id=document.document_id,
        kind=body["kind"],
        severity=_SEVERITIES[Severity(body["severity"])],
        summary=body["summary"],
        devices=body["devices"],
        raised_at=timestamp(document.created_at),
        acknowledged_at=timestamp(body["acknowledged_at"]),
        acknowledged_by=body["acknowledged_by"],
        repeats=body["repeats"],
        comment=body.get("comment", ""),
    )


def window_message(body: dict[str, Any]) -> pb.FleetWindow:
    """A fleet window on the wire."""
    return pb.FleetWindow(
        slot=body["slot"],
        version=body["version"],
        identity=pb.TelemetryIdentity.Value(f"TELEMETRY_IDENTITY_{body['identity'].upper()}"),
        window=body["window"],
        scope=pb.FleetScope.Value(f"FLEET_SCOPE_{body['scope'].upper()}"),
        log_evidence=body["log_evidence"],
        reported=body["devices"],
        missing=body["missing"],
        moved=body["moved"],
        faulty=body["faulty"],
        cohort=body["cohort"],
        causes=body["causes"],
        judged_at=timestamp(body["judged_at"]),
    )
