"""Add how many rows each chunk rejected by code, so that they need not be counted for every
page.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("chunks", sa.Column("reject_codes", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("chunks", "reject_codes")
