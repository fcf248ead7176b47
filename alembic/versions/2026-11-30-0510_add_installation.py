"""Add the identity of this database, which its storage carries too, and what the last sweep of the
storage found.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

TIME = sa.DateTime(timezone=True)

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "installation",
        sa.Column("key", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("swept_at", TIME, nullable=True),
        sa.Column("lost_files", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("held_files", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("key = 1", name=op.f("ck_installation_single")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_installation")),
    )


def downgrade() -> None:
    op.drop_table("installation")
