"""Add corrections of rejected rows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True)

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

COUNTED = ("rejects", "corrections"), ("jobs", "corrections"), ("jobs", "corrected_rows")


def upgrade() -> None:
    for table, column in COUNTED:
        op.add_column(table, sa.Column(column, BIG, server_default=sa.text("0"), nullable=False))
    op.create_table(
        "correction_chunks",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("chunk_index", BIG, nullable=False),
        sa.Column("target_index", BIG, nullable=False),
        sa.Column("row_numbers", JSON, nullable=False),
        sa.Column("seen", JSON, nullable=False),
        sa.PrimaryKeyConstraint("job_id", "chunk_index", name=op.f("pk_correction_chunks")),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_correction_chunks_job_id"), ondelete="CASCADE"
        ),
    )


def downgrade() -> None:
    op.drop_table("correction_chunks")
    for table, column in reversed(COUNTED):
        op.drop_column(table, column)
