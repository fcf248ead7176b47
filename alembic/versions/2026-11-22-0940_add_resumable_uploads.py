"""Add resumable uploads."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)
JSON = sa.JSON(none_as_null=True)

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "uploads",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner", sa.String(length=100), nullable=False),
        sa.Column("length", BIG, nullable=True),
        sa.Column("sent_metadata", sa.Text(), nullable=False),
        sa.Column("submission", JSON, nullable=False),
        sa.Column("is_partial", sa.Boolean(), nullable=False),
        sa.Column("parts", JSON, nullable=True),
        sa.Column("verified_offset", BIG, nullable=True),
        sa.Column("answer", JSON, nullable=True),
        sa.Column("problem", JSON, nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_uploads")),
    )
    op.create_index("ix_uploads_expires_at", "uploads", ["expires_at"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_uploads_expires_at", table_name="uploads")
    op.drop_table("uploads")
