"""Files as offices publish them are read as a person reads them, whatever is around the table."""

from __future__ import annotations

import pytest

from app.features.preview.beginning import of_pieces
from app.formats.csv import CsvDialect
from app.formats.detect import Declared, detect
from tests.formats.published import PUBLISHED, Published
from tests.formats.reading import read_all


@pytest.mark.parametrize("file", PUBLISHED, ids=lambda file: file.name)
def test_a_published_file_is_read_as_a_person_reads_it(file: Published) -> None:
    beginning = of_pieces([file.text.encode(file.encoding)], Declared())
    declared = beginning.declared(Declared())
    dialect = detect(beginning.sample, complete=True, declared=declared, filename="file.csv")
    assert isinstance(dialect, CsvDialect)
    assert dialect.columns == file.columns
    rows, rejects = read_all(beginning.sample, dialect)
    assert (len(rows), rejects) == (file.rows, [])
    cells = [[cell or "" for cell in row] for _, row in rows]
    assert (cells[0], cells[-1]) == (file.first, file.last)
