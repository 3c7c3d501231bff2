"""telemetry by time."""

from alembic import op

revision = "v0003"
down_revision = "v0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Goes forward; there is no way back but a backup."""
    for table in ("drift", "event", "metrics"):
        op.drop_index(f"ix_{table}_slot_version_day", table)
    for table in ("drift", "metrics"):
        op.create_index(f"ix_{table}_slot_received_at", table, ["slot", "received_at"])
