"""Layout of rejects: how a rejected record is shown as cells that can be corrected, and how a
corrected one is read again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from app.formats import faults
from app.formats.csv import CsvDialect, CsvFormat
from app.formats.json import RECORD_SEPARATOR, JsonDialect

if TYPE_CHECKING:
    from app.formats.registry import Dialect

RECORD_COLUMN = "_record"
MARKS = faults.MARKS.decode("latin-1")


class RejectLayout(Protocol):
    @property
    def columns(self) -> Sequence[str]:
        """Columns that can be corrected."""

    @property
    def dialect(self) -> Dialect:
        """Dialect of the records of a correction."""

    @property
    def encoding(self) -> str: ...

    @property
    def end(self) -> bytes:
        """Bytes behind each record of a correction."""

    def cells(self, raw: bytes, *, is_corrected: bool) -> list[bytes]:
        """Return the cells that are shown of a record, by column. `is_corrected`: the bytes came in
        the form of a correction.
        """

    def record(self, cells: Sequence[str]) -> bytes:
        """Return a record of a correction, without its end; raises UnicodeEncodeError if the
        encoding of the file has no such text.
        """

    def patched(
        self, raw: bytes, values: Mapping[str, msgspec.Raw], *, is_corrected: bool
    ) -> list[str]:
        """Return the cells with some of them replaced by JSON values. Raises ValueError, with a
        sentence, if that is impossible.
        """


class CsvRejects:
    """Layout of CSV. Cells keep their bytes, even invalid ones. If a row has more cells than the
    header, the last column has all the rest as it was, delimiters included; if it has fewer, the
    others are empty.
    """

    end = b"\n"

    def __init__(self, dialect: CsvDialect) -> None:
        self._original = dialect
        self.columns = dialect.columns
        self.encoding = "utf-8" if dialect.encoding.startswith("utf-16") else dialect.encoding
        self.dialect = CsvDialect(
            encoding=self.encoding,
            columns=dialect.columns,
            header_rows=0,
            on_bad_row=dialect.on_bad_row,
        )
        # Latin-1 reads and writes any byte unchanged, whatever encoding the bytes are in.
        delimiter = dialect.delimiter.encode(self.encoding).decode("latin-1")
        quote = dialect.quote.encode(self.encoding).decode("latin-1")
        changes = {"encoding": "latin-1", "on_bad_row": "keep"}
        self._form = CsvFormat(
            msgspec.structs.replace(dialect, delimiter=delimiter, quote=quote, **changes)
        )
        self._corrected_form = CsvFormat(msgspec.structs.replace(self.dialect, **changes))
        self._delimiter = delimiter

    def cells(self, raw: bytes, *, is_corrected: bool) -> list[bytes]:
        form, delimiter = self._form, self._delimiter
        if is_corrected:
            form, delimiter = self._corrected_form, ","
        elif self._original.encoding.startswith("utf-16"):
            raw = raw.decode(self._original.encoding, "replace").encode()
        width = len(self.columns)
        cells = [str(cell) for cell in form.split_record(raw.decode("latin-1"))]
        if self._original.cell_faults and not is_corrected:
            cells = [cell.lstrip(MARKS) for cell in cells]
        if len(cells) > width:
            cells[width - 1 :] = [delimiter.join(cells[width - 1 :])]
        return [cell.encode("latin-1") for cell in cells] + [b""] * (width - len(cells))

    def record(self, cells: Sequence[str]) -> bytes:
        line = b",".join(quoted(cell.encode(self.encoding, "surrogateescape")) for cell in cells)
        return line or b'""'  # of a single column: a blank line is no record

    def patched(
        self, raw: bytes, values: Mapping[str, msgspec.Raw], *, is_corrected: bool
    ) -> list[str]:
        shown = self.cells(raw, is_corrected=is_corrected)
        cells = [cell.decode(self.encoding, "surrogateescape") for cell in shown]
        for name, value in values.items():
            if name not in self.columns:
                raise ValueError(f"has no column {name[:60]!r}")
            try:
                cell = msgspec.json.decode(value, type=str | None)
            except msgspec.ValidationError:
                raise ValueError("has values that are not text; cells are strings") from None
            cells[list(self.columns).index(name)] = cell or ""
        return cells


class JsonRejects:
    """Layout of JSON, which has no columns before it is parsed: one column has the record."""

    columns = (RECORD_COLUMN,)
    encoding = "utf-8"
    end = RECORD_SEPARATOR

    def __init__(self, dialect: JsonDialect) -> None:
        """A correction is read in the same way, whatever the root of the file. Its records are
        written as they are in the file, so they take the same shape.
        """
        self.dialect = JsonDialect(
            root="sequence",
            record_key=dialect.record_key,
            features=dialect.features,
            flatten=dialect.flatten,
        )

    def cells(self, raw: bytes, *, is_corrected: bool) -> list[bytes]:
        return [raw]

    def record(self, cells: Sequence[str]) -> bytes:
        # The separator would end the record. In its place stands another character that JSON does
        # not allow either.
        return (
            cells[0]
            .encode("utf-8", "surrogateescape")
            .replace(RECORD_SEPARATOR, b"\x1f")
            .strip(b" \t\r\n")
        )

    def patched(
        self, raw: bytes, values: Mapping[str, msgspec.Raw], *, is_corrected: bool
    ) -> list[str]:
        try:
            record = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
            if self.dialect.shape.changes_records:
                raise ValueError(
                    "is read in another shape than its columns show; send the whole of it as `record`"
                )
        except (msgspec.DecodeError, UnicodeError):
            raise ValueError("is not a JSON object; send the whole of it as `record`") from None
        return [msgspec.json.encode({**record, **values}).decode()]


def quoted(cell: bytes) -> bytes:
    """Return a cell of a CSV file with commas."""
    if any(c in cell for c in (b",", b'"', b"\n", b"\r")):
        return b'"' + cell.replace(b'"', b'""') + b'"'
    return cell
