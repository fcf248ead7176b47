"""JSON in all its layouts. Record boundaries are found here; the content of records is judged by
msgspec (json_records.py).

A record is kept as the bytes it came in. The scanner only counts brackets and quotes, so it never
recurses and never builds a value (json_structure.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import msgspec
import numpy as np

from app.formats.base import (
    MAX_REJECT_BYTES,
    LineNumbers,
    ObjectRows,
    Offsets,
    Parsed,
    Reject,
    Span,
    oversize_reject,
    skip_to_line_end,
)
from app.formats.json_records import BadRecord, judge_all
from app.formats.json_shapes import Shape
from app.formats.json_structure import (
    COMMA,
    IS_BLANK,
    WHITESPACE,
    blanks_before,
    brackets,
    cut_before_escape,
    outermost_commas,
    structure,
)

RECORD_SEPARATOR = b"\x1e"
OPENING_BRACE, CLOSING_BRACE, LF, CR = 123, 125, 10, 13


class JsonDialect(msgspec.Struct, frozen=True, kw_only=True, tag="json", tag_field="kind"):
    """How a JSON file is read, as stored with it and shown to the user. `root` is array, members
    (of an object), object, objects (one after the other) or lines; sequence in corrections.
    """

    REPORTS: ClassVar[tuple[str, ...]] = ("records",)
    ADDED: ClassVar[dict[str, Any]] = {
        "newline": "lf",
        "record_key": "",
        "features": False,
        "flatten": 0,
    }

    root: str
    newline: str = "lf"
    """Line end of JSON Lines: lf (a CR before it is a blank), cr, or any of them."""
    encoding: str = "utf-8"
    columns: list[str] = []
    data_start: int = 0
    data_line: int = 1
    data_end: int = 0
    """Place behind the last record; what follows it in the file is not read."""
    skip_footer: int = 0
    records: str = ""
    """Path of the array or object that holds the records; empty if that is the document."""
    record_key: str = ""
    """Column for the keys of the object whose members are the records."""
    features: bool = False
    """Whether records are GeoJSON features: their properties are columns, then geometry and id."""
    flatten: int = 0
    """Number of levels of nested objects that become columns such as `a.b`."""

    @property
    def format_name(self) -> str:
        return "jsonl" if self.root == "lines" else "json"

    @property
    def shape(self) -> Shape:
        """The shape that records take before they are stored."""
        return Shape(self.record_key, self.features, self.flatten)

    def of_size(self, size: int) -> JsonDialect:
        return self if self.data_end else msgspec.structs.replace(self, data_end=size)


class JsonFormat:
    """Base of the formats of all roots: it judges records. Subclasses find where records end."""

    line_end = b"\n"
    skip_footer = 0
    are_apart = False
    """Whether a record ends only where no bracket and no string is open."""

    def __init__(self, dialect: JsonDialect) -> None:
        self.dialect = dialect
        self.columns = dialect.columns
        self.data_start = dialect.data_start
        self._shape = dialect.shape

    @property
    def data_end(self) -> int:
        """Place behind the last record."""
        return self.dialect.data_end

    def count_lines(self, data: bytes) -> int:
        return self._lines_in(data)

    def _lines_in(self, data: bytes, start: int = 0, end: int | None = None) -> int:
        return data.count(b"\n", start, end)

    def scan(self, window: bytes, *, eof: bool) -> Offsets:
        raise NotImplementedError  # by the kind of root, below

    def skip(self, blocks: Iterable[bytes], at_least: int) -> int | None:
        return skip_to_line_end(blocks, at_least, b"\n")

    def record(self, raw: bytes, *, is_first: bool, is_last: bool) -> bytes | BadRecord:
        """Return the JSON text of the object inside the record's bytes, or what is wrong around it."""
        return raw.strip(WHITESPACE)

    def read(self, data: bytes, span: Span) -> Parsed:
        if span.is_oversize:
            return Parsed(ObjectRows([], [], []), [oversize_reject(data, span)])
        at_end = span.byte_end == self.dialect.data_end
        ends = self._ends(data, at_end)
        texts, refused = self._texts(data, ends, is_first=span.first_row == 1, at_end=at_end)
        if self._shape.has_keys:
            texts, refused = self._with_keys(texts, refused)
        judged = judge_all(texts, are_apart=self.are_apart, refused=refused)
        if self._shape.changes_records:
            texts, judged = self._shape.apply(texts, judged)
        numbers = range(span.first_row, span.first_row + len(texts))
        if not judged.bad:
            return Parsed(ObjectRows(judged.columns, numbers, texts))
        kept_numbers: list[int] = []
        kept: list[bytes] = []
        start = 0
        for end in [*judged.bad, len(texts)]:
            kept_numbers += numbers[start:end]
            kept += texts[start:end]
            start = end + 1
        rejects = []
        lines = LineNumbers(span.first_line, partial(self._lines_in, data))
        for index, bad in judged.bad.items():
            start = int(ends[index - 1]) if index else 0
            is_last = at_end and index == len(ends) - 1
            place = self._place(data, start, int(ends[index]), span, lines, is_last)
            rejects.append(self._reject(bad, data, place, numbers[index], span))
        return Parsed(ObjectRows(judged.columns, kept_numbers, kept), rejects)

    def _with_keys(
        self, texts: Sequence[bytes], refused: Mapping[int, BadRecord]
    ) -> tuple[list[bytes], dict[int, BadRecord]]:
        """Return the texts and the refused records, with the key of each member in its object."""
        keyed, bad = [], dict(refused)
        for index, text in enumerate(texts):
            record = text if index in bad else self._shape.with_key(text)
            if isinstance(record, BadRecord):
                bad[index] = record
                record = b""
            keyed.append(record)
        return keyed, bad

    def _texts(
        self, data: bytes, ends: Offsets, *, is_first: bool, at_end: bool
    ) -> tuple[list[bytes], dict[int, BadRecord]]:
        """Return (JSON text of each record, what is wrong around some of them). `is_first`: the
        file begins with this chunk. `at_end`: it ends with it.
        """
        texts, refused = [], {}
        start, last = 0, len(ends) - 1
        for index, end in enumerate(ends.tolist()):
            text = self.record(
                data[start:end],
                is_first=is_first and index == 0,
                is_last=at_end and index == last,
            )
            if isinstance(text, BadRecord):
                refused[index] = text
                text = b""
            texts.append(text)
            start = end
        return texts, refused

    def _ends(self, data: bytes, at_end: bool) -> Offsets:
        """Return the ends of the records of a chunk; whether the file ends with it may decide what
        the last one is.
        """
        return self.scan(data, eof=True)

    def locate(
        self, data: bytes, span: Span, row_numbers: Sequence[int]
    ) -> list[tuple[int, int, int]]:
        at_end = span.byte_end == self.dialect.data_end
        ends = [0, *self._ends(data, at_end).tolist()]
        lines = LineNumbers(span.first_line, partial(self._lines_in, data))
        places = []
        for index in (number - span.first_row for number in row_numbers):
            is_last = at_end and index + 2 == len(ends)
            places.append(self._place(data, ends[index], ends[index + 1], span, lines, is_last))
        return places

    def _place(
        self,
        data: bytes,
        start: int,
        end: int,
        span: Span,
        lines: LineNumbers,
        is_last: bool,
    ) -> tuple[int, int, int]:
        """Return (byte start, byte end, line) of a record without what surrounds it."""
        first, last = self.content(data[start:end], is_last=is_last)
        byte_start = span.byte_start + start
        return byte_start + first, byte_start + last, lines.at(start + first)

    def content(self, raw: bytes, *, is_last: bool) -> tuple[int, int]:
        """Return where the record is in its bytes, without blanks."""
        return len(raw) - len(raw.lstrip(WHITESPACE)), len(raw.rstrip(WHITESPACE))

    def _reject(
        self,
        bad: BadRecord,
        data: bytes,
        place: tuple[int, int, int],
        number: int,
        span: Span,
    ) -> Reject:
        byte_start, byte_end, line = place
        content = data[byte_start - span.byte_start : byte_end - span.byte_start]
        shown = content[:200].decode("utf-8", "backslashreplace").replace("\0", "\\x00")
        return Reject(
            number,
            line,
            byte_start,
            byte_end,
            content[:MAX_REJECT_BYTES],
            bad.code,
            bad.message,
            bad.column,
            shown,
        )


