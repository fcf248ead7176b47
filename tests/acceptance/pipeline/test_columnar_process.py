"""Parquet and Arrow files of large results are made in a process of their own: the same bytes, and
never a part of a file that looks whole.
"""

from __future__ import annotations

import io
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.db.rows import PageRow
from app.errors import OutOfMemory
from app.features.files import columnar
from app.features.files.columnar import ColumnarFile, FileElsewhere, FileHere
from app.pipeline.processes import WorkerDied

COLUMNS = ["id", "name", "price"]
PAGES = [
    PageRow(1, 2, None, '[["1","née","1.50"],["2","","2.25"]]'),
    PageRow(3, 1, None, '[["3","x","-7.00"]]'),
]


def whole(file: ColumnarFile) -> bytes:
    try:
        assert file.look_for_types({"id": "number", "price": "number", "name": "number"})
        assert file.see(PAGES)
        pieces = [piece for page in PAGES for piece in file.encode(page)]
        return b"".join([*pieces, file.finish()])
    finally:
        file.close()


def test_another_process_makes_the_same_files() -> None:
    parquet = whole(FileElsewhere("parquet", COLUMNS))
    assert parquet == whole(FileHere("parquet", COLUMNS))
    table = pq.read_table(io.BytesIO(parquet))
    assert table.schema.types == [pa.int64(), pa.string(), pa.decimal128(3, 2)]
    assert table.column("id").to_pylist() == [1, 2, 3]
    assert whole(FileElsewhere("arrow", COLUMNS)) == whole(FileHere("arrow", COLUMNS))


@pytest.fixture
def file() -> Any:
    made = FileElsewhere("arrow", COLUMNS)
    yield made
    made.close()


def test_errors_come_back_and_the_end_of_the_process_is_one(
    file: FileElsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(msgspec.DecodeError, match="truncated"):
        file.encode(PageRow(1, 1, None, "[["))
    monkeypatch.setattr(columnar, "MEMORY_BYTES", 1)
    with pytest.raises(OutOfMemory):
        file.see([])
    file._process.kill()
    file._process.join()
    with pytest.raises(WorkerDied):
        file.finish()


def test_large_results_have_a_process_of_their_own() -> None:
    small = columnar.new_file("arrow", COLUMNS, columnar.LARGE_BYTES - 1)
    large = columnar.new_file("arrow", COLUMNS, columnar.LARGE_BYTES)
    small.close()
    large.close()
    assert (type(small), type(large)) == (FileHere, FileElsewhere)
