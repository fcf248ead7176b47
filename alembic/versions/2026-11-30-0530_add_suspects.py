"""Tell suspects, whose worker vanished, from chunks that ended a process of their own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "chunks", sa.Column("is_suspect", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    # What was counted until now were workers that vanished, whatever for.
    op.execute(
        "UPDATE chunks SET is_suspect = (1 = 1), deaths = 0 WHERE deaths > 0 AND status IN"
        " ('pending', 'processing')"
    )


def downgrade() -> None:
    op.execute(
        "UPDATE chunks SET deaths = 1 WHERE is_suspect AND deaths = 0 AND status IN ('pending',"
        " 'processing')"
    )
    op.drop_column("chunks", "is_suspect")
