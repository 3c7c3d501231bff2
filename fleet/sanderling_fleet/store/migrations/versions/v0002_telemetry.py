"""telemetry."""

import sqlalchemy as sa
from alembic import op

revision = "v0002"
down_revision = "v0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Goes forward; there is no way back but a backup."""
    op.create_table(
        "drift",
        sa.Column("day", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("device_id", sa.String(), nullable=False),
        sa.Column("boot_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("slot", sa.String(), autoincrement=False, nullable=False),
        sa.Column("version", sa.String(), autoincrement=False, nullable=False),
        sa.Column("identity", sa.String(), autoincrement=False, nullable=False),
        sa.Column("at", sa.Float(), autoincrement=False, nullable=False),
        sa.Column("received_at", sa.Float(), autoincrement=False, nullable=False),
        sa.Column("window", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("verdict", sa.String(), autoincrement=False, nullable=False),
        sa.Column("content", sa.LargeBinary(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(
            ["device_id"],
            ["device.device_id"],
        ),
        sa.PrimaryKeyConstraint("day", "device_id", "boot_id", "sequence"),
    )
    with op.batch_alter_table("drift", schema=None) as batch_op:
        batch_op.create_index("ix_drift_slot_version_day", ["slot", "version", "day"], unique=False)

    op.create_table(
        "event",
        sa.Column("day", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("device_id", sa.String(), nullable=False),
        sa.Column("boot_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("slot", sa.String(), autoincrement=False, nullable=False),
        sa.Column("version", sa.String(), autoincrement=False, nullable=False),
        sa.Column("identity", sa.String(), autoincrement=False, nullable=False),
        sa.Column("at", sa.Float(), autoincrement=False, nullable=False),
        sa.Column("received_at", sa.Float(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(), autoincrement=False, nullable=False),
        sa.Column("severity", sa.String(), autoincrement=False, nullable=False),
        sa.Column("message", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("fields", sa.JSON(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(
            ["device_id"],
            ["device.device_id"],
        ),
        sa.PrimaryKeyConstraint("day", "device_id", "boot_id", "sequence"),
    )
    with op.batch_alter_table("event", schema=None) as batch_op:
        batch_op.create_index("ix_event_slot_version_day", ["slot", "version", "day"], unique=False)

    op.create_table(
        "metrics",
        sa.Column("day", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("device_id", sa.String(), nullable=False),
        sa.Column("boot_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("slot", sa.String(), autoincrement=False, nullable=False),
        sa.Column("version", sa.String(), autoincrement=False, nullable=False),
        sa.Column("identity", sa.String(), autoincrement=False, nullable=False),
        sa.Column("at", sa.Float(), autoincrement=False, nullable=False),
        sa.Column("received_at", sa.Float(), autoincrement=False, nullable=False),
        sa.Column("inferences", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("errors", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("latency_p50_us", sa.Float(), autoincrement=False, nullable=False),
        sa.Column("latency_p95_us", sa.Float(), autoincrement=False, nullable=False),
        sa.Column("mean_confidence", sa.Float(), autoincrement=False, nullable=False),
        sa.Column("runner_restarts", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("resident_bytes", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("cpu_seconds", sa.Float(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(
            ["device_id"],
            ["device.device_id"],
        ),
        sa.PrimaryKeyConstraint("day", "device_id", "boot_id", "sequence"),
    )
    with op.batch_alter_table("metrics", schema=None) as batch_op:
        batch_op.create_index("ix_metrics_slot_version_day", ["slot", "version", "day"], unique=False)

    op.create_table(
        "presence",
        sa.Column("device_id", sa.String(), nullable=False),
        sa.Column("online", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("boot_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("agent_version", sa.String(), autoincrement=False, nullable=False),
        sa.Column("identity", sa.String(), autoincrement=False, nullable=False),
        sa.Column("changed_at", sa.Float(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(
            ["device_id"],
            ["device.device_id"],
        ),
        sa.PrimaryKeyConstraint("device_id"),
    )
    op.create_table(
        "telemetry_ahead",
        sa.Column("device_id", sa.String(), nullable=False),
        sa.Column("boot_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("ranges", sa.JSON(), autoincrement=False, nullable=False),
        sa.Column("since", sa.Float(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(
            ["device_id"],
            ["device.device_id"],
        ),
        sa.PrimaryKeyConstraint("device_id", "boot_id"),
    )
    op.create_table(
        "version_metrics",
        sa.Column("slot", sa.String(), autoincrement=False, nullable=False),
        sa.Column("version", sa.String(), autoincrement=False, nullable=False),
        sa.Column("identity", sa.String(), autoincrement=False, nullable=False),
        sa.Column("device_id", sa.String(), nullable=False),
        sa.Column("rows", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.Float(), autoincrement=False, nullable=False),
        sa.Column("received_at", sa.Float(), autoincrement=False, nullable=False),
        sa.Column("inferences", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("errors", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("latency_p50_us", sa.Float(), autoincrement=False, nullable=False),
        sa.Column("latency_p95_us", sa.Float(), autoincrement=False, nullable=False),
        sa.Column("mean_confidence", sa.Float(), autoincrement=False, nullable=False),
        sa.Column("runner_restarts", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("windows_moved", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("resident_bytes", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("cpu_seconds", sa.Float(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(
            ["device_id"],
            ["device.device_id"],
        ),
        sa.PrimaryKeyConstraint("slot", "version", "identity", "device_id"),
    )
    with op.batch_alter_table("version_metrics", schema=None) as batch_op:
        batch_op.create_index("ix_version_metrics_device_id", ["device_id"], unique=False)