class JsonLinesFormat(JsonFormat):
    def __init__(self, dialect: JsonDialect) -> None:
        super().__init__(dialect)
        self.line_end = b"\r" if dialect.newline == "cr" else b"\n"
        self._any = dialect.newline == "any"

    def scan(self, window: bytes, *, eof: bool) -> Offsets:
        codes = np.frombuffer(window, np.uint8)
        is_end = codes == self.line_end[0]
        if self._any:
            alone = codes == CR
            alone[:-1] &= codes[1:] != LF
            alone[-1:] &= eof  # else an LF may follow
            is_end |= alone
        ends = np.flatnonzero(is_end) + 1
        if eof and len(window) and (not len(ends) or ends[-1] != len(window)):
            ends = np.append(ends, len(window))
        starts = np.concatenate(([0], ends))[:-1]
        blank = IS_BLANK[codes[starts]]
        for i in np.flatnonzero(blank & (ends - starts > 1)):
            blank[i] = IS_BLANK[codes[starts[i] : ends[i]]].all()
        return ends[~blank]

    def skip(self, blocks: Iterable[bytes], at_least: int) -> int | None:
        return skip_to_line_end(blocks, at_least, self.line_end)

    def _texts(
        self, data: bytes, ends: Offsets, *, is_first: bool, at_end: bool
    ) -> tuple[list[bytes], dict[int, BadRecord]]:
        if self._any:
            data = data.replace(b"\r", b"\n")
        texts = data.split(self.line_end)
        if not texts[-1]:
            texts.pop()
        if not len(ends) or len(texts) != len(ends):  # there are blank lines
            return [text for line in texts if (text := line.strip(WHITESPACE))], {}
        for place in _untidy(data, ends).tolist():
            texts[place] = texts[place].strip(WHITESPACE)
        return texts, {}

    def _lines_in(self, data: bytes, start: int = 0, end: int | None = None) -> int:
        count = data.count(self.line_end, start, end)
        if self._any:
            count += data.count(b"\r", start, end) - data.count(b"\r\n", start, end)
        return count


