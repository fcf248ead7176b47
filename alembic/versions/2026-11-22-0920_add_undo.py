"""Add what an undo needs: versions of rows that were replaced, and how far an undo is."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)
JSON = sa.JSON(none_as_null=True)

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in (
        sa.Column("keeps_versions", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("undo_state", sa.String(length=10), nullable=True),
        sa.Column("undo_counts", JSON, nullable=True),
        sa.Column("undone_at", TIME, nullable=True),
    ):
        op.add_column("jobs", column)
    undoing = {
        name: sa.text("undo_state = 'undoing'") for name in ("postgresql_where", "sqlite_where")
    }
    op.create_index("ix_jobs_undoing", "jobs", ["number"], unique=False, **undoing)
    _create(
        "transaction_versions",
        sa.Column("timestamp", TIME, nullable=True),
        sa.Column("account_id", sa.Text(), nullable=True),
        sa.Column("amount", sa.Numeric(20, 4), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("data", JSON, nullable=False),
    )
    _create(
        "prediction_versions",
        sa.Column("prediction", sa.String(length=40), nullable=False),
        sa.Column("fraud_score", sa.Double(), nullable=False),
        sa.Column("model_version", sa.String(length=100), nullable=False),
        sa.Column("latency_ms", sa.Double(), nullable=False),
    )


def _create(name: str, *columns: sa.Column[Any]) -> None:
    op.create_table(
        name,
        sa.Column("transaction_id", sa.String(length=64), nullable=False),
        sa.Column("job_number", BIG, autoincrement=False, nullable=False),
        *columns,
        sa.Column("content_hash", sa.String(length=16), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("row_number", BIG, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.Column("archived_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("transaction_id", "job_number", name=op.f(f"pk_{name}")),
    )
    op.create_index(f"ix_{name}_job_id_row_number", name, ["job_id", "row_number"], unique=False)
    op.create_index(f"ix_{name}_archived_at", name, ["archived_at"], unique=False)


def downgrade() -> None:
    for name in ("prediction_versions", "transaction_versions"):
        op.drop_table(name)
    op.drop_index("ix_jobs_undoing", table_name="jobs")
    for column in ("undone_at", "undo_counts", "undo_state", "keeps_versions"):
        op.drop_column("jobs", column)
