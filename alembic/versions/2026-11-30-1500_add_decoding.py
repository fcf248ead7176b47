"""Add what the decoders of a file found and did, and where its rows come from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("files", sa.Column("decoding", sa.JSON(), nullable=True))
    op.add_column("files", sa.Column("places", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("files", "places")
    op.drop_column("files", "decoding")
