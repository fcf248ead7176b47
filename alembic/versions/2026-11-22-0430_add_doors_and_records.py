"""Add what the other doors need (public ids, counts taken during the upload, records and their
vectors) and checksums of stored files; on PostgreSQL, keep result pages as text, which is neither
parsed nor packed by the slow default compression.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True)
JSONB = postgresql.JSONB(none_as_null=True)

# As in 0001, but for the cast: pages are text now.
POSTGRESQL_VIEW = """
CREATE VIEW result_rows AS
SELECT p.job_id,
       COALESCE((p.row_numbers ->> (r.place - 1)::int)::bigint, p.first_row + r.place - 1) AS row_number,
       CASE WHEN json_typeof(r.value) <> 'array' THEN r.value ELSE (
           SELECT json_object_agg(COALESCE(j.columns ->> n, 'column_' || n + 1), r.value -> n ORDER BY n)
           FROM generate_series(0, json_array_length(r.value) - 1) AS n
       ) END AS data
FROM result_pages p
JOIN jobs j ON j.id = p.job_id
CROSS JOIN LATERAL json_array_elements({data}) WITH ORDINALITY AS r(value, place)
"""

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("files", sa.Column("crc32", BIG, nullable=True))
    op.add_column(
        "jobs", sa.Column("door", sa.String(length=20), nullable=False, server_default="files")
    )
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
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_records_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_records")),
    )
    op.create_index(
        "uq_records_job_id_row_number", "records", ["job_id", "row_number"], unique=True
    )
    op.create_table(
        "vector_tasks",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("first_row", BIG, autoincrement=False, nullable=False),
        sa.Column("last_row", BIG, nullable=False),
        sa.Column("record_count", BIG, nullable=False),
        sa.Column("done", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_vector_tasks_job_id"), ondelete="CASCADE"
        ),
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
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_record_vectors_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "row_number", name=op.f("pk_record_vectors")),
    )
    op.create_index(
        "ix_record_vectors_text_hash",
        "record_vectors",
        ["text_hash", "model", "precision"],
        unique=False,
    )
    if op.get_bind().dialect.name == "postgresql":
        _keep_pages_as("text", POSTGRESQL_VIEW.format(data="p.data::json"))
        _prefer_fast_storage(op.get_bind())


def _keep_pages_as(kind: str, view: str) -> None:
    op.execute("DROP VIEW result_rows")
    op.execute(f"ALTER TABLE result_pages ALTER COLUMN data TYPE {kind} USING data::{kind}")
    op.execute(view)


def _prefer_fast_storage(connection: sa.Connection) -> None:
    """Packing pages by the default, pglz, takes longer than all else that the server does with
    them. Where there is no lz4 they are better not packed: at some 28 bytes per short row they
    still take less room than rows in a table.
    """
    try:
        with connection.begin_nested():
            connection.execute(
                sa.text("ALTER TABLE result_pages ALTER COLUMN data SET COMPRESSION lz4")
            )
    except sa.exc.DBAPIError:
        op.execute("ALTER TABLE result_pages ALTER COLUMN data SET STORAGE EXTERNAL")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE result_pages ALTER COLUMN data SET STORAGE EXTENDED")
        _keep_pages_as("json", POSTGRESQL_VIEW.format(data="p.data"))
        # the service makes it, beside the migrations
        op.execute("DROP TABLE IF EXISTS record_halfvecs")
    op.drop_table("record_vectors")
    op.drop_table("vector_tasks")
    op.drop_table("records")
    op.drop_index("ix_jobs_door", "jobs")
    op.drop_index("uq_jobs_public_id", "jobs")
    for column in ("vectors_error", "split_crc32", "total_rows", "public_id", "door"):
        op.drop_column("jobs", column)
    op.drop_column("files", "crc32")
