"""Add the values of each record that has a vector, in small letters, for the search by text together
with meaning.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ROWS_AT_ONCE = 10_000
VALUES = {
    "postgresql": ("SELECT string_agg(lower(v.value), chr(31)) FROM jsonb_each_text(r.data) AS v"),
    "sqlite": "SELECT group_concat(folded(v.value), char(31)) FROM json_each(r.data) AS v",
}
FILL = """
INSERT INTO record_words (job_id, row_number, words)
SELECT r.job_id, r.row_number, coalesce(({values}), '')
FROM records r JOIN record_vectors x ON x.job_id = r.job_id AND x.row_number = r.row_number
WHERE r.id > :after AND r.id <= :last
"""
LAST = """
SELECT max(id) FROM (SELECT id FROM records WHERE id > :after ORDER BY id LIMIT :rows) AS few
"""

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "record_words",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("row_number", BIG, autoincrement=False, nullable=False),
        sa.Column(
            "words",
            sa.Text().with_variant(sa.Text(collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_record_words_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "row_number", name=op.f("pk_record_words")),
        sqlite_with_rowid=False,
    )
    _fill(op.get_bind())


def _fill(connection: sa.Connection) -> None:
    """For the records that are there, some thousand at a time."""
    fill = sa.text(FILL.format(values=VALUES[connection.dialect.name]))
    after = 0
    while True:
        found = {"after": after, "rows": ROWS_AT_ONCE}
        last = connection.execute(sa.text(LAST), found).scalar_one()
        if last is None:
            return
        connection.execute(fill, {"after": after, "last": last})
        after = last


def downgrade() -> None:
    op.drop_table("record_words")
