"""Encodes rows of tables with a key, pages and rejects for the databases. It also runs in compute
processes, so this module imports nothing of the databases.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain
from typing import Any
from uuid import UUID

import msgspec

from app.formats.base import Page, Reject
from app.processors.tables import KeyedTable, Piece

MAX_VARIABLES = 32_000
"""Limit of variables of one statement; SQLite takes 32,766."""

_COPY_BEGIN = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
"""Header of the binary form of COPY, with flags and the length of an extension."""
_COPY_END = struct.pack(">h", -1)
_NULL = struct.pack(">i", -1)
_PAGE_HEAD = struct.Struct(">hi16siqiq")
"""Number of columns; length and value of the job, the first row and the row count."""
_LENGTH = struct.Struct(">i")
_REJECT_HEAD = struct.Struct(">hi16s")
"""Number of columns; length and value of the job."""
_REJECT_PLACE = struct.Struct(">iqiqiqiqi")
"""Length and value of four numbers; length of the bytes that follow."""

REJECT_COLUMNS = (
    "kind",
    "code",
    "message",
    "column_name",
    "value",
    "row_number",
    "line",
    "byte_start",
    "byte_end",
    "raw",
)
"""Columns of a reject behind `job_id`, in the order in which rejects are encoded."""

Encode = Callable[[KeyedTable, Sequence[tuple[Any, ...]]], list[Piece]]


def encoded(
    encode: Encode, tables: Mapping[str, KeyedTable], name: str, rows: Sequence[tuple[Any, ...]]
) -> list[Piece]:
    """Encode rows of the table of this name."""
    return encode(tables[name], rows)


def pages_as_copy(job_id: UUID, pages: Sequence[Page]) -> bytearray:
    """Encode result pages in the binary form of COPY, for the columns job_id, first_row, row_count,
    row_numbers and data. Pages are bytes already, while the driver takes only strings and encodes
    them again.
    """
    parts: list[bytes] = []
    for page in pages:
        head = _PAGE_HEAD.pack(5, 16, job_id.bytes, 8, page.first_row, 8, page.row_count)
        numbers = _NULL if page.numbers is None else _field(msgspec.json.encode(page.numbers))
        parts += [head, numbers, _LENGTH.pack(len(page.data)), page.data]
    return whole_copy(parts)


def _field(value: bytes) -> bytes:
    return _LENGTH.pack(len(value)) + value


@dataclass(frozen=True, slots=True)
class EncodedRejects:
    """Rejects as a database takes them, with their counts."""

    count: int
    failed: int
    """Number of those of the kind `failed`."""
    codes: dict[str, int]
    """Number of rejects by code."""
    data: Any

    @classmethod
    def of(cls, rejects: Sequence[Reject], data: Any) -> EncodedRejects:
        failed = sum(reject.kind == "failed" for reject in rejects)
        return cls(len(rejects), failed, dict(Counter(reject.code for reject in rejects)), data)


EncodeRejects = Callable[[UUID, Sequence[Reject]], EncodedRejects]
"""Encoder of the rejects of a job. It can be sent to another process."""


def rejects_as_copy(job_id: UUID, rejects: Sequence[Reject]) -> EncodedRejects:
    """Encode rejects as rows in the binary form of COPY, for the columns job_id and REJECT_COLUMNS:
    many rejects have the same reason, which the driver would encode for each.
    """
    begin = _REJECT_HEAD.pack(1 + len(REJECT_COLUMNS), 16, job_id.bytes)
    place = _REJECT_PLACE.pack
    heads: dict[tuple[str | None, ...], bytes] = {}
    parts: list[bytes] = []
    for reject in rejects:
        reason = (reject.kind, reject.code, reject.message, reject.column, reject.value)
        head = heads.get(reason)
        if head is None:
            head = heads[reason] = begin + b"".join(map(_text_field, reason))
        start, end, raw = reject.byte_start, reject.byte_end, reject.raw
        numbers = place(8, reject.row_number, 8, reject.line, 8, start, 8, end, len(raw))
        parts += (head, numbers, raw)
    return EncodedRejects.of(rejects, b"".join(parts))


def _text_field(value: str | None) -> bytes:
    return _NULL if value is None else _field(value.encode())


def whole_copy(rows: Sequence[bytes]) -> bytearray:
    """Return a whole text in the binary form of COPY from encoded rows."""
    # The driver would take bytes for the name of a file.
    return bytearray().join([_COPY_BEGIN, *rows, _COPY_END])


def rejects_as_parameters(job_id: UUID, rejects: Sequence[Reject]) -> EncodedRejects:
    """Encode rejects as parameters, the REJECT_COLUMNS of one after those of the other: other
    processes send one flat tuple in half of the time of many.
    """
    values: list[Any] = []
    for reject in rejects:
        values += (
            reject.kind,
            reject.code,
            reject.message,
            reject.column,
            reject.value,
            reject.row_number,
            reject.line,
            reject.byte_start,
            reject.byte_end,
            reject.raw,
        )
    return EncodedRejects.of(rejects, tuple(values))


def as_copy_text(size: int, table: KeyedTable, rows: Sequence[tuple[Any, ...]]) -> list[Piece]:
    """Encode up to `size` rows for each piece, in the text form of COPY: the driver would encode
    its binary form on the event loop.
    """
    place = table.columns.index(table.key)
    ordered = sorted(rows, key=lambda row: row[place])
    steps = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    return [
        Piece(len(step), "".join(["\t".join(map(_text, row)) + "\n" for row in step]).encode())
        for step in steps
    ]


def _text(value: Any) -> str:
    if value is None:
        return r"\N"
    text = value if isinstance(value, str) else str(value)
    if "\\" in text:
        text = text.replace("\\", r"\\")
    if "\n" in text or "\t" in text or "\r" in text:
        text = text.replace("\n", r"\n").replace("\t", r"\t").replace("\r", r"\r")
    return text


def as_parameters(size: int, table: KeyedTable, rows: Sequence[tuple[Any, ...]]) -> list[Piece]:
    """Encode up to `size` rows for each piece, as parameters."""
    at_once = min(size, MAX_VARIABLES // len(table.columns))
    steps = [rows[start : start + at_once] for start in range(0, len(rows), at_once)]
    return [Piece(len(step), _parameters(table, step)) for step in steps]


def _parameters(
    table: KeyedTable, rows: Sequence[tuple[Any, ...]]
) -> tuple[int, tuple[Any, ...], tuple[Any, ...]]:
    """Return (number of keys, parameters of the statement that looks up existing rows, parameters
    of the upsert after those of the job), with the last row of each key.
    """
    wanted = (table.key, "row_number", "content_hash")
    key, row_number, content_hash = (table.columns.index(column) for column in wanted)
    newest = {row[key]: row for row in sorted(rows, key=lambda row: row[row_number])}.values()
    looked_up = chain.from_iterable(
        (row[key], row[row_number], row[content_hash]) for row in newest
    )
    parameters = chain.from_iterable(map(_native, row) for row in newest)
    return len(newest), tuple(looked_up), tuple(parameters)


def _native(value: Any) -> Any:
    """Return the value as SQLAlchemy stores it in SQLite."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
    return str(value) if isinstance(value, Decimal) else value
