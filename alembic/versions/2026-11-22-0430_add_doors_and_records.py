"""Add what the other doors need: public ids, counts taken during the upload, records, their vectors, and content checksums."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True)
JSONB = postgresql.JSONB(none_as_null=True)

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("files", sa.Column("crc32", BIG, nullable=True))
    op.add_column("jobs", sa.Column("door", sa.String(length=20), nullable=False, server_default="files"))
    op.add_column("jobs", sa.Column("public_id", sa.String(length=40), nullable=True))
    op.add_column("jobs", sa.Column("total_rows", BIG, nullable=True))
    op.add_column("jobs", sa.Column("split_crc32", BIG, nullable=True))
    op.add_column("jobs", sa.Column("vectors_error", JSON, nullable=True))
    op.create_index("uq_jobs_public_id", "jobs", ["public_id"], unique=True)
    op.create_index("ix_jobs_door", "jobs", ["owner", "door", "number"], unique=False)
    op.create_table(
        "records",
        sa.Column("id", BIG, sa.Identity(always=False), autoincrement=True, nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("row_number", BIG, nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("data", JSON.with_variant(JSONB, "postgresql"), nullable=False),
        sa.Column("errors", JSON, nullable=True),
        sa.CheckConstraint("status IN ('valid', 'invalid')", name=op.f("ck_records_status")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_records_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_records")),
    )
    op.create_index("uq_records_job_id_row_number", "records", ["job_id", "row_number"], unique=True)
    op.create_table(
        "vector_tasks",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("first_row", BIG, autoincrement=False, nullable=False),
        sa.Column("last_row", BIG, nullable=False),
        sa.Column("record_count", BIG, nullable=False),
        sa.Column("done", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_vector_tasks_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "first_row", name=op.f("pk_vector_tasks")),
    )
    op.create_index(
        "ix_vector_tasks_open",
        "vector_tasks",
        ["job_id", "first_row"],
        unique=False,
        postgresql_where=sa.text("NOT done"),
        sqlite_where=sa.text("NOT done"),
    )
    op.create_table(
        "record_vectors",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("row_number", BIG, autoincrement=False, nullable=False),
        sa.Column("model", sa.String(length=100), nullable=False),
        sa.Column("precision", sa.String(length=10), nullable=False),
        sa.Column("text_hash", sa.LargeBinary(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_record_vectors_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "row_number", name=op.f("pk_record_vectors")),
    )
    op.create_index("ix_record_vectors_text_hash", "record_vectors", ["text_hash", "model", "precision"], unique=False)


def downgrade() -> None:
    op.drop_table("record_vectors")
    op.drop_table("vector_tasks")
    op.drop_table("records")
    op.drop_index("ix_jobs_door", "jobs")
    op.drop_index("uq_jobs_public_id", "jobs")
    for column in ("vectors_error", "split_crc32", "total_rows", "public_id", "door"):
        op.drop_column("jobs", column)
    op.drop_column("files", "crc32")
