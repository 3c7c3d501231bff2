"""What the fleet remembers: records in one transactional store, blobs by digest beside it."""

from sanderling_fleet.store.base import Store, Transaction
from sanderling_fleet.store.memory import MemoryStore
from sanderling_fleet.store.records import (
    AuditLine,
    Certificate,
    DesiredState,
    Device,
    Document,
    Group,
    JoinToken,
    Metadata,
    OperatorToken,
    Record,
    Result,
    Standing,
    TelemetryProgress,
    UsedNonce,
    Version,
)

__all__ = [
    "AuditLine",
    "Certificate",
    "DesiredState",
    "Device",
    "Document",
    "Group",
    "JoinToken",
    "MemoryStore",
    "Metadata",
    "OperatorToken",
    "Record",
    "Result",
    "Standing",
    "Store",
    "TelemetryProgress",
    "Transaction",
    "UsedNonce",
    "Version",
]
