"""Add the times when retention removed the results and the rejects of a job."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.db.types import UTCDateTime

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("rows_removed_at", UTCDateTime(), nullable=True))
    op.add_column("jobs", sa.Column("rejects_removed_at", UTCDateTime(), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "rejects_removed_at")
    op.drop_column("jobs", "rows_removed_at")
