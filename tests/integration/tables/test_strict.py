"""Strict casts against PostgreSQL itself: whatever they accept, the database reads as the value
that the cell has. They may refuse more than it does.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import asyncpg
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv

from app.features.tables import catalogue, strict
from app.features.tables.casts import Cast, cast_for
from app.features.tables.definition import TableName
from tests.integration.tables.test_catalogue import connected

NUMBERS = [
    "0", "1", "-1", "-0", "+1", "007", "-007", " 1", "1 ", "1_000", "1,000", "1e3", "1E3", "0x10",
    "127", "128", "32767", "32768", "-32768", "-32769", "2147483647", "2147483648", "-2147483648",
    "-2147483649", "4294967295", "4294967296", "9223372036854775807", "9223372036854775808",
    "-9223372036854775808", "-9223372036854775809", "٥", "1.0", "1.", ".5", "-.5", "0.5", "12.50",
    "12.500", "12.505", "999.99", "999.999", "1000.00", "0.01", "0.001", "0.0099", "0.0100", "100",
    "1200", "1250", "1234500", "9999999", "99999999", "NaN", "nan", "Infinity", "-inf", "--1", "-",
    "0.1000000000000000055", "0.1", "1e400", "1e-400", "1e-320", "4.94065645841247e-324", "5e-324",
    "1.7976931348623157e308", "1.7976931348623159e308", "3.4028235e38", "3.5e38", "16777217",
    "9007199254740993", "0.30000000000000004", "1e-05", "1" * 40, "0." + "1" * 40, "1" * 1001,
    "-0.0", "-0.00", "123456.7", "1234567.8",
]  # fmt: skip
MOMENTS = [
    "2026-01-05", "2026-1-5", "2026-02-29", "2024-02-29", "2026-02-30", "2026-13-01", "2026-00-01",
    "0000-01-01", "0001-01-01", "9999-12-31", "10000-01-01", "05.01.2026", "01/05/2026", "20260105",
    "today", "now", "infinity", "epoch", "2026-01-05 BC", "2026-01-05 10:20", "2026-01-05T10:20",
    "2026-01-05 10:20:30", "2026-01-05T10:20:30.5", "2026-01-05T10:20:30.123456",
    "2026-01-05T10:20:30.1234567", "2026-01-05T10:20:30.123000", "2026-01-05T10:20:30.1230000000",
    "2026-01-05T24:00", "2026-01-05T10:20:60", "2026-01-05T10:20:30Z", "2026-01-05 10:20:30+02",
    "2026-01-05T10:20+0200", "2026-01-05T10:20:30-03:30", "2026-01-05T10:20:30+15:00",
    "2026-01-05T10:20:30+14:59", "2026-01-05T10:20:30 Europe/Berlin", "2026-01-05T10:20:30 EST",
    "2026-01-05T10:20:30.000", "2026-01-05T00:00:00", "2026-01-05  10:20", "2026-01-05t10:20",
    "2026-01-05T10", "10:20", "10:20:30", "24:00", "10:20:30.5", "10:20:30.1234567", "1:20",
    "10:20Z", "10:20:30+02", "10:20:30.25-03:30", "10:60", "2026-01-05\n", "٢٠٢٦-01-05",
    "2026-06-30T23:59:60Z",
]  # fmt: skip
TEXTS = [
    "", "a", "ab", "abc", "abcd", "ab  ", "abc   ", "äöü", "äöüß", "👩‍👩‍👧", "a\0b", "NULL", "\\N", "\\.",
    '"', "'", "a,b", "a\nb", "a\r\nb", "\\", "x" * 63, "x" * 64, "ä" * 32, "sad", "SAD", "ok ",
    'it\'s "fine"',
    "true", "True", "TRUE", "false", "False", "FALSE", "t", "f", "T", "yes", "on", "1", "tRuE", " true",
    "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6BA7B810-9DAD-11D1-80B4-00C04FD430C8",
    "{6ba7b810-9dad-11d1-80b4-00c04fd430c8}", "6ba7b8109dad11d180b400c04fd430c8",
    "\\x", "\\x00ff", "\\x00FF", "\\x0", "\\xzz", "\\000", "AAEC",
    "{}", "[]", "null", '{"a": 1}', '{"a": 1, "a": 2}', '{"b": {"a": 1, "a": 1}}', "{'a': 1}", "[1,]",
    '"\\u0000"', '"\\ud800"', '"\\ud83d\\ude00"', '{"\\u0000": 1}', "NaN", "[NaN]", "1.50", "1e2", "01",
    '{"a": 1.00000000000000000001}', " 1 ", "[" * 50 + "]" * 50, '"a\tb"', '"\\\\u0000"',
    "{1,2}", "{1, 2 }", "{NULL,1}", "{null}", '{"NULL"}', '{"a,b",c}', '{a"b}', "{{1},{2}}", "[1, 2]",
    "[1:2]={1,2}", "{1,}", "{,1}", "{1 2}", '{"a\\"b","c\\\\d"}', '["a", null, "NULL"]', "{1.5}",
    "{1.55}", "[1.5, 2]", "[[1]]", "{sad,ok}", '{"it\'s \\"fine\\""}', "{}{}", "{a\\b}", '{""}', '[""]',
    "PT1H30M", "P1Y2M3DT4H5M6.5S", "P", "PT", "P1D", "P1W", "P1Y2W", "01:30:00", "1 day", "2 years", "2 days 01:00:00",
    "1 mon 3 days", "-01:00:00", "1.5 days", "1 year 2 mons 3 days 04:05:06.789", "90 minutes", "P1.5D",
    "1 fortnight", "01:30", "25:00:00", "PT0.1234567S", "1 day 2 days", "1 day 1 day 01:00:00",
    "10.0.0.1", "10.0.0.1/8", "::1", "101", "[1,5)", "empty",
]  # fmt: skip
CELLS = [*NUMBERS, *MOMENTS, *TEXTS]
TYPES = {
    "smallint": "numeric", "integer": "numeric", "bigint": "numeric", "oid": "numeric",
    "numeric": "numeric", "numeric(5,2)": "numeric", "numeric(3)": "numeric", "numeric(2,4)": "numeric",
    "numeric(5,-2)": "numeric", "numeric(38,10)": "numeric",
    "real": "numeric", "double precision": "numeric", "boolean": "boolean", "date": "date",
    "timestamp": "timestamp", "timestamp(3)": "timestamp", "timestamp(0)": "timestamp",
    "timestamptz": "timestamptz", "timestamptz(2)": "timestamptz", "time": "time", "time(1)": "time",
    "timetz": "timetz", "timetz(0)": "timetz", "interval": "interval", "interval(2)": "interval",
    "uuid": "uuid", "json": "json", "jsonb": "jsonb", "bytea": "bytea",
    "text": "text", "varchar": "text", "varchar(3)": "text", "char(3)": "text", "name": "text",
    '"char"': "text", "mood": "text", "mood[]": "text[]", "int[]": "numeric[]", "text[]": "text[]",
    "numeric(3,1)[]": "numeric[]", "varchar(3)[]": "text[]", "boolean[]": "boolean[]", "inet": "inet",
    "positive": "numeric",
}  # fmt: skip
"""Types of columns, each with a type that loses nothing of what it reads."""
SETUP = """
    CREATE TYPE mood AS ENUM ('sad', 'ok', 'it''s "fine"');
    CREATE DOMAIN positive AS numeric(5, 2) CHECK (VALUE > 0);
    SET TimeZone TO 'America/St_Johns';
    SET DateStyle TO 'SQL, DMY';
    SET extra_float_digits TO 1
