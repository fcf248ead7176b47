"""Create files, jobs, chunks, result pages, rejects and idempotency keys, and the view of the
results.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)
JSON = sa.JSON(none_as_null=True)

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Both views give one row per result: its number in the file and an object by column. Cells beyond
# the header, kept with on_bad_row=keep, are column_N.
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
CROSS JOIN LATERAL json_array_elements(p.data) WITH ORDINALITY AS r(value, place)
"""
SQLITE_VIEW = """
CREATE VIEW result_rows AS
SELECT p.job_id,
       COALESCE(json_extract(p.row_numbers, '$[' || r.key || ']'), p.first_row + r.key) AS row_number,
       CASE WHEN r.type <> 'array' THEN r.value ELSE (
           SELECT json_group_object(COALESCE(json_extract(j.columns, '$[' || c.key || ']'), 'column_' || (c.key + 1)), c.value)
           FROM json_each(r.value) AS c
       ) END AS data
FROM result_pages p
JOIN jobs j ON j.id = p.job_id
CROSS JOIN json_each(p.data) AS r
"""


def upgrade() -> None:
    op.create_table(
        "files",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner", sa.String(length=100), nullable=False),
        sa.Column("filename", sa.String(length=255), nullable=False),
        sa.Column("media_type", sa.String(length=255), nullable=False),
        sa.Column("format", sa.String(length=20), nullable=False),
        sa.Column("encoding", sa.String(length=40), nullable=False),
        sa.Column("dialect", JSON, nullable=False),
        sa.Column("size_bytes", BIG, nullable=False),
        sa.Column("stored_bytes", BIG, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("dedup_key", sa.String(length=64), nullable=True),
        sa.Column("content_key", sa.String(length=64), nullable=False),
        sa.Column("storage_uri", sa.String(length=1000), nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("deleted_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_files")),
    )
    op.create_index(
        "ix_files_deleted_at",
        "files",
        ["deleted_at"],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NOT NULL"),
        sqlite_where=sa.text("deleted_at IS NOT NULL"),
    )
    op.create_index("ix_files_owner_content_key", "files", ["owner", "content_key"], unique=False)
    op.create_index("uq_files_owner_dedup_key", "files", ["owner", "dedup_key"], unique=True)
    op.create_table(
        "idempotency_keys",
        sa.Column("owner", sa.String(length=100), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("status_code", BIG, nullable=False),
        sa.Column("body", JSON, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("owner", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(
        "ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"], unique=False
    )
    op.create_table(
        "jobs",
        sa.Column("number", BIG, sa.Identity(always=False), autoincrement=True, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner", sa.String(length=100), nullable=False),
        sa.Column("file_id", sa.Uuid(), nullable=False),
        sa.Column("processor", sa.String(length=100), nullable=False),
        sa.Column("options", JSON, nullable=False),
        sa.Column("chunk_size", BIG, nullable=False),
        sa.Column("priority", BIG, nullable=False),
        sa.Column("status", sa.String(length=30), nullable=False),
        sa.Column("columns", JSON, nullable=False),
        sa.Column("summary", JSON, nullable=True),
        sa.Column("error", JSON, nullable=True),
        sa.Column("split_offset", BIG, nullable=False),
        sa.Column("split_rows", BIG, nullable=False),
        sa.Column("split_lines", BIG, nullable=False),
        sa.Column("split_done", sa.Boolean(), nullable=False),
        sa.Column("chunk_count", BIG, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("started_at", TIME, nullable=True),
        sa.Column("finished_at", TIME, nullable=True),
        sa.Column("updated_at", TIME, nullable=False),
        sa.CheckConstraint(
            "status IN ('queued', 'processing', 'completed', 'completed_with_errors', 'failed',"
            " 'cancelled')",
            name=op.f("ck_jobs_status"),
        ),
        sa.CheckConstraint("priority BETWEEN 0 AND 10", name=op.f("ck_jobs_priority")),
        sa.ForeignKeyConstraint(
            ["file_id"], ["files.id"], name=op.f("fk_jobs_file_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_jobs")),
        sa.UniqueConstraint("id", name=op.f("uq_jobs_id")),
    )
    op.create_index(
        "ix_jobs_active",
        "jobs",
        ["status", "number"],
        unique=False,
        postgresql_where=sa.text("status IN ('queued', 'processing')"),
        sqlite_where=sa.text("status IN ('queued', 'processing')"),
    )
    op.create_index("ix_jobs_file_id", "jobs", ["file_id"], unique=False)
    op.create_table(
        "chunks",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("chunk_index", BIG, autoincrement=False, nullable=False),
        sa.Column("byte_start", BIG, nullable=False),
        sa.Column("byte_end", BIG, nullable=False),
        sa.Column("first_row", BIG, nullable=False),
        sa.Column("row_count", BIG, nullable=False),
        sa.Column("first_line", BIG, nullable=False),
        sa.Column("crc32", BIG, nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("attempt", BIG, nullable=False),
        sa.Column("deaths", BIG, nullable=False),
        sa.Column("claim_token", sa.Uuid(), nullable=True),
        sa.Column("claimed_by", sa.String(length=100), nullable=True),
        sa.Column("lease_expires_at", TIME, nullable=True),
        sa.Column("available_at", TIME, nullable=False),
        sa.Column("rows_ok", BIG, nullable=False),
        sa.Column("rows_invalid", BIG, nullable=False),
        sa.Column("rows_failed", BIG, nullable=False),
        sa.Column("hash_read", sa.String(length=16), nullable=True),
        sa.Column("summary", JSON, nullable=True),
        sa.Column("error", JSON, nullable=True),
        sa.Column("finished_at", TIME, nullable=True),
        sa.CheckConstraint(
            "status <> 'completed' OR rows_ok + rows_invalid + rows_failed = row_count",
            name=op.f("ck_chunks_closes"),
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'processing', 'completed', 'failed', 'cancelled')",
            name=op.f("ck_chunks_status"),
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_chunks_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "chunk_index", name=op.f("pk_chunks")),
    )
    op.create_index(
        "ix_chunks_claimable",
        "chunks",
        ["job_id", "chunk_index"],
        unique=False,
        postgresql_where=sa.text("status = 'pending'"),
        sqlite_where=sa.text("status = 'pending'"),
    )
    op.create_index(
        "ix_chunks_leased",
        "chunks",
        ["lease_expires_at"],
        unique=False,
        postgresql_where=sa.text("status = 'processing'"),
        sqlite_where=sa.text("status = 'processing'"),
    )
    op.create_table(
        "rejects",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("row_number", BIG, autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("line", BIG, nullable=False),
        sa.Column("byte_start", BIG, nullable=False),
        sa.Column("byte_end", BIG, nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("column_name", sa.Text(), nullable=True),
        sa.Column("value", sa.Text(), nullable=True),
        sa.Column("code", sa.String(length=60), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_rejects_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "row_number", name=op.f("pk_rejects")),
    )
    op.create_table(
        "result_pages",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("first_row", BIG, autoincrement=False, nullable=False),
        sa.Column("row_count", BIG, nullable=False),
        sa.Column("row_numbers", JSON, nullable=True),
        sa.Column("data", sa.Text().with_variant(sa.JSON(), "postgresql"), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_result_pages_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "first_row", name=op.f("pk_result_pages")),
    )
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        op.execute(POSTGRESQL_VIEW)
        _prefer_lz4(connection)
    else:
        op.execute(SQLITE_VIEW)


def _prefer_lz4(connection: sa.Connection) -> None:
    """lz4 packs pages a fifth faster than the default; a server built without it keeps the
    default.
    """
    try:
        with connection.begin_nested():
            connection.execute(
                sa.text("ALTER TABLE result_pages ALTER COLUMN data SET COMPRESSION lz4")
            )
    except sa.exc.DBAPIError:
        pass


def downgrade() -> None:
    op.execute("DROP VIEW result_rows")
    op.drop_table("result_pages")
    op.drop_table("rejects")
    op.drop_index(
        "ix_chunks_leased",
        table_name="chunks",
        postgresql_where=sa.text("status = 'processing'"),
        sqlite_where=sa.text("status = 'processing'"),
    )
    op.drop_index(
        "ix_chunks_claimable",
        table_name="chunks",
        postgresql_where=sa.text("status = 'pending'"),
        sqlite_where=sa.text("status = 'pending'"),
    )
    op.drop_table("chunks")
    op.drop_index("ix_jobs_file_id", table_name="jobs")
    op.drop_index(
        "ix_jobs_active",
        table_name="jobs",
        postgresql_where=sa.text("status IN ('queued', 'processing')"),
        sqlite_where=sa.text("status IN ('queued', 'processing')"),
    )
    op.drop_table("jobs")
    op.drop_index("ix_idempotency_keys_created_at", table_name="idempotency_keys")
    op.drop_table("idempotency_keys")
    op.drop_index("uq_files_owner_dedup_key", table_name="files")
    op.drop_index("ix_files_owner_content_key", table_name="files")
    op.drop_index(
        "ix_files_deleted_at",
        table_name="files",
        postgresql_where=sa.text("deleted_at IS NOT NULL"),
        sqlite_where=sa.text("deleted_at IS NOT NULL"),
    )
    op.drop_table("files")
