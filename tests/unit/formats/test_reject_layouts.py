"""Layout of rejects: which cells a rejected row has, and which of them are a guess."""

from __future__ import annotations

import msgspec
import pytest

from app.formats.csv import CsvDialect
from app.formats.fixed import FixedDialect, FixedRejects
from app.formats.json import JsonDialect
from app.formats.reject_layouts import CsvRejects, JsonRejects, RejectLayout

COLUMNS = ["id", "name", "n"]


def csv_layout(**how: object) -> CsvRejects:
    return CsvRejects(CsvDialect(columns=COLUMNS, **how))  # type: ignore[arg-type]


def guessed(layout: RejectLayout, raw: bytes) -> list[str]:
    doubt = layout.doubt(raw, is_corrected=False)
    return [] if doubt is None else list(doubt.columns)


def patched(layout: RejectLayout, raw: bytes, **values: str) -> list[str]:
    written = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in values.items()}
    return layout.patched(raw, written, is_corrected=False)


@pytest.mark.parametrize(
    ("raw", "cells", "columns"),
    [
        (b"1,Ada,2", [b"1", b"Ada", b"2"], []),
        (b"1,A\0da,2", [b"1", b"A\0da", b"2"], []),
        (b"1,A\0da,2,,", [b"1", b"A\0da", b"2"], []),  # a reader drops empty cells at the end
        (b"1,Ada,2, ", [b"1", b"Ada", b"2", b" "], ["n"]),
        (b",,,", [b"", b"", b"", b""], ["n"]),
        (b"1,Main St 1, Ulm,2", [b"1", b"Main St 1", b" Ulm", b"2"], ["n"]),
        (b"1", [b"1"], ["name", "n"]),
        (b'1,"Ada,Bob"', [b"1", b"Ada,Bob"], ["n"]),
        (b'1,5" pipe,2', [b"1", b'5" pipe', b"2"], ["name"]),
        (b'1,"Ada"x,2', [b"1", b'"Ada"x', b"2"], ["name"]),
        (b'1,"Ada,2', [b"1", b'"Ada', b"2"], ["name"]),
        (b'1,5" or 6",2"', [b"1", b'5" or 6"', b'2"'], ["name", "n"]),
    ],
)
def test_cells_of_a_row_of_the_wrong_shape_are_a_guess(
    raw: bytes, cells: list[bytes], columns: list[str]
) -> None:
    layout = csv_layout()
    assert layout.split(raw, is_corrected=False) == cells
    assert guessed(layout, raw) == columns
    assert layout.doubt(raw, is_corrected=True) is None
    if columns:
        with pytest.raises(ValueError, match="send the value of"):
            patched(layout, raw)
        with pytest.raises(ValueError, match="send the value of"):
            patched(layout, raw, id="9")
    values = dict.fromkeys(columns, "new")
    kept = [cell.decode() for cell in [*cells, b"", b""][:3]]
    expected = [values.get(name, cell) for name, cell in zip(COLUMNS, kept, strict=True)]
    assert patched(layout, raw, **values) == expected


def test_missing_and_extra_cells_that_a_job_keeps_are_not_changed_unasked() -> None:
    layout = csv_layout(on_bad_row="keep")
    assert guessed(layout, b"1,A\0da") == ["n"]
    assert guessed(layout, b"1,A\0da,2,") == ["n"]
    assert guessed(layout, b'1,A\0"da,2') == []  # such quotes are read as they are


def test_a_line_that_does_not_fit_fixed_columns_is_a_guess_where_it_does_not() -> None:
    dialect = FixedDialect(starts=[0, 4, 10], ends=[3, 9, 12], columns=COLUMNS)
    layout = FixedRejects(dialect)
    assert guessed(layout, b"1   Ada   22") == []
    assert guessed(layout, b"1   Ada") == ["n"]
    assert guessed(layout, b"1   Ada   22 more") == ["n"]
    assert guessed(layout, b"1  xAda  y22") == ["id", "name"]
    with pytest.raises(ValueError, match="does not fit the columns; send the value of `n`"):
        patched(layout, b"1   Ada", name="Bob")


def test_a_repeated_name_of_a_record_is_not_dropped_unasked() -> None:
    layout = JsonRejects(JsonDialect(root="array"))
    twice = b'{"a": 1, "a": 2, "b": 3}'
    with pytest.raises(ValueError, match="has the name `a` twice"):
        patched(layout, twice, b="4")
    assert patched(layout, twice, a="5") == ['{"a":"5","b":3}']
    for depth in (100, 5_000):
        with pytest.raises(ValueError, match="nests too deeply"):
            patched(layout, b'{"a": ' + b"[" * depth + b"]" * depth + b"}", b="1")
    digits = b"9" * 6000
    record = b'{"a": ' + digits + b', "b": 1}'
    assert patched(layout, record, b="2") == [f'{{"a":{digits.decode()},"b":"2"}}']
