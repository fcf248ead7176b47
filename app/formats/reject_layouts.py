"""Layout of rejects: how a rejected record is shown as cells that can be corrected, and how a
corrected one is read again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import msgspec

from app.formats import faults
from app.formats.csv import BadCell, CsvDialect, CsvFormat
from app.formats.json import RECORD_SEPARATOR, JsonDialect
from app.formats.json_records import keys_twice

if TYPE_CHECKING:
    from app.formats.registry import Dialect

RECORD_COLUMN = "_record"
MARKS = faults.MARKS.decode("latin-1")


NAMED_COLUMNS = 5
"""Columns that a message names at most."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why it is uncertain which cells a record has."""

    reason: str
    """The rest of a sentence that begins with the row."""
    columns: Sequence[str]
    """Columns whose cells are a guess."""

    def check(self, values: Mapping[str, object]) -> None:
        """Raise ValueError, with a sentence, unless these new values cover all that is a guess."""
        open_columns = [name for name in self.columns if name not in values]
        if not open_columns:
            return
        names = ", ".join(f"`{name[:60]}`" for name in open_columns[:NAMED_COLUMNS])
        if len(open_columns) > NAMED_COLUMNS:
            names += ", ..."
        raise ValueError(f"{self.reason}; send the value of {names}")


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

    def split(self, raw: bytes, *, is_corrected: bool) -> list[bytes]:
        """Return the cells that a record has, be they fewer or more than the columns."""

    def doubt(self, raw: bytes, *, is_corrected: bool) -> Doubt | None:
        """Return why the shown cells are a guess; None if each column has its own cell."""

    def record(self, cells: Sequence[str]) -> bytes:
        """Return a record of a correction, without its end; raises UnicodeEncodeError if the
        encoding of the file has no such text.
        """

    def patched(
        self, raw: bytes, values: Mapping[str, msgspec.Raw], *, is_corrected: bool
    ) -> list[str]:
        """Return the cells with some of them replaced by JSON values. Raises ValueError, with a
        sentence, if that is impossible, or if a cell that is a guess is not replaced.
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
        self._strict_form = CsvFormat(
            msgspec.structs.replace(self._form.dialect, on_bad_row=dialect.on_bad_row)
        )
        self._delimiter = delimiter

    def cells(self, raw: bytes, *, is_corrected: bool) -> list[bytes]:
        delimiter = "," if is_corrected else self._delimiter
        cells = self.split(raw, is_corrected=is_corrected)
        width = len(self.columns)
        if len(cells) > width:
            cells[width - 1 :] = [delimiter.encode("latin-1").join(cells[width - 1 :])]
        return cells + [b""] * (width - len(cells))

    def split(self, raw: bytes, *, is_corrected: bool) -> list[bytes]:
        form = self._corrected_form if is_corrected else self._form
        cells = [str(cell) for cell in form.split_record(self._text(raw, is_corrected))]
        if self._original.cell_faults and not is_corrected:
            cells = [cell.lstrip(MARKS) for cell in cells]
        width = len(self.columns)
        if len(cells) > width and not self._keeps and not any(cells[width:]) and any(cells):
            cells = cells[:width]  # a reader drops such cells too
        return [cell.encode("latin-1") for cell in cells]

    def doubt(self, raw: bytes, *, is_corrected: bool) -> Doubt | None:
        if is_corrected:
            return None  # a correction has a cell for each column, and quotes that are right
        cells = self.split(raw, is_corrected=False)
        count, width = len(cells), len(self.columns)
        doubtful = set(range(count, width))
        if count > width:
            doubtful.add(width - 1)
        has_right_width = not doubtful
        first = self._first_bad_quote(raw)
        if first is not None:
            quote = self._form.dialect.quote.encode("latin-1")
            some = range(first, min(count, width))
            doubtful |= {place for place in some if quote in cells[place]}
            doubtful.add(min(first, width - 1))
        if not doubtful:
            return None
        reason = f"has {count} {'cell' if count == 1 else 'cells'} for {width} columns"
        if has_right_width:
            reason = "has a quote in the wrong place"
        return Doubt(reason, [self.columns[place] for place in sorted(doubtful)])

    @property
    def _keeps(self) -> bool:
        return self._original.on_bad_row == "keep"

    def _text(self, raw: bytes, is_corrected: bool) -> str:
        if self._original.encoding.startswith("utf-16") and not is_corrected:
            raw = raw.decode(self._original.encoding, "replace").encode()
        return raw.decode("latin-1")

    def _first_bad_quote(self, raw: bytes) -> int | None:
        """Return the position of the first cell with a quote in the wrong place."""
        try:
            self._strict_form.split_record(self._text(raw, False))
        except BadCell as bad:
            return bad.index
        return None

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
        doubt = self.doubt(raw, is_corrected=is_corrected)
        if doubt is not None:
            doubt.check(values)
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

    def split(self, raw: bytes, *, is_corrected: bool) -> list[bytes]:
        return [raw]

    def doubt(self, raw: bytes, *, is_corrected: bool) -> Doubt | None:
        return None  # the record is shown as a whole

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
            repeated = [name for name in keys_twice(raw) if name not in values]
        except RecursionError:
            raise ValueError("nests too deeply; send the whole of it as `record`") from None
        except (msgspec.DecodeError, UnicodeError):
            raise ValueError("is not a JSON object; send the whole of it as `record`") from None
        if repeated:
            raise ValueError(
                f"has the name `{repeated[0][:60]}` twice; send its value, or the whole as `record`"
            )
        return [msgspec.json.encode({**record, **values}).decode()]


def quoted(cell: bytes) -> bytes:
    """Return a cell of a CSV file with commas."""
    if any(c in cell for c in (b",", b'"', b"\n", b"\r")):
        return b'"' + cell.replace(b'"', b'""') + b'"'
    return cell
