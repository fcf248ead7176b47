"""Add the key by which the result of an earlier job is found again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("cache_key", sa.String(length=64), nullable=True))
    where = {
        "postgresql_where": sa.text("cache_key IS NOT NULL"),
        "sqlite_where": sa.text("cache_key IS NOT NULL"),
    }
    op.create_index("ix_jobs_cache_key", "jobs", ["owner", "cache_key"], unique=False, **where)


def downgrade() -> None:
    op.drop_index("ix_jobs_cache_key", table_name="jobs")
    op.drop_column("jobs", "cache_key")
