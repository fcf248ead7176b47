"""Add the file that a job made."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("result_file_id", sa.Uuid(), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "result_file_id")
