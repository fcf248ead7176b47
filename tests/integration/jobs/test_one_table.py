"""The same table in every format gives the same rows, and the same proof sum where the format has the
same kind of rows.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from xml.sax.saxutils import escape

import httpx
import lz4.frame
import openpyxl
import pyarrow as pa
import pytest
import zstandard
from odf import table as odf_table
from odf.opendocument import OpenDocumentSpreadsheet
from odf.text import P
from pyarrow import feather, orc, parquet

from tests.engine import Engine

COLUMNS = ["sku", "name", "amount"]
ROWS = [[f"{n:05}", f"東京 {n} & <b>", f"{n}.50"] for n in range(1, 201)]
"""All values are text in every format, so that no format has a type of its own."""


def as_csv() -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([COLUMNS, *ROWS])
    return out.getvalue().encode()


def as_xlsx() -> bytes:
    book = openpyxl.Workbook()
    for row in [COLUMNS, *ROWS]:
        book.active.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def as_ods() -> bytes:
    book = OpenDocumentSpreadsheet()
    sheet = odf_table.Table(name="Sheet")
    for row in [COLUMNS, *ROWS]:
        line = odf_table.TableRow()
        for value in row:
            cell = odf_table.TableCell(valuetype="string")
            cell.addElement(P(text=value))
            line.addElement(cell)
        sheet.addElement(line)
    book.spreadsheet.addElement(sheet)
    out = io.BytesIO()
    book.write(out)
    return out.getvalue()


def as_arrow_table() -> pa.Table:
    return pa.table({name: [row[i] for row in ROWS] for i, name in enumerate(COLUMNS)})


def as_parquet() -> bytes:
    out = io.BytesIO()
    parquet.write_table(as_arrow_table(), out, row_group_size=50)
    return out.getvalue()


def as_orc() -> bytes:
    out = io.BytesIO()
    orc.write_table(as_arrow_table(), out)
    return out.getvalue()


def as_feather() -> bytes:
    out = io.BytesIO()
    feather.write_feather(as_arrow_table(), out)
    return out.getvalue()


def as_arrow_stream() -> bytes:
    out = io.BytesIO()
    with pa.ipc.new_stream(out, as_arrow_table().schema) as writer:
        writer.write_table(as_arrow_table(), max_chunksize=64)
    return out.getvalue()


def objects() -> list[dict[str, str]]:
    return [dict(zip(COLUMNS, row, strict=True)) for row in ROWS]


def as_json_lines() -> bytes:
    return b"".join(
        json.dumps(each, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        for each in objects()
    )


def as_nested_json() -> bytes:
    document = {"data": {"items": objects()}}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def as_xml() -> bytes:
    rows = (
        "<row>" + "".join(f"<{name}>{escape(value)}</{name}>" for name, value in row.items())
        + "</row>"
        for row in objects()
    )  # fmt: skip
    return f"<rows>{''.join(rows)}</rows>".encode()


def as_fixed_width() -> bytes:
    lines = [COLUMNS, *ROWS]
    return "".join(f"{sku:<6}{name:<20}{amount}\n" for sku, name, amount in lines).encode()


def as_zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inside/table.csv", as_csv())
    return out.getvalue()


def as_tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        info = tarfile.TarInfo("table.csv")
        info.size = len(as_csv())
        archive.addfile(info, io.BytesIO(as_csv()))
    return out.getvalue()


def in_encoding(encoding: str) -> Callable[[], bytes]:
    return lambda: as_csv().decode().encode(encoding)


CELLS: dict[str, tuple[Callable[[], bytes], dict[str, str]]] = {
    "table.csv": (as_csv, {}),
    "table.csv.gz": (lambda: gzip.compress(as_csv()), {}),
    "table.csv.zst": (lambda: zstandard.compress(as_csv()), {}),
    "table.csv.bz2": (lambda: bz2.compress(as_csv()), {}),
    "table.csv.xz": (lambda: lzma.compress(as_csv()), {}),
    "table.csv.lz4": (lambda: lz4.frame.compress(as_csv()), {}),
    "table.csv.z": (lambda: zlib.compress(as_csv()), {}),
    "utf-16.csv": (in_encoding("utf-16"), {}),
    "utf-32.csv": (in_encoding("utf-32"), {}),
    "shift-jis.csv": (in_encoding("shift_jis"), {}),
    "declared.csv": (in_encoding("euc_jp"), {"encoding": "euc_jp"}),
    "table.xlsx": (as_xlsx, {}),
    "table.ods": (as_ods, {}),
    "table.zip": (as_zip, {}),
    "table.tar.gz": (as_tar, {}),
    "table.txt": (as_fixed_width, {"widths": "6,20,*"}),
}
OBJECTS: dict[str, tuple[Callable[[], bytes], dict[str, str]]] = {
    "table.jsonl": (as_json_lines, {}),
    "nested.json": (as_nested_json, {"records": "data.items"}),
    "table.parquet": (as_parquet, {}),
    "table.orc": (as_orc, {}),
    "table.feather": (as_feather, {}),
    "table.arrows": (as_arrow_stream, {}),
    "table.xml": (as_xml, {}),
}


@pytest.mark.one_database
@pytest.mark.parametrize("kinds", [CELLS, OBJECTS], ids=["cells", "objects"])
def test_one_table_has_the_same_rows_in_every_format(
    engine: Engine, kinds: dict[str, tuple[Callable[[], bytes], dict[str, str]]]
) -> None:
    engine.start()
    sums: dict[str, str] = {}
    with engine.api() as api:
        for name, (write, parameters) in kinds.items():
            file_id = api.upload(write(), name=name, type="application/octet-stream", **parameters)[
                "file_id"
            ]
            status = api.finished(file_id)
            assert status["counts"]["loaded"] == len(ROWS), (name, status)
            assert status["columns"] == COLUMNS, name
            assert [cells for _, cells in api.rows(file_id)] == ROWS, name
            proof = api.proof(file_id)
            assert proof["closes"], name
            sums[name] = proof["hash"]["stored"]
    assert len(set(sums.values())) == 1, sums


@pytest.mark.one_database
@pytest.mark.parametrize(
    "name",
    [
        *("table.csv.zst", "utf-16.csv", "table.xlsx", "table.ods", "table.zip", "table.tar.gz"),
        *("nested.json", "table.parquet", "table.orc", "table.arrows", "table.xml"),
    ],
)
def test_a_death_while_a_format_is_decoded_leaves_nothing(engine: Engine, name: str) -> None:
    """The decoder has given its bytes, and the file is not published yet."""
    write, parameters = {**CELLS, **OBJECTS}[name]
    files = {"file": (name, write(), "application/octet-stream")}
    engine.start(GRANULA_FAIL="upload.before_rename=kill")
    with engine.api() as api, pytest.raises(httpx.TransportError):
        api.client.post("/api/v1/upload", params=parameters, files=files)
    engine.wait_for_death()
    assert not engine.files()

    engine.start()
    with engine.api() as api:
        uploaded = api.client.post("/api/v1/upload", params=parameters, files=files)
        assert uploaded.status_code == 201, uploaded.text
        file_id = uploaded.json()["file_id"]
        api.finished(file_id)
        assert [cells for _, cells in api.rows(file_id)] == ROWS
        assert api.proof(file_id)["closes"]
        assert list(engine.files()) == [file_id]