def _untidy(data: bytes, ends: Offsets) -> Offsets:
    """Return the lines that may have blanks around them: they do not begin with an opening brace,
    or do not end with a closing one. The last is among them, since it may have no line end.
    """
    codes = np.frombuffer(data, np.uint8)
    is_tidy = codes[np.append(0, ends[:-1])] == OPENING_BRACE
    is_tidy &= codes[ends - 2] == CLOSING_BRACE
    is_tidy[-1:] = False
    return np.flatnonzero(~is_tidy)


class JsonSequenceFormat(JsonFormat):
    """Records of corrections: each ends with RECORD_SEPARATOR, which JSON allows nowhere, so that
    everything else stays in its record, even line ends (after RFC 7464).
    """

    def scan(self, window: bytes, *, eof: bool) -> Offsets:
        return np.flatnonzero(np.frombuffer(window, np.uint8) == RECORD_SEPARATOR[0]) + 1

    def record(self, raw: bytes, *, is_first: bool, is_last: bool) -> bytes | BadRecord:
        return raw[:-1].strip(WHITESPACE)

    def content(self, raw: bytes, *, is_last: bool) -> tuple[int, int]:
        return super().content(raw[:-1], is_last=is_last)


class JsonObjectFormat(JsonFormat):
    """A file that is one record."""

    def scan(self, window: bytes, *, eof: bool) -> Offsets:
        return np.array([len(window)] if eof and window.strip(WHITESPACE) else [], np.int64)

    def skip(self, blocks: Iterable[bytes], at_least: int) -> int | None:
        return None


