"""JSON: an array of objects, one object, or JSON Lines. Record boundaries are found here, each record is judged by msgspec.

A record is kept as the bytes it came in. The scanner only counts brackets and quotes, so it never recurses and never
builds a value: a million opening brackets cost a million additions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

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

MAX_DEPTH = 64
MAX_KEYS = 16_384
WHITESPACE = b" \t\r\n"
RECORD_SEPARATOR = b"\x1e"
QUOTE, BACKSLASH, COMMA, LF = 34, 92, 44, 10

_STEP = np.zeros(256, np.int8)  # what a byte outside strings does to the depth
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
    """A JSON file as stored with it and shown to the user. `root` is array, object or lines; sequence in corrections."""

    root: str
    encoding: str = "utf-8"
    columns: list[str] = []
    data_start: int = 0
    data_line: int = 1
    data_end: int = 0
    skip_footer: int = 0


class BadRecord(Exception):
    def __init__(self, code: str, message: str, column: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.column = code, message, column


class JsonFormat:
    """Shared by the three kinds of root: judging records. Their subclasses say where records end."""

    line_end = b"\n"
    unit = 1
    skip_footer = 0

    def __init__(self, dialect: JsonDialect) -> None:
        self.dialect = dialect
        self.columns = dialect.columns
        self.data_start = dialect.data_start

    def count_lines(self, data: bytes) -> int:
        return data.count(b"\n")

    def scan(self, window: bytes, *, eof: bool) -> Offsets:
        raise NotImplementedError  # by the kind of root, below

    def skip(self, blocks: Iterable[bytes], at_least: int) -> int | None:
        return skip_to_line_end(blocks, at_least, b"\n", 1)

    def record(self, raw: bytes, *, is_first: bool, is_last: bool) -> bytes:
        """The JSON text of the object inside the record's bytes; raises BadRecord if what surrounds it is wrong."""
        return raw.strip(WHITESPACE)

    def read(self, data: bytes, span: Span) -> Parsed:
        columns: dict[str, None] = {}
        numbers: list[int] = []
        kept: list[bytes] = []
        rejects: list[Reject] = []
        if span.is_oversize:
            return Parsed(ObjectRows([], [], []), [oversize_reject(data, span)])
        lines = LineNumbers(span.first_line, partial(data.count, b"\n"))
        start, at_end = 0, span.byte_end == self.dialect.data_end
        ends = self.scan(data, eof=True).tolist()
        for number, end in enumerate(ends, span.first_row):
            raw = data[start:end]
            try:
                text = self.record(raw, is_first=number == 1, is_last=at_end and end == ends[-1])
                columns |= dict.fromkeys(judge(text))
                numbers.append(number)
                kept.append(text)
            except BadRecord as bad:
                rejects.append(self._reject(bad, data, start, end, number, span, lines))
            start = end
        return Parsed(ObjectRows(list(columns), numbers, kept), rejects)

    def locate(self, data: bytes, span: Span, row_numbers: Sequence[int]) -> list[tuple[int, int, int]]:
        ends = [0, *self.scan(data, eof=True).tolist()]
        lines = LineNumbers(span.first_line, partial(data.count, b"\n"))
        indexes = [number - span.first_row for number in row_numbers]
        return [self._place(data, ends[index], ends[index + 1], span, lines) for index in indexes]

    def _place(self, data: bytes, start: int, end: int, span: Span, lines: LineNumbers) -> tuple[int, int, int]:
        """(byte start, byte end, line) of a record without the blanks and the comma around it."""
        stripped = data[start:end].lstrip(WHITESPACE + b"," if self.dialect.root == "array" else WHITESPACE)
        start = end - len(stripped)
        byte_start = span.byte_start + start
        return byte_start, byte_start + len(stripped.rstrip(WHITESPACE)), lines.at(start)

    def _reject(
        self, bad: BadRecord, data: bytes, start: int, end: int, number: int, span: Span, lines: LineNumbers
    ) -> Reject:
        byte_start, byte_end, line = self._place(data, start, end, span, lines)
        content = data[byte_start - span.byte_start : byte_end - span.byte_start]
        return Reject(
            number, line, byte_start, byte_end, content[:MAX_REJECT_BYTES],
            bad.code, bad.message, bad.column, content[:200].decode("utf-8", "backslashreplace").replace("\0", "\\x00"),
        )  # fmt: skip


