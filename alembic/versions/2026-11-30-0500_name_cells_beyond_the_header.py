"""Name cells beyond the header in the view as everywhere: none is called like a column."""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

# Each gives one row per result: its number in the file and an object by column. A cell beyond the
# header, kept with on_bad_row=keep, is column_N, or column_N_2 and so on if the header has that
# name.
POSTGRESQL_VIEW = """
CREATE VIEW result_rows AS
SELECT p.job_id,
       COALESCE((p.row_numbers ->> (r.place - 1)::int)::bigint, p.first_row + r.place - 1) AS row_number,
       CASE WHEN json_typeof(r.value) <> 'array' THEN r.value ELSE (
           SELECT json_object_agg(COALESCE(j.columns ->> n, {name}), r.value -> n ORDER BY n)
           FROM generate_series(0, json_array_length(r.value) - 1) AS n
       ) END AS data
FROM result_pages p
JOIN jobs j ON j.id = p.job_id
CROSS JOIN LATERAL json_array_elements(p.data::json) WITH ORDINALITY AS r(value, place)
"""
POSTGRESQL_NAME = """(
    SELECT free.name
    FROM (SELECT k, 'column_' || n + 1 || CASE k WHEN 1 THEN '' ELSE '_' || k END AS name
          FROM generate_series(1, json_array_length(j.columns) + 1) AS k) AS free
    WHERE NOT EXISTS (SELECT 1 FROM json_array_elements_text(j.columns) AS c(name) WHERE c.name = free.name)
    ORDER BY free.k LIMIT 1)"""
SQLITE_VIEW = """
CREATE VIEW result_rows AS
SELECT p.job_id,
       COALESCE(json_extract(p.row_numbers, '$[' || r.key || ']'), p.first_row + r.key) AS row_number,
       CASE WHEN r.type <> 'array' THEN r.value ELSE (
           SELECT json_group_object(COALESCE(json_extract(j.columns, '$[' || c.key || ']'), {name}), c.value)
           FROM json_each(r.value) AS c
       ) END AS data
FROM result_pages p
JOIN jobs j ON j.id = p.job_id
CROSS JOIN json_each(p.data) AS r
"""
SQLITE_NAME = """
    CASE WHEN NOT EXISTS (SELECT 1 FROM json_each(j.columns) AS e WHERE e.value = 'column_' || (c.key + 1))
    THEN 'column_' || (c.key + 1)
    ELSE (SELECT 'column_' || (c.key + 1) || '_' || (k.key + 2) FROM json_each(j.columns) AS k
          WHERE NOT EXISTS (SELECT 1 FROM json_each(j.columns) AS e
                            WHERE e.value = 'column_' || (c.key + 1) || '_' || (k.key + 2))
          ORDER BY k.key LIMIT 1) END"""


def upgrade() -> None:
    _make(POSTGRESQL_NAME, SQLITE_NAME)


def downgrade() -> None:
    _make("'column_' || n + 1", "'column_' || (c.key + 1)")


def _make(postgresql_name: str, sqlite_name: str) -> None:
    on_postgresql = op.get_bind().dialect.name == "postgresql"
    op.execute("DROP VIEW result_rows")
    op.execute(
        POSTGRESQL_VIEW.format(name=postgresql_name)
        if on_postgresql
        else SQLITE_VIEW.format(name=sqlite_name)
    )
