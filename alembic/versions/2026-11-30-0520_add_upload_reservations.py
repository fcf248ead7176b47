"""Add what a resumable upload counts for while it grows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "uploads", sa.Column("reserved_bytes", BIG, server_default=sa.text("0"), nullable=False)
    )
    op.execute(
        "UPDATE uploads SET reserved_bytes = length WHERE length IS NOT NULL AND answer IS NULL AND"
        " problem IS NULL"
    )
    op.create_index("ix_uploads_owner", "uploads", ["owner"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_uploads_owner", table_name="uploads")
    op.drop_column("uploads", "reserved_bytes")
