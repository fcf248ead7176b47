"""Add scored transactions, jobs that are parts of others, objects in buckets, and schedules."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)
JSON = sa.JSON(none_as_null=True)

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

WHERE_IT_COMES_FROM = ("job_id", sa.Uuid()), ("job_number", BIG), ("row_number", BIG)


def _only_where(condition: str) -> dict[str, sa.TextClause]:
    return {"postgresql_where": sa.text(condition), "sqlite_where": sa.text(condition)}


def _upserted(name: str, *columns: sa.Column) -> None:
    """A table with one row for each transaction, whichever job it comes from."""
    op.create_table(
        name,
        sa.Column("transaction_id", sa.String(length=64), nullable=False),
        *columns,
        sa.Column("content_hash", sa.String(length=16), nullable=False),
        *(sa.Column(column, kind, nullable=False) for column, kind in WHERE_IT_COMES_FROM),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("transaction_id", name=op.f(f"pk_{name}")),
    )
    op.create_index(f"ix_{name}_job_id_row_number", name, ["job_id", "row_number"], unique=False)


def upgrade() -> None:
    op.add_column("files", sa.Column("etag", sa.String(length=300), nullable=True))
    op.add_column("jobs", sa.Column("parent_id", sa.Uuid(), nullable=True))
    op.add_column("jobs", sa.Column("child_count", BIG, nullable=True))
    op.add_column("jobs", sa.Column("waiting_on", sa.String(length=20), nullable=True))
    op.create_index(
        "ix_jobs_parent_id",
        "jobs",
        ["parent_id"],
        unique=False,
        **_only_where("parent_id IS NOT NULL"),
    )
    _upserted(
        "transactions",
        sa.Column("timestamp", TIME, nullable=True),
        sa.Column("account_id", sa.Text(), nullable=True),
        sa.Column("amount", sa.Numeric(20, 4), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("data", JSON, nullable=False),
    )
    _upserted(
        "predictions",
        sa.Column("prediction", sa.String(length=40), nullable=False),
        sa.Column("fraud_score", sa.Double(), nullable=False),
        sa.Column("model_version", sa.String(length=100), nullable=False),
        sa.Column("latency_ms", sa.Double(), nullable=False),
    )
    op.create_table(
        "schedules",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner", sa.String(length=100), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("cron", sa.String(length=100), nullable=False),
        sa.Column("timezone", sa.String(length=60), nullable=False),
        sa.Column("job", JSON, nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("next_run_at", TIME, nullable=False),
        sa.Column("last_run_at", TIME, nullable=True),
        sa.Column("last_job_id", sa.Uuid(), nullable=True),
        sa.Column("last_outcome", JSON, nullable=True),
        sa.Column("runs", BIG, nullable=False),
        sa.Column("skipped", BIG, nullable=False),
        sa.Column("missed", BIG, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedules")),
    )
    op.create_index(
        "ix_schedules_due", "schedules", ["next_run_at"], unique=False, **_only_where("NOT paused")
    )


def downgrade() -> None:
    for table in ("schedules", "predictions", "transactions"):
        op.drop_table(table)
    op.drop_index("ix_jobs_parent_id", "jobs")
    for column in ("waiting_on", "child_count", "parent_id"):
        op.drop_column("jobs", column)
    op.drop_column("files", "etag")
