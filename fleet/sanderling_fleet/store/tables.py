"""The records as SQL tables. A column for every field, in the same order: a test compares them.

A change here needs a migration in `migrations/versions`; `alembic check` in the tests finds what was forgotten.
"""

from __future__ import annotations

from typing import Any

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


def _table(
    name: str,
    kind: type[records.Record],
    /,
    *,
    indexed: tuple[tuple[str, ...], ...] = (),
    of_device: bool = False,
    **types: type[TypeEngine[Any]],
) -> Table:
    def column(field: str, type_: type[TypeEngine[Any]]) -> Column[Any]:
        key = field in kind.KEY
        if of_device and field == "device_id":
            return Column(field, type_(), ForeignKey("device.device_id"), primary_key=key, nullable=False)
        return Column(field, type_(), primary_key=key, nullable=False, autoincrement=False)

    indexes = (Index(f"ix_{name}_{'_'.join(fields)}", *fields) for fields in indexed)
    return Table(name, metadata, *(column(*item) for item in types.items()), *indexes)


TABLES: dict[type[records.Record], Table] = {
    records.Device: _table(
        "device",
        records.Device,
        device_id=String,
        standing=String,
        reason=Text,
        labels=JSON,
        facts=JSON,
        enrolled_at=Float,
        last_seen_at=Float,
        boot_id=String,
        former_boot_ids=JSON,
        sequence=BigInteger,
        slots=JSON,
        reported_counter=BigInteger,
        certificate_expires_at=Float,
    ),
    records.Certificate: _table(
        "certificate",
        records.Certificate,
        of_device=True,
        indexed=(("device_id",),),
        serial=String,
        device_id=String,
        issued_at=Float,
        expires_at=Float,
        revoked_at=Float,
    ),
    records.JoinToken: _table(
        "join_token",
        records.JoinToken,
        secret_digest=String,
        root_version=BigInteger,
        created_at=Float,
        expires_at=Float,
        labels=JSON,
        approved=Boolean,
        used_at=Float,
        request_id=String,
        device_id=String,
    ),
    records.UsedNonce: _table("used_nonce", records.UsedNonce, nonce_digest=String, expires_at=Float),
    records.Metadata: _table(
        "metadata", records.Metadata, role=String, version=BigInteger, content=LargeBinary, expires_at=Float
    ),
    records.Version: _table(
        "version",
        records.Version,
        indexed=(("model",), ("role",)),
        name=String,
        model=String,
        release_counter=BigInteger,
        manifest_digest=LargeBinary,
        size=BigInteger,
        role=String,
        published_at=Float,
        manifest=Text,
        withdrawn=Boolean,
    ),
    records.Group: _table("device_group", records.Group, name=String, selector=Text),
    records.OperatorToken: _table(
        "operator_token",
        records.OperatorToken,
        indexed=(("name",),),
        token_digest=String,
        name=String,
        role=String,
        created_at=Float,
        expires_at=Float,
    ),
    records.AuditLine: _table(
        "audit",
        records.AuditLine,
        sequence=BigInteger,
        at=Float,
        actor=String,
        action=String,
        subject=Text,
        outcome=String,
        detail=Text,
        former_digest=String,
        digest=String,
    ),
    records.DesiredState: _table(
        "desired_state",
        records.DesiredState,
        of_device=True,
        device_id=String,
        counter=BigInteger,
        issued_at=Float,
        payload=LargeBinary,
        key_id=String,
        signature=LargeBinary,
    ),
    records.Result: _table(
        "result",
        records.Result,
        of_device=True,
        device_id=String,
        assignment_id=String,
        attempt=BigInteger,
        received_at=Float,
        content=LargeBinary,
    ),
    records.TelemetryProgress: _table(
        "telemetry_progress",
        records.TelemetryProgress,
        of_device=True,
        device_id=String,
        boot_id=String,
        sequence=BigInteger,
        updated_at=Float,
    ),
    records.Document: _table(
        "document",
        records.Document,
        indexed=(("kind", "state"), ("kind", "subject")),
        kind=String,
        document_id=String,
        version=BigInteger,
        state=String,
        subject=String,
        created_at=Float,
        updated_at=Float,
        body=JSON,
    ),
}
