"""JSON: an array of objects, one object, or JSON Lines. Record boundaries are
found here, each record is judged by msgspec.

A record is kept as the bytes it came in. The scanner only counts brackets and quotes, so it never
recurses and never builds a value: a million opening brackets cost a million additions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, ClassVar

import msgspec
import numpy as np

from app.formats.base import (
    MAX_COLUMNS,
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

MAX_DEPTH = 64
WHITESPACE = b" \t\r\n"
RECORD_SEPARATOR = b"\x1e"
QUOTE, BACKSLASH, COMMA, CLOSING, LF, CR = 34, 92, 44, 93, 10, 13

# What a byte outside strings does to the depth.
_STEP = np.zeros(256, np.int8)
_STEP[[ord("{"), ord("[")]] = 1
_STEP[[ord("}"), ord("]")]] = -1
_STRUCTURAL = _STEP != 0
_STRUCTURAL[COMMA] = True

_IS_BLANK = np.zeros(256, bool)
_IS_BLANK[list(WHITESPACE)] = True

_LONE_SURROGATE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F]"
)
_SPACED_COLON = re.compile(rb"[ \t\r\n]:")
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class JsonDialect(msgspec.Struct, frozen=True, kw_only=True, tag="json", tag_field="kind"):
    """A JSON file as stored with it and shown to the user. `root` is array, object, objects (one
    after the other) or lines; sequence in corrections."""

    REPORTS: ClassVar[tuple[str, ...]] = ()
    ADDED: ClassVar[dict[str, Any]] = {"newline": "lf"}

    root: str
    newline: str = "lf"
    """Of lines: lf (a CR before it is a blank), cr, or any of them."""
    encoding: str = "utf-8"
    columns: list[str] = []
    data_start: int = 0
    data_line: int = 1
    data_end: int = 0
    skip_footer: int = 0

    @property
    def format_name(self) -> str:
        return "jsonl" if self.root == "lines" else "json"

    def of_size(self, size: int) -> JsonDialect:
        return msgspec.structs.replace(self, data_end=size)


class BadRecord(Exception):
    def __init__(self, code: str, message: str, column: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.column = code, message, column


class JsonFormat:
    """Shared by all kinds of root: judging records. Their subclasses say where records end."""

    line_end = b"\n"
    unit = 1
    skip_footer = 0

    def __init__(self, dialect: JsonDialect) -> None:
        self.dialect = dialect
        self.columns = dialect.columns
        self.data_start = dialect.data_start

    def count_lines(self, data: bytes) -> int:
        return self._lines_in(data)

    def _lines_in(self, data: bytes, start: int = 0, end: int | None = None) -> int:
        return data.count(b"\n", start, end)

    def scan(self, window: bytes, *, eof: bool) -> Offsets:
        raise NotImplementedError  # by the kind of root, below

    def skip(self, blocks: Iterable[bytes], at_least: int) -> int | None:
        return skip_to_line_end(blocks, at_least, b"\n", 1)

    def record(self, raw: bytes, *, is_first: bool, is_last: bool) -> bytes:
        """The JSON text of the object inside the record's bytes; raises
        BadRecord if what surrounds it is wrong."""
        return raw.strip(WHITESPACE)

    def read(self, data: bytes, span: Span) -> Parsed:
        columns: dict[str, None] = {}
        numbers: list[int] = []
        kept: list[bytes] = []
        rejects: list[Reject] = []
        if span.is_oversize:
            return Parsed(ObjectRows([], [], []), [oversize_reject(data, span)])
        lines = LineNumbers(span.first_line, partial(self._lines_in, data))
        start, at_end = 0, span.byte_end == self.dialect.data_end
        ends = self._ends(data, at_end).tolist()
        for number, end in enumerate(ends, span.first_row):
            is_last = at_end and end == ends[-1]
            try:
                text = self.record(data[start:end], is_first=number == 1, is_last=is_last)
                columns |= dict.fromkeys(judge(text))
                numbers.append(number)
                kept.append(text)
            except BadRecord as bad:
                place = self._place(data, start, end, span, lines, is_last)
                rejects.append(self._reject(bad, data, place, number, span))
            start = end
        return Parsed(ObjectRows(list(columns), numbers, kept), rejects)

    def _ends(self, data: bytes, at_end: bool) -> Offsets:
        """Ends of the records of a chunk; whether the file ends with
        it may decide what the last one is."""
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
        """(byte start, byte end, line) of a record without what surrounds it."""
        first, last = self.content(data[start:end], is_last=is_last)
        byte_start = span.byte_start + start
        return byte_start + first, byte_start + last, lines.at(start + first)

    def content(self, raw: bytes, *, is_last: bool) -> tuple[int, int]:
        """Where the record stands in its bytes, without blanks."""
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
        blank = _IS_BLANK[codes[starts]]
        for i in np.flatnonzero(blank & (ends - starts > 1)):
            blank[i] = _IS_BLANK[codes[starts[i] : ends[i]]].all()
        return ends[~blank]

    def skip(self, blocks: Iterable[bytes], at_least: int) -> int | None:
        return skip_to_line_end(blocks, at_least, self.line_end, 1)

    def _lines_in(self, data: bytes, start: int = 0, end: int | None = None) -> int:
        count = data.count(self.line_end, start, end)
        if self._any:
            count += data.count(b"\r", start, end) - data.count(b"\r\n", start, end)
        return count


class JsonSequenceFormat(JsonFormat):
    """Records of corrections: each ends with RECORD_SEPARATOR, which JSON allows nowhere, so that
    whatever is in one stays in it, line ends and all (after RFC 7464)."""

    def scan(self, window: bytes, *, eof: bool) -> Offsets:
        return np.flatnonzero(np.frombuffer(window, np.uint8) == RECORD_SEPARATOR[0]) + 1

    def record(self, raw: bytes, *, is_first: bool, is_last: bool) -> bytes:
        return raw[:-1].strip(WHITESPACE)

    def content(self, raw: bytes, *, is_last: bool) -> tuple[int, int]:
        return super().content(raw[:-1], is_last=is_last)


class JsonObjectFormat(JsonFormat):
    """The whole file is one record."""

    def scan(self, window: bytes, *, eof: bool) -> Offsets:
        return np.array([len(window)] if eof and window.strip(WHITESPACE) else [], np.int64)

    def skip(self, blocks: Iterable[bytes], at_least: int) -> int | None:
        return None


class JsonObjectsFormat(JsonFormat):
    """Objects one after the other, whatever blanks are between them and in them. What is between
    two objects and is no blank is a record of its own, so that it harms neither."""

    def scan(self, window: bytes, *, eof: bool) -> Offsets:
        codes = np.frombuffer(window, np.uint8)
        places, steps, _ = _brackets(codes)
        levels = np.cumsum(steps, dtype=np.int64)
        levels -= np.minimum.accumulate(np.minimum(levels, 0))
        levels_before = np.concatenate(([0], levels))[:-1]
        closed = places[(steps < 0) & (levels == 0) & (levels_before > 0)] + 1
        opened = places[(steps > 0) & (levels == 1)]
        # Between the end of an object and the next bracket there may be something else.
        behind = np.concatenate(([0], closed))[: len(opened)]
        between = _blanks_before(codes, behind, opened)
        ends = np.union1d(closed, opened[~between])
        if eof and window[int(ends[-1]) if len(ends) else 0 :].strip(WHITESPACE):
            ends = np.append(ends, len(window))
        return ends

    def skip(self, blocks: Iterable[bytes], at_least: int) -> int | None:
        """Up to the bracket that closes the record, or the one that opens the next, with
        what is open carried from block to block."""
        offset, level, in_string = 0, 0, 0
        carried, has_begun = b"", False
        for block in blocks:
            text, carried = _cut_before_escape(carried + block)
            codes = np.frombuffer(text, np.uint8)
            places, steps, quotes = _brackets(codes, in_string)
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
    """A record reaches from its leading comma to the next comma of the
    array, the last one to the end of the file.

    What follows the bracket that closes the array, up to the next comma, is a record of its own: it
    is none, but so it harms no other. Only blanks may follow, and they are no record.
    """

    def scan(self, window: bytes, *, eof: bool) -> Offsets:
        return self._record_ends(window, eof, more_follows=False)

    def _ends(self, data: bytes, at_end: bool) -> Offsets:
        return self._record_ends(data, True, more_follows=not at_end)

    def _record_ends(self, window: bytes, eof: bool, *, more_follows: bool) -> Offsets:
        """`more_follows` says of a chunk that another one begins behind it."""
        codes = np.frombuffer(window, np.uint8)
        places, kinds, levels, falls, _ = _structure(codes)
        commas = places[(kinds == COMMA) & (levels == 0)]
        if len(commas) and not window[: commas[0]].strip(WHITESPACE):
            commas = commas[1:]
        closings = falls[codes[falls] == CLOSING]
        ends: Offsets = commas
        if len(closings):
            closed = self._closed_early(window, commas, closings, more_follows)
            ends = np.union1d(commas, closed)
        if not eof:
            return ends
        rest = window[int(ends[-1]) if len(ends) else 0 :].strip(WHITESPACE)
        if rest and (more_follows or rest != b"]"):
            ends = np.append(ends, len(window))
        return ends

    def _closed_early(
        self,
        window: bytes,
        commas: Offsets,
        closings: Offsets,
        more_follows: bool,
    ) -> Offsets:
        """The first bracket between two commas that closes the array
        although something follows it."""
        pieces, first = np.unique(np.searchsorted(commas, closings), return_index=True)
        closed = closings[first]
        if pieces[-1] == len(commas) and not more_follows:
            behind = window[int(closed[-1]) + 1 :]
            if not behind.strip(WHITESPACE):
                pieces, closed = pieces[:-1], closed[:-1]
        if len(pieces) and pieces[0] == 0:
            before = window[: int(closed[0]) + 1]
            if before.lstrip(WHITESPACE) == b"]":
                closed = closed[1:]  # with it begins the record that follows the array
        return closed

    def skip(self, blocks: Iterable[bytes], at_least: int) -> int | None:
        """Up to the comma behind the record, or the bracket that closes the array although
        something follows, with what is open carried from block to block."""
        offset, level, in_string = 0, 0, 0
        carried, begins, closed = b"", b"", -1
        for block in blocks:
            text, carried = _cut_before_escape(carried + block)
            codes = np.frombuffer(text, np.uint8)
            places, kinds, levels, falls, quotes = _structure(codes, level, in_string)
            commas = places[(kinds == COMMA) & (levels == 0)]
            if not begins and len(commas) and not text[: commas[0]].strip(WHITESPACE):
                commas = commas[1:]  # the one before the record
            begins = begins or text.lstrip(WHITESPACE)[:1]
            end = int(commas[0]) if len(commas) else len(text)
            closings = falls[codes[falls] == CLOSING]
            follows = text.lstrip(WHITESPACE)
            if closed < 0 and begins != b"]" and len(closings) and closings[0] < end:
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
        """Without the comma or the bracket before the record, and without the
        bracket that closes the array behind it."""
        first, last = super().content(raw, is_last=is_last)
        follows_array = raw[first : first + 1] == b"]"
        if follows_array and last == first + 1:
            return first, last
        if raw[first : first + 1] in (b",", b"]"):
            first = len(raw) - len(raw[first + 1 :].lstrip(WHITESPACE))
        if is_last and not follows_array and (end := _closing(raw[first:])) is not None:
            last = len(raw[: first + end].rstrip(WHITESPACE))
        return first, max(first, last)

    def record(self, raw: bytes, *, is_first: bool, is_last: bool) -> bytes:
        text = raw.strip(WHITESPACE)
        if text.startswith(b"]"):
            raise BadRecord("json_syntax", "Something follows the end of the array.")
        if text.startswith(b","):
            if is_first:
                raise BadRecord("json_syntax", "There is no value before the first comma.")
            text = text[1:].lstrip(WHITESPACE)
        if is_last:
            end = _closing(text)
            if end is None:
                raise BadRecord("json_truncated", "The file ends before its array is closed.")
            text = text[:end].rstrip(WHITESPACE)
        if not text:
            message = "There is no value between two commas, or after the last one."
            raise BadRecord("json_syntax", message)
        return text


def _cut_before_escape(text: bytes) -> tuple[bytes, bytes]:
    """What a backslash escapes must not be in another block."""
    cut = len(text.rstrip(b"\\"))
    return text[:cut], text[cut:]


def _brackets(codes: np.ndarray, in_string: int = 0) -> tuple[Offsets, np.ndarray, int]:
    """(places of the brackets outside strings, 1 for each that opens and
    -1 for each that closes, number of quotes)"""
    quotes = unescaped_quotes(codes)
    places = np.flatnonzero(_STEP[codes] != 0)
    places = places[(in_string + np.searchsorted(quotes, places)) % 2 == 0]
    return places, _STEP[codes[places]], len(quotes)


def _structure(
    codes: np.ndarray,
    level: int = 0,
    in_string: int = 0,
) -> tuple[Offsets, np.ndarray, Offsets, Offsets, int]:
    """(places of brackets and commas outside strings, what they are, the level behind each, places
    of the brackets that close more than is open, number of quotes). After such a bracket the level
    is 0 again: what follows is outside, too."""
    places = np.flatnonzero(_STRUCTURAL[codes])
    quotes = unescaped_quotes(codes)
    places = places[(in_string + np.searchsorted(quotes, places)) % 2 == 0]
    kinds = codes[places]
    levels = np.cumsum(_STEP[kinds], dtype=np.int64)
    levels += level
    falls = places[:0]
    if levels.min(initial=0) < 0:
        floor = np.minimum.accumulate(np.minimum(levels, 0))
        falls = places[np.diff(floor, prepend=0) < 0]
        levels -= floor
    return places, kinds, levels, falls, len(quotes)


def _blanks_before(codes: np.ndarray, starts: Offsets, ends: Offsets) -> np.ndarray:
    """Whether there are only blanks from each of the starts to its end."""
    seen = np.concatenate(([0], np.cumsum(~_IS_BLANK[codes], dtype=np.int64)))
    blank: np.ndarray = seen[ends] == seen[starts]
    return blank


def _closing(text: bytes) -> int | None:
    """Where a bracket closes the array that the text is in."""
    codes = np.frombuffer(text, np.uint8)
    falls = _structure(codes)[3]
    closings = falls[codes[falls] == CLOSING]
    return int(closings[0]) if len(closings) else None


def unescaped_quotes(codes: np.ndarray) -> Offsets:
    """Positions of the quotes that begin or end a string."""
    quotes = np.flatnonzero(codes == QUOTE)
    suspects = quotes[(quotes > 0) & (codes[quotes - 1] == BACKSLASH)]
    if not len(suspects):
        return quotes
    others = np.flatnonzero(codes != BACKSLASH)
    # The last byte before the run of backslashes, if any.
    before = np.searchsorted(others, suspects) - 1
    run = suspects - 1 - np.where(before >= 0, others[before], -1)
    return np.setdiff1d(quotes, suspects[run % 2 == 1], assume_unique=True)


def depth_of(text: bytes) -> int:
    """How deep brackets nest outside strings."""
    _, steps, _ = _brackets(np.frombuffer(text, np.uint8))
    return int(np.cumsum(steps, dtype=np.int64).max(initial=0))


def judge(text: bytes) -> Iterable[str]:
    """The keys of a record that can be stored; raises BadRecord saying why another cannot."""
    if text.count(b"[") + text.count(b"{") > MAX_DEPTH and depth_of(text) > MAX_DEPTH:
        raise BadRecord("json_too_deep", f"The record nests deeper than {MAX_DEPTH} levels.")
    try:
        value = _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _reason(text, error) from None
    if len(value) > MAX_COLUMNS:
        raise BadRecord("too_many_columns", f"The record has more than {MAX_COLUMNS} keys.")
    # Each key that is written has a colon behind its quote: as many as there are keys means no key
    # twice. Any other count (nested objects, strings that hold such a thing) needs the slower look.
    if text.count(b":") != len(value):
        if text.count(b'":') != len(value) or _SPACED_COLON.search(text):
            _refuse_duplicate_keys(text)
    return value


def _reason(text: bytes, error: Exception) -> BadRecord:
    """Return why msgspec refused `text`, decided by the bytes: its error
    classes and words differ between versions."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return BadRecord("invalid_utf8", "The record holds bytes that are not UTF-8.")
    if isinstance(error, msgspec.ValidationError):
        # The type asked for is an object of anything, so in an object only a number can fail it.
        if text.lstrip(WHITESPACE).startswith(b"{"):
            message = "The record holds a number that cannot be represented."
            return BadRecord("number_out_of_range", message)
        return BadRecord("json_row_not_object", "The record is not an object.")
    if _LONE_SURROGATE.search(text):
        return BadRecord("invalid_unicode", "A \\u escape is half of a surrogate pair.")
    return BadRecord("json_syntax", f"{error}.")


def _refuse_duplicate_keys(text: bytes) -> None:
    levels: list[list[str]] = []

    def keys(pairs: list[tuple[str, Any]]) -> None:
        levels.append([key for key, _ in pairs])

    json.loads(text, object_pairs_hook=keys)
    names = levels[-1]  # the outermost object ends last
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise BadRecord("duplicate_key", f"The key {twice!r} stands twice in the record.", twice)


ROOTS = {
    "array": JsonArrayFormat,
    "object": JsonObjectFormat,
    "objects": JsonObjectsFormat,
    "lines": JsonLinesFormat,
    "sequence": JsonSequenceFormat,
}


def json_format(dialect: JsonDialect) -> JsonFormat:
    return ROOTS[dialect.root](dialect)