class JsonObjectsFormat(JsonFormat):
    """Objects one after the other, with any blanks between and inside them. Other text between two
    objects is a record of its own, so that it harms neither.
    """

    are_apart = True

    def scan(self, window: bytes, *, eof: bool) -> Offsets:
        codes = np.frombuffer(window, np.uint8)
        places, steps, _ = brackets(codes)
        levels = np.cumsum(steps, dtype=np.int64)
        levels -= np.minimum.accumulate(np.minimum(levels, 0))
        levels_before = np.concatenate(([0], levels))[:-1]
        closed = places[(steps < 0) & (levels == 0) & (levels_before > 0)] + 1
        opened = places[(steps > 0) & (levels == 1)]
        # Between the end of an object and the next bracket there may be something else.
        behind = np.concatenate(([0], closed))[: len(opened)]
        between = blanks_before(codes, behind, opened)
        ends = np.union1d(closed, opened[~between])
        if eof and window[int(ends[-1]) if len(ends) else 0 :].strip(WHITESPACE):
            ends = np.append(ends, len(window))
        return ends

    def skip(self, blocks: Iterable[bytes], at_least: int) -> int | None:
        """Return the length up to the bracket that closes the record, or the one that opens the
        next. What is open is carried from block to block.
        """
        offset, level, in_string = 0, 0, 0
        carried, has_begun = b"", False
        for block in blocks:
            text, carried = cut_before_escape(carried + block)
            codes = np.frombuffer(text, np.uint8)
            places, steps, quotes = brackets(codes, in_string)
            levels = level + np.cumsum(steps, dtype=np.int64)
            levels -= np.minimum.accumulate(np.minimum(levels, 0))
            levels_before = np.concatenate(([level], levels))[:-1]
            ends = places[(steps < 0) & (levels == 0) & (levels_before > 0)][:1] + 1
            opened = places[(steps > 0) & (levels == 1)][:1]
            if len(opened) and (has_begun or text[: int(opened[0])].strip(WHITESPACE)):
                ends = np.append(ends, opened)
            if len(ends):
                return offset + int(ends.min())
            has_begun = has_begun or bool(text.strip(WHITESPACE))
            level = int(levels[-1]) if len(levels) else level
            in_string = (in_string + quotes) % 2
            offset += len(text)
        return None