class JsonLinesFormat(JsonFormat):
    def scan(self, window: bytes, *, eof: bool) -> Offsets:
        codes = np.frombuffer(window, np.uint8)
        ends = np.flatnonzero(codes == LF) + 1
        if eof and len(window) and (not len(ends) or ends[-1] != len(window)):
            ends = np.append(ends, len(window))
        starts = np.concatenate(([0], ends))[:-1]
        blank = _IS_BLANK[codes[starts]]
        for i in np.flatnonzero(blank & (ends - starts > 1)):
            blank[i] = _IS_BLANK[codes[starts[i] : ends[i]]].all()
        return ends[~blank]


class JsonSequenceFormat(JsonFormat):
    """Records of corrections: each ends with RECORD_SEPARATOR, which JSON allows nowhere, so that whatever is in one stays
    in it, line ends and all (after RFC 7464)."""

    def scan(self, window: bytes, *, eof: bool) -> Offsets:
        return np.flatnonzero(np.frombuffer(window, np.uint8) == RECORD_SEPARATOR[0]) + 1

    def record(self, raw: bytes, *, is_first: bool, is_last: bool) -> bytes:
        return raw[:-1].strip(WHITESPACE)

    def _place(self, data: bytes, start: int, end: int, span: Span, lines: LineNumbers) -> tuple[int, int, int]:
        return super()._place(data, start, end - 1, span, lines)


class JsonObjectFormat(JsonFormat):
    """The whole file is one record."""

    def scan(self, window: bytes, *, eof: bool) -> Offsets:
        return np.array([len(window)] if eof and window.strip(WHITESPACE) else [], np.int64)

    def skip(self, blocks: Iterable[bytes], at_least: int) -> int | None:
        return None


class JsonArrayFormat(JsonFormat):
    """A record reaches from its leading comma to the next comma of the array, the last one to the end of the file."""

    def scan(self, window: bytes, *, eof: bool) -> Offsets:
        codes = np.frombuffer(window, np.uint8)
        places = np.flatnonzero(_STRUCTURAL[codes])
        quotes = unescaped_quotes(codes)
        places = places[np.searchsorted(quotes, places) % 2 == 0]
        kinds = codes[places]
        depth = np.cumsum(_STEP[kinds], dtype=np.int64)
        # A bracket that closes the array although more follows is a mistake inside a record: the array goes on.
        depth -= np.minimum.accumulate(np.minimum(depth, 0))
        commas = places[(kinds == COMMA) & (depth == 0)]
        if len(commas) and not window[: commas[0]].strip(WHITESPACE):
            commas = commas[1:]
        return np.append(commas, len(window)) if eof and window.strip(WHITESPACE) else commas

    def skip(self, blocks: Iterable[bytes], at_least: int) -> int | None:
        """Up to the comma behind the record, with what is open carried from block to block."""
        offset, depth, in_string, carried, has_begun = 0, 0, 0, b"", False
        for block in blocks:
            text = carried + block
            cut = len(text.rstrip(b"\\"))  # what a backslash escapes must not be in another block
            text, carried = text[:cut], text[cut:]
            codes = np.frombuffer(text, np.uint8)
            quotes = unescaped_quotes(codes)
            places = np.flatnonzero(_STRUCTURAL[codes])
            places = places[(in_string + np.searchsorted(quotes, places)) % 2 == 0]
            kinds = codes[places]
            depths = depth + np.cumsum(_STEP[kinds], dtype=np.int64)
            depths -= np.minimum.accumulate(np.minimum(depths, 0))
            commas = places[(kinds == COMMA) & (depths == 0)]
            if not has_begun and len(commas) and not text[: commas[0]].strip(WHITESPACE):
                commas = commas[1:]  # the one before the record
            if len(commas):
                return offset + int(commas[0])
            has_begun = has_begun or bool(text.strip(WHITESPACE))
            depth = int(depths[-1]) if len(depths) else depth
            in_string = (in_string + len(quotes)) % 2
            offset += len(text)
        return None

    def record(self, raw: bytes, *, is_first: bool, is_last: bool) -> bytes:
        text = raw.strip(WHITESPACE)
        if text.startswith(b","):
            if is_first:
                raise BadRecord("json_syntax", "There is no value before the first comma.")
            text = text[1:].lstrip(WHITESPACE)
        if is_last:
            if not text.endswith(b"]") and self._is_closed(text):
                raise BadRecord("json_syntax", "Something follows the end of the array.")
            if not text.endswith(b"]") or (len(text) > 1 and self._is_cut(text[:-1])):
                raise BadRecord("json_truncated", "The file ends before its array is closed.")
            text = text[:-1].rstrip(WHITESPACE)
        if not text:
            raise BadRecord("json_syntax", "There is no value between two commas, or after the last one.")
        return text

    def _is_cut(self, text: bytes) -> bool:
        """Whether brackets or a string are still open at the end of `text`, so that a final ] closes no array."""
        depths, in_string = _depths(text)
        return in_string or (len(depths) > 0 and int(depths[-1]) > 0)

    def _is_closed(self, text: bytes) -> bool:
        """Whether a bracket in `text` closes the array that the record is in."""
        return int(_depths(text)[0].min(initial=0)) < 0


