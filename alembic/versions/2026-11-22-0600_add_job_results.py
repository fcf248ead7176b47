"""Add jobs that store no rows, their results, and templates of mappings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)
JSON = sa.JSON(none_as_null=True)

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "jobs", sa.Column("stores_results", sa.Boolean(), server_default=sa.true(), nullable=False)
    )
    op.create_table(
        "job_results",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("data", JSON, nullable=False),
        sa.Column("state", sa.Text(), nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_job_results")),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_job_results_job_id"), ondelete="CASCADE"
        ),
    )
    op.create_table(
        "mapping_templates",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", BIG, nullable=False),
        sa.Column("owner", sa.String(length=100), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("mapping", JSON, nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("is_latest", sa.Boolean(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", "version", name=op.f("pk_mapping_templates")),
    )
    latest = {"postgresql_where": sa.text("is_latest"), "sqlite_where": sa.text("is_latest")}
    op.create_index(
        "ix_mapping_templates_latest",
        "mapping_templates",
        ["owner", "created_at"],
        unique=False,
        **latest,
    )


def downgrade() -> None:
    op.drop_index("ix_mapping_templates_latest", table_name="mapping_templates")
    op.drop_table("mapping_templates")
    op.drop_table("job_results")
    op.drop_column("jobs", "stores_results")
