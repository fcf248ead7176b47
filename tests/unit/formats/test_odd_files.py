"""Every row of an odd file is a result or a reject that names its place, and a JSON array that was
cut keeps the records before the cut.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.errors import RequestError
from app.formats.base import MAX_ROW_BYTES
from app.formats.detect import Declared
from app.formats.json import JsonDialect
from app.formats.registry import Dialect
from tests.formats.odd_files import ODD_FILES, Content
from tests.formats.reading import cut_all, detected, read_spans, stored

WHOLE = b'[{"a": 1}, {"a": "x]"}]\n'


def declared(file: Content) -> Declared:
    """By the type and the parameters of its upload."""
    charset = file.type.partition("charset=")[2].strip('"')
    return Declared(**{"encoding": charset or None} | file.params)


def shown(rows: list[tuple[int, Any]], dialect: Dialect) -> tuple[list[str], list[list[Any]]]:
    """(columns, cells) as results show them: of JSON all keys there are, as they first come."""
    if not isinstance(dialect, JsonDialect):
        return dialect.columns, [cells for _, cells in rows]
    objects = [json.loads(data) for _, data in rows]
    columns = list(dict.fromkeys(name for record in objects for name in record))
    return columns, [[record.get(name) for name in columns] for record in objects]


@pytest.mark.parametrize("file", ODD_FILES, ids=str)
def test_each_row_of_an_odd_file_is_a_result_or_a_reject_with_its_location(file: Content) -> None:
    data, said = stored(file.data, declared(file))
    dialect = detected(data, said, file.name)
    spans = cut_all(data, dialect, row_bytes=MAX_ROW_BYTES)
    rows, rejects = read_spans(data, dialect, spans)
    columns, cells = shown(rows, dialect)
    assert cells == file.rows
    assert file.columns is None or columns == file.columns
    assert [(reject.row_number, reject.line, reject.code) for reject in rejects] == file.rejects
    numbers = sorted([n for n, _ in rows] + [reject.row_number for reject in rejects])
    assert numbers == list(range(1, len(rows) + len(rejects) + 1))


@pytest.mark.parametrize("cut", range(2, len(WHOLE) + 1))
def test_a_json_array_cut_anywhere_keeps_the_records_before_the_cut(cut: int) -> None:
    data = WHOLE[:cut]
    dialect = detected(data, Declared(format="json"))
    rows, rejects = read_spans(data, dialect, cut_all(data, dialect))
    is_whole = cut >= len(WHOLE) - 1
    kept = [(number, json.loads(record)) for number, record in rows]
    assert kept == [(1, {"a": 1})] * (cut >= 10) + [(2, {"a": "x]"})] * is_whole
    assert [reject.code for reject in rejects] == ["json_truncated"] * (not is_whole)


def test_an_open_array_alone_has_no_rows() -> None:
    with pytest.raises(RequestError) as caught:
        detected(WHOLE[:1], Declared(format="json"))
    assert caught.value.code == "json_not_rows"