def unescaped_quotes(codes: np.ndarray) -> Offsets:
    """Positions of the quotes that begin or end a string."""
    quotes = np.flatnonzero(codes == QUOTE)
    suspects = quotes[(quotes > 0) & (codes[quotes - 1] == BACKSLASH)]
    if not len(suspects):
        return quotes
    others = np.flatnonzero(codes != BACKSLASH)
    before = np.searchsorted(others, suspects) - 1  # the last byte before the run of backslashes, if any
    run = suspects - 1 - np.where(before >= 0, others[before], -1)
    return np.setdiff1d(quotes, suspects[run % 2 == 1], assume_unique=True)


def _depths(text: bytes) -> tuple[Offsets, bool]:
    """(depth behind each bracket outside strings, whether a string is open at the end)"""
    codes = np.frombuffer(text, np.uint8)
    quotes = unescaped_quotes(codes)
    places = np.flatnonzero(_STEP[codes] != 0)
    places = places[np.searchsorted(quotes, places) % 2 == 0]
    return np.cumsum(_STEP[codes[places]], dtype=np.int64), len(quotes) % 2 == 1


def depth_of(text: bytes) -> int:
    """How deep brackets nest outside strings."""
    return int(_depths(text)[0].max(initial=0))


def judge(text: bytes) -> Iterable[str]:
    """The keys of a record that can be stored; raises BadRecord saying why another cannot."""
    if text.count(b"[") + text.count(b"{") > MAX_DEPTH and depth_of(text) > MAX_DEPTH:
        raise BadRecord("json_too_deep", f"The record nests deeper than {MAX_DEPTH} levels.")
    try:
        value = _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _reason(text, error) from None
    if len(value) > MAX_KEYS:
        raise BadRecord("too_many_columns", f"The record has more than {MAX_KEYS} keys.")
    # Each key that is written has a colon behind its quote: as many as there are keys means no key twice. Any other
    # count (nested objects, strings that hold such a thing) needs the slower look.
    if text.count(b":") != len(value) and (text.count(b'":') != len(value) or _SPACED_COLON.search(text)):
        _refuse_duplicate_keys(text)
    return value


def _reason(text: bytes, error: Exception) -> BadRecord:
    """Return why msgspec refused `text`, decided by the bytes: its error classes and words differ between versions."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return BadRecord("invalid_utf8", "The record holds bytes that are not UTF-8.")
    if isinstance(error, msgspec.ValidationError):
        # The type asked for is an object of anything, so in an object only a number can fail it.
        if text.lstrip(WHITESPACE).startswith(b"{"):
            return BadRecord("number_out_of_range", "The record holds a number that cannot be represented.")
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
