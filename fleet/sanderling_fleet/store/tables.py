"""The records as SQL tables: a column for every field, in the same order, of the type that the field's type says.

A change of a record needs a migration in `migrations/versions`; `alembic check` in the tests finds what was forgotten.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any, get_origin, get_type_hints

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)
from sqlalchemy.types import TypeEngine

from sanderling_fleet.store import records

metadata = MetaData()
_TYPES: dict[Any, type[TypeEngine[Any]]] = {
    str: String,
    int: BigInteger,
    float: Float,
    bool: Boolean,
    bytes: LargeBinary,
    dict: JSON,
    list: JSON,
}


def _table(
    name: str,
    kind: type[records.Record],
    *,
    text: Collection[str] = (),
    indexed: tuple[tuple[str, ...], ...] = (),
    of_device: bool = False,
) -> Table:
    """A table.

    Args:
        name: Of the table.
        kind: What it holds.
        text: Fields of text that may be long.
        indexed: Fields of each index beside the key's.
        of_device: Its `device_id` names a device that there is.
    """
    assert dataclasses.is_dataclass(kind)
    hints = get_type_hints(kind)

    def column(field: str) -> Column[Any]:
        type_ = Text if field in text else _TYPES[get_origin(hints[field]) or hints[field]]
        key = field in kind.KEY
        if of_device and field == "device_id":
            return Column(field, type_(), ForeignKey("device.device_id"), primary_key=key, nullable=False)
        return Column(field, type_(), primary_key=key, nullable=False, autoincrement=False)

    indexes = (Index(f"ix_{name}_{'_'.join(fields)}", *fields) for fields in indexed)
    return Table(name, metadata, *(column(field.name) for field in dataclasses.fields(kind)), *indexes)


_BY_TIME = (("slot", "received_at"),)

TABLES: dict[type[records.Record], Table] = {
    records.Device: _table("device", records.Device, text=("reason",)),
    records.Certificate: _table("certificate", records.Certificate, indexed=(("device_id",),), of_device=True),
    records.JoinToken: _table("join_token", records.JoinToken),
    records.UsedNonce: _table("used_nonce", records.UsedNonce),
    records.Metadata: _table("metadata", records.Metadata),
    records.Version: _table("version", records.Version, text=("manifest",), indexed=(("model",), ("role",))),
    records.Group: _table("device_group", records.Group, text=("selector",)),
    records.OperatorToken: _table("operator_token", records.OperatorToken, indexed=(("name",),)),
    records.AuditLine: _table("audit", records.AuditLine, text=("subject", "detail")),
    records.DesiredState: _table("desired_state", records.DesiredState, of_device=True),
    records.Result: _table("result", records.Result, of_device=True),
    records.TelemetryProgress: _table("telemetry_progress", records.TelemetryProgress, of_device=True),
    records.TelemetryAhead: _table("telemetry_ahead", records.TelemetryAhead, of_device=True),
    records.MetricsRow: _table("metrics", records.MetricsRow, indexed=_BY_TIME, of_device=True),
    records.DriftRow: _table("drift", records.DriftRow, indexed=_BY_TIME, of_device=True),
    records.EventRow: _table("event", records.EventRow, text=("message",), of_device=True),
    records.VersionMetrics: _table(
        "version_metrics", records.VersionMetrics, indexed=(("device_id",),), of_device=True
    ),
    records.Presence: _table("presence", records.Presence, of_device=True),
    records.Document: _table("document", records.Document, indexed=(("kind", "state"), ("kind", "subject"))),
}