"""


@pytest.fixture
async def database(postgresql_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(postgresql_url.replace("+asyncpg", ""))
    try:
        await connection.execute(SETUP)
        yield connection
    finally:
        await connection.close()


async def cast_of(url: str, connection: asyncpg.Connection, type_: str) -> Cast:
    """As the catalogue describes a column of this type."""
    await connection.execute(f"DROP TABLE IF EXISTS typed; CREATE TABLE typed (v {type_})")
    async with connected(url) as reader:
        definition = await catalogue.read_definition(reader, TableName("public", "typed"))
    assert definition is not None
    return cast_for(definition.columns[0], "postgresql")


def accepted(cells: strict.Cells, texts: list[str]) -> list[tuple[str, str | None]]:
    """(cell, text for the database) of those without a problem."""
    bad = np.zeros(len(texts), bool)
    for problem in cells.problems:
        bad |= problem.rows
    written = cells.texts.to_pylist()
    return [(text, written[i]) for i, text in enumerate(texts) if not bad[i]]


async def copied(
    connection: asyncpg.Connection, type_: str, rows: list[tuple[str, str | None]]
) -> None:
    """Into a column of the type, by COPY as it reads CSV."""
    await connection.execute(
        "DROP TABLE IF EXISTS copied, originals;"
        f"CREATE TABLE copied (n int, v {type_}); CREATE TABLE originals (n int, v text)"
    )
    batch = pa.record_batch(
        [pa.array(range(len(rows)), pa.int64()), pa.array([row[1] for row in rows], pa.string())],
        names=["n", "v"],
    )
    out = io.BytesIO()
    options = csv.WriteOptions(include_header=False, quoting_style="needed")
    csv.write_csv(batch, out, options)
    out.seek(0)
    await connection.copy_to_table("copied", source=out, format="csv")
    originals = [(n, row[0]) for n, row in enumerate(rows)]
    await connection.copy_records_to_table("originals", records=originals)


@pytest.mark.parametrize("type_", TYPES)
async def test_the_database_reads_every_accepted_text_as_the_same_value(
    type_: str, postgresql_url: str, database: asyncpg.Connection
) -> None:
    cast = await cast_of(postgresql_url, database, type_)
    texts = [text for text in CELLS if text or cast.kind == "text"]
    cells = strict.cast(cast, pa.array(texts, pa.string()), empty="text")
    rows = accepted(cells, texts)
    if cast.kind == "database":  # which may refuse more: it is asked one by one
        rows = [row for row in rows if await is_valid(database, type_, row[0])]
    if type_ == "positive":  # a condition is not a question of reading
        rows = [row for row in rows if Decimal(row[0]) > 0]
    assert rows, "nothing is accepted"
    assert not [row for row in rows if row[1] is None]
    if cast.kind == "array":
        rows = [row for row in rows if row[0].startswith("{")]  # the database reads no JSON list
    await copied(database, type_, rows)
    wide = TYPES[type_]
    through_text = "::text" if wide.startswith(("numeric", "text", "json", "boolean[")) else ""
    equal = f"c.v{through_text}::{wide} IS NOT DISTINCT FROM o.v::{wide}"
    if wide in ("json", "jsonb"):
        equal = f"c.v::text IS NOT DISTINCT FROM o.v::{wide}::text"
    if type_ == "char(3)":
        equal = "c.v IS NOT DISTINCT FROM o.v::bpchar"
    query = f"SELECT o.v, c.v::text FROM copied c JOIN originals o USING (n) WHERE NOT ({equal})"
    assert await database.fetch(query) == []


async def is_valid(connection: asyncpg.Connection, type_: str, text: str) -> bool:
    try:
        await connection.fetchval(f"SELECT CAST(CAST($1 AS text) AS {type_}) IS NULL", text)
    except asyncpg.PostgresError:
        return False
    return True


ACCEPTED: dict[str, list[str]] = {
    "smallint": ["0", "-1", "32767", "-32768"],
    "bigint": ["9223372036854775807", "-9223372036854775808"],
    "oid": ["4294967295"],
    "numeric": ["1" * 40, "0." + "1" * 40, "-0.5"],
    "numeric(5,2)": ["12.500", "999.99", "0.01"],
    "numeric(2,4)": ["0.0099", "0", "0.0000"],
    "numeric(5,-2)": ["1200", "1234500", "100.00"],
    "real": ["16777216", "3.4028235e38", "0.1"],
    "double precision": ["1e-05", "0.30000000000000004", "1.7976931348623157e308", "5e-324"],
    "boolean": ["true", "False", "t"],
    "timestamp(3)": ["2026-01-05T10:20:30.123000", "2026-01-05", "2026-01-05 10:20"],
    "timestamptz": ["2026-01-05T10:20:30-03:30", "2026-01-05 10:20:30+02", "2026-01-05T10:20:30Z"],
    "time(1)": ["10:20:30.5", "10:20"],
    "timetz": ["10:20Z"],
    "interval": ["PT1H30M", "P1Y2M3DT4H5M6.5S", "2 days 01:00:00", "1 mon 3 days", "25:00:00"],
    "jsonb": ["{}", '"\\ud83d\\ude00"', '"\\\\u0000"', '{"a": 1.00000000000000000001}'],
    "json": ['{"a": 1, "a": 2}', '"\\u0000"'],
    "varchar(3)": ["äöü", "abc", "\\N"],
    "char(3)": ["ab", "abc"],
    "mood": ["sad", 'it\'s "fine"'],
    "mood[]": ["{sad,ok}", '["sad"]'],
    "numeric(3,1)[]": ["{1.5}", "[1.5, 2]", "{}"],
    "text[]": ['{"a,b",c}', '["a", null, "NULL"]', '{"NULL"}'],
    "bytea": ["\\x", "\\x00FF"],
}
REFUSED: dict[str, list[str]] = {
    "smallint": ["32768", "1.0", "1e3", "007", "+1", " 1", "1_000", "٥"],
    "numeric": ["NaN", "Infinity", "1e3", ".5", "1."],
    "numeric(5,2)": ["12.505", "1000.00", "999.999"],
    "numeric(5,-2)": ["1250", "99999999"],
    "real": ["16777217", "3.5e38", "1234567.89"],
    "double precision": ["0.1000000000000000055", "9007199254740993", "1e400", "1e-400", "NaN"],
    "boolean": ["1", "yes", "on", "tRuE", "T"],
    "date": ["2026-01-05 10:20", "01/05/2026", "20260105", "today", "2026-02-29", "infinity"],
    "timestamp": ["2026-01-05T10:20:30Z", "2026-01-05 10:20:30+02", "2026-01-05T10:20:30.1234567"],
    "timestamp(3)": ["2026-01-05T10:20:30.123456"],
    "timestamptz": ["2026-01-05T10:20:30", "2026-01-05", "2026-01-05T10:20:30 EST"],
    "time": ["24:00", "10:20:30.1234567", "10:20Z"],
    "interval": ["P", "PT", "1.5 days", "PT0.1234567S", "90 minutes", "01:30"],
    "jsonb": ['{"a": 1, "a": 2}', '"\\u0000"', '"\\ud800"', "NaN", "[1,]", '{"b": {"a": 1, "a": 1}}'],
    "json": ["NaN", "{'a': 1}", "01", '"a\tb"'],
    "varchar(3)": ["abcd", "abc   ", "a\0b"],
    "name": ["x" * 64, "ä" * 32],
    "mood": ["SAD", "ok ", "a"],
    "int[]": ["{1.5}", "{{1},{2}}", "[1:2]={1,2}", "{1,}", '{""}', '[""]'],
    "numeric(3,1)[]": ["{1.55}"],
    "varchar(3)[]": ["{abcd}"],
    "bytea": ["\\000", "AAEC", "\\x0"],
    "uuid": ["{6ba7b810-9dad-11d1-80b4-00c04fd430c8}", "6ba7b8109dad11d180b400c04fd430c8"],
}  # fmt: skip


@pytest.mark.parametrize("type_", sorted(ACCEPTED.keys() | REFUSED.keys()))
async def test_unambiguous_texts_are_accepted_and_texts_that_would_change_are_not(
    type_: str, postgresql_url: str, database: asyncpg.Connection
) -> None:
    cast = await cast_of(postgresql_url, database, type_)
    good, bad = ACCEPTED.get(type_, []), REFUSED.get(type_, [])
    cells = strict.cast(cast, pa.array([*good, *bad], pa.string()))
    assert [row[0] for row in accepted(cells, [*good, *bad])] == good
    for problem in cells.problems:
        assert problem.code
        assert problem.message.endswith((".", "}"))


async def test_dates_in_a_declared_format_are_read_only_in_it(
    postgresql_url: str, database: asyncpg.Connection
) -> None:
    """The oracle is to_timestamp."""
    texts = [
        "31/12/2026 23:59",
        "01/02/2026 00:00",
        "13/13/2026 00:00",
        "2026-01-05 10:00",
        "1/2/2026 1:00",
    ]
    cast = Cast("timestamp", "timestamp without time zone", length=6, format="%d/%m/%Y %H:%M")
    rows = accepted(strict.cast(cast, pa.array(texts)), texts)
    assert [row[0] for row in rows] == texts[:2]
    await copied(database, "timestamp", rows)
    query = """
        SELECT o.v FROM copied c JOIN originals o USING (n)
        WHERE c.v <> to_timestamp(o.v, 'DD/MM/YYYY HH24:MI')::timestamp
    """
    assert await database.fetch(query) == []
    as_date = Cast("date", "date", format="%d/%m/%Y %H:%M")
    assert accepted(strict.cast(as_date, pa.array(texts)), texts) == [(texts[1], "2026-02-01")]
    with_zone = Cast("timestamptz", "timestamp with time zone", length=6, format="%d/%m/%Y %H:%M")
    assert accepted(strict.cast(with_zone, pa.array(texts)), texts) == []


def test_an_empty_cell_is_null_except_in_a_text_column() -> None:
    texts = pa.array(["", "a", None], pa.string())
    text = Cast("text", "text")
    assert strict.cast(text, texts).texts.to_pylist() == [None, "a", None]
    assert strict.cast(text, texts, empty="text").texts.to_pylist() == ["", "a", None]
    assert strict.cast(text, texts, is_json=True).texts.to_pylist() == ["", "a", None]
    integer = strict.cast(Cast("integer", "bigint"), pa.array(["", "1"]), empty="text")
    assert (integer.texts.to_pylist(), integer.problems) == ([None, "1"], [])


@pytest.mark.parametrize(
    ("kind", "texts", "values"),
    [
        ("integer", ["1", None], [1, None]),
        ("float", ["1.5", None], [1.5, None]),
        ("boolean", ["true", "false"], [1, 0]),
        ("bytea", ["\\x00ff", None], [b"\x00\xff", None]),
        ("decimal", ["12.50", None], ["12.50", None]),
    ],
)
def test_sqlite_gets_numbers_and_bytes(kind: Any, texts: list[str], values: list[Any]) -> None:
    assert strict.native(Cast(kind, kind), pa.array(texts, pa.string())).to_pylist() == values
