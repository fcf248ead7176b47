"""Reads a whole file as the service does: cut into spans, each read separately. Asserts what must
hold for every file and setting, by counting independently of the code under test; the tests assert
the rest.
"""

from __future__ import annotations

import io
import re
import zlib
from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from app.decoders.base import Wanted
from app.decoders.chain import Chain
from app.formats.base import MAX_REJECT_BYTES, CellRows, ObjectRows, Reject, Rows, Span
from app.formats.detect import Declared, detect
from app.formats.json import JsonDialect
from app.formats.registry import Dialect, open_format
from app.formats.text_rows import TextRows
from app.pipeline.cutter import Limits, Position, crc32_before, cut

LINE_ENDS = {"lf": "\n", "crlf": "\n", "cr": "\r", "any": "\r\n|\r|\n"}


@dataclass(frozen=True)
class Setting:
    """How to cut a file: none of these settings may change what is read."""

    chunk_rows: int = 1000
    chunk_bytes: int = 1 << 20
    window_bytes: int = 1 << 20
    budget: int = 1 << 40


USUAL = Setting()
DETECT_ALL = Declared()


class ThriftyFile(io.BytesIO):
    """A file that must be read block by block: reading nothing, or everything that is left, is a
    mistake.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert size > 0
        return super().read(size)


def stored(data: bytes, declared: Declared) -> tuple[bytes, Declared]:
    """The bytes that an upload of these becomes, and how they are then read."""
    chain = Chain()
    chain.encoding = declared.encoding
    kept = b"".join([*chain.feed(data), *chain.finish(Wanted())])
    for report in chain.reports(0):
        declared = replace(declared, **report.declared)
    return kept, declared


def read_all(
    data: bytes, dialect: Dialect, setting: Setting = USUAL
) -> tuple[list[tuple[int, Any]], list[Reject]]:
    """Return ([(row number, cells or the bytes of the JSON object)], rejects) of the whole file."""
    return read_spans(data, dialect, cut_all(data, dialect, setting))


def cut_all(
    data: bytes, dialect: Dialect, setting: Setting = USUAL, row_bytes: int = 1 << 30
) -> list[Span]:
    """Return the spans of the file, which tile it, cut in as many stretches as the budget needs."""
    form, file = open_format(dialect), ThriftyFile(data)
    limits = Limits(setting.chunk_rows, setting.chunk_bytes, row_bytes)
    position = Position(
        dialect.data_start, 0, dialect.data_line, crc32_before(file, dialect.data_start)
    )
    spans: list[Span] = []
    end = form.data_end or len(data)
    while True:
        made = cut(
            file,
            form,
            position,
            size=end,
            limits=limits,
            budget=setting.budget,
            window_bytes=setting.window_bytes,
        )
        spans += made.spans
        position = made.position
        if made.done:
            break
        assert made.spans, "a stretch without a span never ends"
        assert position.offset == spans[-1].byte_end
        assert position.crc32 == zlib.crc32(data[: position.offset])
    assert position.offset == end
    assert position.crc32 == zlib.crc32(data[:end])
    assert position.rows == sum(span.row_count for span in spans)
    assert_tiling(data, dialect, spans, setting)
    return spans


def assert_tiling(data: bytes, dialect: Dialect, spans: list[Span], setting: Setting) -> None:
    offset, row, lines = dialect.data_start, 1, line_starts(data, dialect)
    for span in spans:
        assert (span.byte_start, span.first_row) == (offset, row)
        assert span.byte_end > span.byte_start
        assert 1 <= span.row_count <= setting.chunk_rows
        assert span.first_line == line_at(lines, dialect, span.byte_start)
        assert span.is_oversize or span.crc32 == zlib.crc32(data[span.byte_start : span.byte_end])
        offset, row = span.byte_end, row + span.row_count
    if not dialect.skip_footer:
        end = open_format(dialect).data_end or len(data)
        rest = data[offset:end].strip(b"\0 \t\r\n")
        closings = {"array": b"]", "members": b"}"}
        assert not rest or (
            not spans and isinstance(dialect, JsonDialect) and rest == closings.get(dialect.root)
        )


def line_starts(data: bytes, dialect: Dialect) -> list[int]:
    """Return the offsets after each line end, from the first row on."""
    end = LINE_ENDS[dialect.newline]
    start, text = dialect.data_start, data[dialect.data_start :].decode("latin-1")
    return [start + found.end() for found in re.finditer(end, text)]


def line_at(lines: list[int], dialect: Dialect, offset: int) -> int:
    """Return the number of the line that contains the byte."""
    return dialect.data_line + bisect_right(lines, offset)


def read_spans(
    data: bytes, dialect: Dialect, spans: list[Span]
) -> tuple[list[tuple[int, Any]], list[Reject]]:
    form = open_format(dialect)
    rows: list[tuple[int, Any]] = []
    rejects: list[Reject] = []
    lines = line_starts(data, dialect)
    for span in spans:
        parsed = form.read(data[span.byte_start : span.byte_end], span)
        assert parsed.row_count == span.row_count
        numbers = sorted([*parsed.rows.numbers, *(reject.row_number for reject in parsed.rejects)])
        assert numbers == list(range(span.first_row, span.first_row + span.row_count))
        for reject in parsed.rejects:
            assert span.byte_start <= reject.byte_start <= reject.byte_end <= span.byte_end
            assert data[reject.byte_start : reject.byte_end][:MAX_REJECT_BYTES] == reject.raw
            assert reject.line == line_at(lines, dialect, reject.byte_start)
            # it scans the whole chunk
            if not span.is_oversize and reject in (parsed.rejects[0], parsed.rejects[-1]):
                place = form.locate(
                    data[span.byte_start : span.byte_end], span, [reject.row_number]
                )
                assert place == [(reject.byte_start, reject.byte_end, reject.line)]
        rows += zip(parsed.rows.numbers, values(parsed.rows), strict=True)
        rejects += parsed.rejects
    return rows, rejects


def values(rows: Rows) -> list[Any]:
    """Return cells, or the bytes of JSON objects; the pages must agree."""
    assert isinstance(rows, TextRows | CellRows | ObjectRows)
    paged = [row for page in rows.pages() for row in msgspec.json.decode(page.data)]
    assert paged == rows.records()
    return list(rows.raw) if isinstance(rows, ObjectRows) else rows.records()


def detected(data: bytes, declared: Declared = DETECT_ALL, filename: str = "") -> Dialect:
    """Return the dialect of a complete file, as the service stores it."""
    dialect = detect(data, complete=True, declared=declared, filename=filename)
    return (
        msgspec.structs.replace(dialect, data_end=len(data))
        if isinstance(dialect, JsonDialect)
        else dialect
    )