class JsonArrayFormat(JsonFormat):
    """Records of an array: each reaches from its leading comma to the next comma of the array, the
    last one to the end of the data.

    Text behind the bracket that closes the array, up to the next comma, is a record of its own: it
    is rejected, but so it harms no other. Blanks are no record.
    """

    are_apart = True
    what = "array"
    closing = b"]"

    def _texts(
        self, data: bytes, ends: Offsets, *, is_first: bool, at_end: bool
    ) -> tuple[list[bytes], dict[int, BadRecord]]:
        starts = np.concatenate(([0], ends))[:-1]
        is_usual = np.frombuffer(data, np.uint8)[starts] == COMMA
        is_usual[:1] &= not is_first
        is_usual[-1:] &= not at_end
        texts = [
            data[start:end].strip(WHITESPACE)
            for start, end in zip((starts + 1).tolist(), ends.tolist(), strict=True)
        ]
        if not all(texts):
            is_usual &= [bool(text) for text in texts]
        refused = {}
        for index in np.flatnonzero(~is_usual).tolist():
            text = self.record(
                data[starts[index] : ends[index]],
                is_first=is_first and index == 0,
                is_last=at_end and index == len(ends) - 1,
            )
            if isinstance(text, BadRecord):
                refused[index] = text
                text = b""
            texts[index] = text
        return texts, refused

    def scan(self, window: bytes, *, eof: bool) -> Offsets:
        return self._record_ends(window, eof, more_follows=False)

    def _ends(self, data: bytes, at_end: bool) -> Offsets:
        return self._record_ends(data, True, more_follows=not at_end)

    def _record_ends(self, window: bytes, eof: bool, *, more_follows: bool) -> Offsets:
        """Return the ends of the records. `more_follows`: another chunk begins behind this one."""
        codes = np.frombuffer(window, np.uint8)
        commas, falls = outermost_commas(codes)
        if len(commas) and not window[: commas[0]].strip(WHITESPACE):
            commas = commas[1:]
        closings = falls[codes[falls] == self.closing[0]]
        ends: Offsets = commas
        if len(closings):
            closed = self._closed_early(window, commas, closings, more_follows)
            ends = np.union1d(commas, closed)
        if not eof:
            return ends
        rest = window[int(ends[-1]) if len(ends) else 0 :].strip(WHITESPACE)
        if rest and (more_follows or rest != self.closing):
            ends = np.append(ends, len(window))
        return ends

    def _closed_early(
        self,
        window: bytes,
        commas: Offsets,
        closings: Offsets,
        more_follows: bool,
    ) -> Offsets:
        """Return the first bracket between two commas that closes the array although something
        follows it.
        """
        pieces, first = np.unique(np.searchsorted(commas, closings), return_index=True)
        closed = closings[first]
        if pieces[-1] == len(commas) and not more_follows:
            behind = window[int(closed[-1]) + 1 :]
            if not behind.strip(WHITESPACE):
                pieces, closed = pieces[:-1], closed[:-1]
        if len(pieces) and pieces[0] == 0:
            before = window[: int(closed[0]) + 1]
            if before.lstrip(WHITESPACE) == self.closing:
                closed = closed[1:]  # with it begins the record that follows the array
        return closed

    def skip(self, blocks: Iterable[bytes], at_least: int) -> int | None:
        """Return the length up to the comma behind the record, or the bracket that closes the array
        although something follows. What is open is carried from block to block.
        """
        offset, level, in_string = 0, 0, 0
        carried, begins, closed = b"", b"", -1
        for block in blocks:
            text, carried = cut_before_escape(carried + block)
            codes = np.frombuffer(text, np.uint8)
            places, kinds, levels, falls, quotes = structure(codes, level, in_string)
            commas = places[(kinds == COMMA) & (levels == 0)]
            if not begins and len(commas) and not text[: commas[0]].strip(WHITESPACE):
                commas = commas[1:]  # the one before the record
            begins = begins or text.lstrip(WHITESPACE)[:1]
            end = int(commas[0]) if len(commas) else len(text)
            closings = falls[codes[falls] == self.closing[0]]
            follows = text.lstrip(WHITESPACE)
            if closed < 0 and begins != self.closing and len(closings) and closings[0] < end:
                closed = offset + int(closings[0])
                follows = text[int(closings[0]) + 1 :].lstrip(WHITESPACE)
            if closed >= 0 and follows:
                return closed
            if len(commas):
                return offset + end
            level = int(levels[-1]) if len(levels) else level
            in_string = (in_string + quotes) % 2
            offset += len(text)
        # A backslash that ends the file is held back, and follows the array as any other byte.
        return closed if closed >= 0 and carried else None

    def content(self, raw: bytes, *, is_last: bool) -> tuple[int, int]:
        """Return where the record is in its bytes, without the comma or bracket before it and
        without the bracket that closes the array behind it.
        """
        first, last = super().content(raw, is_last=is_last)
        follows_array = raw[first : first + 1] == self.closing
        if follows_array and last == first + 1:
            return first, last
        if raw[first : first + 1] in (b",", self.closing):
            first = len(raw) - len(raw[first + 1 :].lstrip(WHITESPACE))
        if is_last and not follows_array and (end := self._closing(raw[first:])) is not None:
            last = len(raw[: first + end].rstrip(WHITESPACE))
        return first, max(first, last)

    def record(self, raw: bytes, *, is_first: bool, is_last: bool) -> bytes | BadRecord:
        text = raw.strip(WHITESPACE)
        if text.startswith(self.closing):
            return BadRecord("json_syntax", f"There is content after the end of the {self.what}.")
        if text.startswith(b","):
            if is_first:
                return BadRecord("json_syntax", "There is no value before the first comma.")
            text = text[1:].lstrip(WHITESPACE)
        if is_last:
            end = self._closing(text)
            if end is None:
                return BadRecord(
                    "json_truncated", f"The file ends before its {self.what} is closed."
                )
            text = text[:end].rstrip(WHITESPACE)
        if not text:
            message = "There is no value between two commas, or after the last one."
            return BadRecord("json_syntax", message)
        return text

    def _closing(self, text: bytes) -> int | None:
        """Return where a bracket closes the array that the text is in; None if none does."""
        codes = np.frombuffer(text, np.uint8)
        falls = structure(codes)[3]
        closings = falls[codes[falls] == self.closing[0]]
        return int(closings[0]) if len(closings) else None


class JsonMembersFormat(JsonArrayFormat):
    """Records are the members of an object: a key and an object each."""

    what = "object"
    closing = b"}"


ROOTS = {
    "array": JsonArrayFormat,
    "members": JsonMembersFormat,
    "object": JsonObjectFormat,
    "objects": JsonObjectsFormat,
    "lines": JsonLinesFormat,
    "sequence": JsonSequenceFormat,
}


def json_format(dialect: JsonDialect) -> JsonFormat:
    return ROOTS[dialect.root](dialect)
