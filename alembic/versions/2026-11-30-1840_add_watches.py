"""Add watches, and the objects that they have seen."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "watches",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner", sa.String(100), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("source", sa.String(1000), nullable=False),
        sa.Column("job", sa.JSON(), nullable=False),
        sa.Column("every_seconds", sa.Double(), nullable=False),
        sa.Column("settle_seconds", sa.Double(), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("is_requested", sa.Boolean(), nullable=False),
        sa.Column("next_check_at", TIME, nullable=False),
        sa.Column("claim_token", sa.Uuid(), nullable=True),
        sa.Column("leased_until", TIME, nullable=True),
        sa.Column("failures", BIG, nullable=False),
        sa.Column("last_checked_at", TIME, nullable=True),
        sa.Column("last_outcome", sa.JSON(), nullable=True),
        sa.Column("jobs", BIG, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_watches")),
    )
    op.create_index("ix_watches_due", "watches", ["next_check_at"])
    op.create_index("ix_watches_owner", "watches", ["owner", "created_at"])
    op.create_table(
        "watched_objects",
        sa.Column("number", BIG, sa.Identity(), nullable=False),
        sa.Column("watch_id", sa.Uuid(), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("version_key", sa.LargeBinary(), nullable=False),
        sa.Column("size_bytes", BIG, nullable=False),
        sa.Column("etag", sa.String(300), nullable=False),
        sa.Column("status", sa.String(10), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("error", sa.JSON(), nullable=True),
        sa.Column("attempts", BIG, nullable=False),
        sa.Column("seen_at", TIME, nullable=False),
        sa.Column("next_attempt_at", TIME, nullable=False),
        sa.Column("last_seen_at", TIME, nullable=False),
        sa.Column("ended_at", TIME, nullable=True),
        sa.CheckConstraint(
            "status IN ('waiting', 'queued', 'failed')", name=op.f("ck_watched_objects_status")
        ),
        sa.ForeignKeyConstraint(
            ["watch_id"],
            ["watches.id"],
            name=op.f("fk_watched_objects_watch_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_watched_objects")),
        sa.UniqueConstraint(
            "watch_id", "version_key", name=op.f("uq_watched_objects_watch_id_version_key")
        ),
    )
    op.create_index("ix_watched_objects_watch_id_number", "watched_objects", ["watch_id", "number"])
    op.create_index(
        "ix_watched_objects_watch_id_status",
        "watched_objects",
        ["watch_id", "status", "last_seen_at"],
    )


def downgrade() -> None:
    op.drop_table("watched_objects")
    op.drop_table("watches")
