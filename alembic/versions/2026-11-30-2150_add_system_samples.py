"""Add samples of load every five minutes, the time of the last backup, and an index of ended jobs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)
IS_ENDED = sa.text("finished_at IS NOT NULL")

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "system_samples",
        sa.Column("at", TIME, nullable=False),
        sa.Column("rows", BIG, nullable=False),
        sa.Column("failed_rows", BIG, nullable=False),
        sa.Column("failed_jobs", BIG, nullable=False),
        sa.Column("queued_jobs", BIG, nullable=False),
        sa.Column("waiting_chunks", BIG, nullable=False),
        sa.Column("workers", BIG, nullable=False),
        sa.Column("disk_free_bytes", BIG, nullable=True),
        sa.PrimaryKeyConstraint("at", name=op.f("pk_system_samples")),
    )
    op.create_index(
        "ix_jobs_finished_at",
        "jobs",
        ["finished_at"],
        postgresql_where=IS_ENDED,
        sqlite_where=IS_ENDED,
    )
    op.add_column("installation", sa.Column("backed_up_at", TIME, nullable=True))


def downgrade() -> None:
    op.drop_column("installation", "backed_up_at")
    op.drop_index("ix_jobs_finished_at", table_name="jobs")
    op.drop_table("system_samples")
