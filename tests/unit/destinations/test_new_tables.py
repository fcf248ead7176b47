"""An invalid table of an external processor is refused before the first row."""

from __future__ import annotations

from typing import Any

import pytest

from app.destinations.new_tables import NewTables
from app.errors import SettingsInvalid
from app.processors.tables import KeyedTable, NewTable, OwnTable

COLUMNS = ("entry", "row_number", "account", "content_hash")
TYPES = {"entry": "text", "account": "text"}


def keyed(**changed: Any) -> NewTable:
    values: dict[str, Any] = {
        "name": "entries", "columns": COLUMNS, "key": "entry", "versions": "entry_versions",
    }  # fmt: skip
    types = changed.pop("types", TYPES)
    return NewTable(KeyedTable(**(values | changed)), types)


def own(*columns: str, name: str = "greetings", key: str = "row_number", **types: str) -> NewTable:
    return NewTable(OwnTable(name, columns, key=key), types)


def test_a_table_with_a_key_has_the_columns_of_built_in_tables() -> None:
    new = NewTables([keyed(), own("row_number", "length", length="integer")])
    entries, versions = (new.metadata.tables[name] for name in ("entries", "entry_versions"))
    always = {"job_id", "job_number", "created_at", "updated_at"}
    assert {column.name for column in entries.columns} == {*COLUMNS, *always}
    assert {column.name for column in versions.columns} == {*COLUMNS, *always, "archived_at"}
    assert [column.name for column in entries.primary_key] == ["entry"]
    assert {column.name for column in versions.primary_key} == {"entry", "job_number"}
    greetings = new.metadata.tables["greetings"]
    assert [column.name for column in greetings.primary_key] == ["job_id", "row_number"]
    assert [table.name for table in new.tables] == ["entries", "greetings"]


def test_two_processors_can_share_one_table() -> None:
    assert len(NewTables([keyed(), keyed()]).tables) == 1


@pytest.mark.parametrize(
    ("tables", "problem"),
    [
        ([keyed(name="Entries")], "'Entries' is not a valid name for a table"),
        ([keyed(name="x; DROP TABLE jobs")], "is not a valid name for a table"),
        ([keyed(name="order")], "'order' is not a valid name for a table"),
        ([keyed(name="jobs")], "the name 'jobs' is taken"),
        ([keyed(versions="transactions")], "the name 'transactions' is taken"),
        ([keyed(), own("row_number", name="entry_versions")], "'entry_versions' is taken"),
        ([keyed(), keyed(types=TYPES | {"account": "integer"})], "define it differently"),
        ([own("row_number", "job_id", job_id="text")], "'job_id' is not a valid name for a column"),
        ([own("row_number", "select", select="text")], "'select' is not a valid name for a column"),
        ([keyed(types={"entry": "text"})], "`types` must name the columns entry, account"),
        ([keyed(types=TYPES | {"other": "text"})], "`types` must name the columns"),
        ([keyed(types=TYPES | {"account": "money"})], "'money' is not one of text, integer"),
        ([keyed(columns=COLUMNS[:3])], "it needs a column `content_hash`"),
        ([own("length", length="integer")], "it needs a column `row_number`"),
    ],
)
def test_an_invalid_table_is_refused_with_a_sentence(tables: list[NewTable], problem: str) -> None:
    with pytest.raises(SettingsInvalid, match="PROCESSORS: the table ") as refused:
        NewTables(tables)
    assert problem in refused.value.detail
