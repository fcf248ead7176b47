"""A single mistake in a file costs at most the row that it is in, and never the header."""

from __future__ import annotations

import pytest

from app.formats.csv import CsvDialect
from app.formats.detect import Declared, detect
from tests.formats.pollution import Polluted, polluted_files
from tests.formats.reading import read_all


@pytest.mark.parametrize("file", polluted_files(), ids=lambda file: file.name)
def test_a_mistake_costs_only_its_row(file: Polluted) -> None:
    data = file.text.encode()
    dialect = detect(data, complete=True, declared=Declared(), filename="file.csv")
    assert isinstance(dialect, CsvDialect)
    if file.header:
        assert tuple(dialect.columns) == file.header
    else:
        assert dialect.header_rows == 0
    rows, rejects = read_all(data, dialect)
    assert len(rows) + len(rejects) == len(file.rows)
    by_number = {number: [cell or "" for cell in cells] for number, cells in rows}
    for number, cells in enumerate(file.rows, 1):
        if number - 1 not in file.may_change:
            assert by_number[number] == cells
