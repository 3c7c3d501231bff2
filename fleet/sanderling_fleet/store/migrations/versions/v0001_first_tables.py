"""first tables."""

import sqlalchemy as sa
from alembic import op

revision = "v0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Goes forward; there is no way back but a backup."""
    op.create_table(
        "audit",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.Float(), autoincrement=False, nullable=False),
        sa.Column("actor", sa.String(), autoincrement=False, nullable=False),
        sa.Column("action", sa.String(), autoincrement=False, nullable=False),
        sa.Column("subject", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("outcome", sa.String(), autoincrement=False, nullable=False),
        sa.Column("detail", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("former_digest", sa.String(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.String(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("sequence"),
    )
    op.create_table(
        "device",
        sa.Column("device_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("standing", sa.String(), autoincrement=False, nullable=False),
        sa.Column("reason", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("labels", sa.JSON(), autoincrement=False, nullable=False),
        sa.Column("facts", sa.JSON(), autoincrement=False, nullable=False),
        sa.Column("enrolled_at", sa.Float(), autoincrement=False, nullable=False),
        sa.Column("last_seen_at", sa.Float(), autoincrement=False, nullable=False),
        sa.Column("boot_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("former_boot_ids", sa.JSON(), autoincrement=False, nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("slots", sa.JSON(), autoincrement=False, nullable=False),
        sa.Column("reported_counter", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("certificate_expires_at", sa.Float(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("device_id"),
    )
    op.create_table(
        "device_group",
        sa.Column("name", sa.String(), autoincrement=False, nullable=False),
        sa.Column("selector", sa.Text(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "document",
        sa.Column("kind", sa.String(), autoincrement=False, nullable=False),
        sa.Column("document_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("state", sa.String(), autoincrement=False, nullable=False),
        sa.Column("subject", sa.String(), autoincrement=False, nullable=False),
        sa.Column("created_at", sa.Float(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.Float(), autoincrement=False, nullable=False),
        sa.Column("body", sa.JSON(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("kind", "document_id"),
    )
    with op.batch_alter_table("document", schema=None) as batch_op:
        batch_op.create_index("ix_document_kind_state", ["kind", "state"], unique=False)
        batch_op.create_index("ix_document_kind_subject", ["kind", "subject"], unique=False)

    op.create_table(
        "join_token",
        sa.Column("secret_digest", sa.String(), autoincrement=False, nullable=False),
        sa.Column("root_version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("created_at", sa.Float(), autoincrement=False, nullable=False),
        sa.Column("expires_at", sa.Float(), autoincrement=False, nullable=False),
        sa.Column("labels", sa.JSON(), autoincrement=False, nullable=False),
        sa.Column("approved", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("used_at", sa.Float(), autoincrement=False, nullable=False),
        sa.Column("request_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("device_id", sa.String(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("secret_digest"),
    )
    op.create_table(
        "metadata",
        sa.Column("role", sa.String(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("content", sa.LargeBinary(), autoincrement=False, nullable=False),
        sa.Column("expires_at", sa.Float(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("role", "version"),
    )
    op.create_table(
        "operator_token",
        sa.Column("token_digest", sa.String(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(), autoincrement=False, nullable=False),
        sa.Column("role", sa.String(), autoincrement=False, nullable=False),
        sa.Column("created_at", sa.Float(), autoincrement=False, nullable=False),
        sa.Column("expires_at", sa.Float(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("token_digest"),
    )
    with op.batch_alter_table("operator_token", schema=None) as batch_op:
        batch_op.create_index("ix_operator_token_name", ["name"], unique=False)

    op.create_table(
        "used_nonce",
        sa.Column("nonce_digest", sa.String(), autoincrement=False, nullable=False),
        sa.Column("expires_at", sa.Float(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("nonce_digest"),
    )
    op.create_table(
        "version",
        sa.Column("name", sa.String(), autoincrement=False, nullable=False),
        sa.Column("model", sa.String(), autoincrement=False, nullable=False),
        sa.Column("release_counter", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("manifest_digest", sa.LargeBinary(), autoincrement=False, nullable=False),
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("role", sa.String(), autoincrement=False, nullable=False),
        sa.Column("published_at", sa.Float(), autoincrement=False, nullable=False),
        sa.Column("manifest", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("withdrawn", sa.Boolean(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    with op.batch_alter_table("version", schema=None) as batch_op:
        batch_op.create_index("ix_version_model", ["model"], unique=False)
        batch_op.create_index("ix_version_role", ["role"], unique=False)

    op.create_table(
        "certificate",
        sa.Column("serial", sa.String(), autoincrement=False, nullable=False),
        sa.Column("device_id", sa.String(), nullable=False),
        sa.Column("issued_at", sa.Float(), autoincrement=False, nullable=False),
        sa.Column("expires_at", sa.Float(), autoincrement=False, nullable=False),
        sa.Column("revoked_at", sa.Float(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(
            ["device_id"],
            ["device.device_id"],
        ),
        sa.PrimaryKeyConstraint("serial"),
    )
    with op.batch_alter_table("certificate", schema=None) as batch_op:
        batch_op.create_index("ix_certificate_device_id", ["device_id"], unique=False)

    op.create_table(
        "desired_state",
        sa.Column("device_id", sa.String(), nullable=False),
        sa.Column("counter", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("issued_at", sa.Float(), autoincrement=False, nullable=False),
        sa.Column("payload", sa.LargeBinary(), autoincrement=False, nullable=False),
        sa.Column("key_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("signature", sa.LargeBinary(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(
            ["device_id"],
            ["device.device_id"],
        ),
        sa.PrimaryKeyConstraint("device_id"),
    )
    op.create_table(
        "result",
        sa.Column("device_id", sa.String(), nullable=False),
        sa.Column("assignment_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("attempt", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("received_at", sa.Float(), autoincrement=False, nullable=False),
        sa.Column("content", sa.LargeBinary(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(
            ["device_id"],
            ["device.device_id"],
        ),
        sa.PrimaryKeyConstraint("device_id", "assignment_id", "attempt"),
    )
    op.create_table(
        "telemetry_progress",
        sa.Column("device_id", sa.String(), nullable=False),
        sa.Column("boot_id", sa.String(), autoincrement=False, nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.Float(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(
            ["device_id"],
            ["device.device_id"],
        ),
        sa.PrimaryKeyConstraint("device_id", "boot_id"),
    )
