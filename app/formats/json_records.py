"""Content of JSON records: their keys, and why one cannot be stored.

`judge` decides about one record, and its answer is the truth. `judge_all` decides the same about
many: it decodes some hundreds as one text, and asks `judge` only if that leaves a doubt.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple

import msgspec
import numpy as np

from app.formats.base import MAX_COLUMNS, Offsets
from app.formats.blocks import Mask, places_of
from app.formats.json_structure import WHITESPACE, depth_of, places_of_openings

MAX_DEPTH = 64
GROUP_RECORDS = 24
"""Number of records that are decoded as one text. The values are dropped before the next are
decoded, so that they stay in the cache of the processor.
"""
SAMPLE_RECORDS = 5
FIRST_MISSES = 4
"""Number of groups without the shape, beyond those with it, after which the shape is given up."""
MAX_SHAPE_KEYS, MAX_SHAPE_LETTERS = 256, 1 << 14
"""A record with more keys, or longer ones, is decoded as a dict."""

BRACE, COLON = 123, 58
_LONE_SURROGATE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F]"
)
_SPACED_COLON = re.compile(rb"[ \t\r\n]:")
_NEXT_OBJECT = re.compile(rb"\}[ \t\r]*\{")
_ESCAPED_COLON = re.compile(rb"\\u003[aA]")
_decoder = msgspec.json.Decoder(dict[str, Any])
_decode = _decoder.decode
_UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class BadRecord(NamedTuple):
    """Why a record cannot be stored."""

    code: str
    message: str
    column: str | None = None


# ---------------------------------------------------------------------- one record


def judge(text: bytes) -> tuple[str, ...] | BadRecord:
    """Return the keys of a record that can be stored, or why it cannot."""
    if text.count(b"[") + text.count(b"{") > MAX_DEPTH and depth_of(text) > MAX_DEPTH:
        return BadRecord("json_too_deep", f"The record nests deeper than {MAX_DEPTH} levels.")
    try:
        names = tuple(_decode(text))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _reason(text, error)
    if len(names) > MAX_COLUMNS:
        return BadRecord("too_many_columns", f"The record has more than {MAX_COLUMNS} keys.")
    # Each key that is written has a colon behind its quote: as many as there are keys means no key
    # twice. Any other count (nested objects, strings that hold such a thing) needs the slower look.
    if text.count(b":") != len(names):
        if text.count(b'":') != len(names) or _SPACED_COLON.search(text):
            twice = _key_twice(text)
            if twice is not None:
                message = f"The key {twice!r} appears twice in the record."
                return BadRecord("duplicate_key", message, twice)
    return names


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
    constant = _constant(text)
    if constant is not None:
        word, column = constant
        return BadRecord("json_syntax", f"{word} is not a number in JSON.", column)
    return BadRecord("json_syntax", f"{error}.")


@dataclass(frozen=True, slots=True)
class _Constant:
    """NaN, Infinity or -Infinity, which Python reads and JSON does not have."""

    word: str


def _constant(text: bytes) -> tuple[str, str] | None:
    """Return the first such word and the key with it, if nothing else is wrong with a record."""
    try:
        record = json.loads(text, parse_constant=_Constant)
    except ValueError:
        return None
    for key, value in record.items() if isinstance(record, dict) else ():
        words = [value]
        while words:
            word = words.pop()
            if isinstance(word, _Constant):
                return word.word, key
            if isinstance(word, dict | list):
                words += word.values() if isinstance(word, dict) else word
    return None


def _key_twice(text: bytes) -> str | None:
    """Return the first key that the object has twice."""
    return next(iter(keys_twice(text)), None)


def keys_twice(text: bytes) -> list[str]:
    """Return the keys that a valid object has more than once; raises RecursionError if it nests
    deeper than MAX_DEPTH.
    """
    if depth_of(text) > MAX_DEPTH:
        raise RecursionError
    levels: list[list[str]] = []

    def keys(pairs: list[tuple[str, Any]]) -> None:
        levels.append([key for key, _ in pairs])

    # A number stays text: Python refuses to convert one of thousands of digits.
    json.loads(text, object_pairs_hook=keys, parse_int=str)
    names = levels[-1]  # the outermost object ends last
    if len(set(names)) == len(names):
        return []
    return [name for name, count in Counter(names).items() if count > 1]


# ---------------------------------------------------------------------- many records


@dataclass(frozen=True, slots=True)
class Judged:
    """Findings in records, which are named by their position."""

    columns: list[str]
    """Keys of the records that can be stored, in the order in which they come."""
    bad: dict[int, BadRecord]
    """Why the others cannot, in their order."""


def judge_all(
    texts: Sequence[bytes],
    *,
    are_apart: bool,
    refused: Mapping[int, BadRecord] | None = None,
) -> Judged:
    """Return what `judge` says about each of the texts, which have no blanks around them.

    `are_apart`: no bracket and no string that begins in one of the texts ends in another.
    `refused`: records that are known to be bad, whatever their text is.
    """
    judging = _Judging(texts, are_apart)
    bad: dict[int, BadRecord] = {}
    for first, last in judging.doubtful_groups():
        for place in range(first, last):
            said = refused[place] if refused and place in refused else judge(texts[place])
            if isinstance(said, BadRecord):
                bad[place] = said
            else:
                judging.note(said, place)
    return Judged(judging.columns(), bad)


class _Judging:
    """Looks up everything that the bytes alone show, for all records at once."""

    def __init__(self, texts: Sequence[bytes], are_apart: bool) -> None:
        self._texts = texts
        self._shapes: dict[tuple[str, ...], tuple[int, int]] = {}
        """Position of the first good record with these keys, in their order."""
        self._joined = b"\n".join([*texts, b""])
        codes = np.frombuffer(self._joined, np.uint8)
        sizes = np.fromiter(map(len, texts), np.int64, len(texts))
        self._ends = np.cumsum(sizes + 1) - 1
        self._starts = self._ends - sizes
        self._objects_before = _counts_before(codes[self._starts] == BRACE)
        self._colons = places_of(COLON, codes)
        self._openings = places_of_openings(codes)
        self._may_be_deep = _are_so_many_within(
            self._openings, MAX_DEPTH + 1, int(sizes.max(initial=0))
        )
        self._are_apart = are_apart
        self._are_lines = self._joined.count(b"\n") == len(texts)

    def note(self, names: tuple[str, ...], place: int, rank: int = 0) -> None:
        """Note the keys of a good record; `rank` tells those apart that are noted for one position."""
        before = self._shapes.get(names)
        if before is None or (place, rank) < before:
            self._shapes[names] = (place, rank)

    def columns(self) -> list[str]:
        in_order = sorted(self._shapes, key=self._shapes.__getitem__)
        return list(dict.fromkeys(chain.from_iterable(in_order)))

    def doubtful_groups(self) -> list[tuple[int, int]]:
        """Return the groups that may have a bad record, and note the keys of all others."""
        if not self._texts:
            return []
        first = np.arange(0, len(self._texts), GROUP_RECORDS)
        last = np.append(first[1:], len(self._texts))
        starts, ends = self._starts[first], self._ends[last - 1]
        look_good = self._look_good(first, last, starts, ends)
        colons = _counts_between(self._colons, starts, ends)
        shape = _usual_shape(self._texts)
        doubtful = []
        facts = (first, last, starts, ends, colons, look_good)
        for group, end, start, stop, colon_count, looks_good in zip(
            *(values.tolist() for values in facts), strict=True
        ):
            is_good = False
            if looks_good:
                text = self._joined[start:stop]
                if shape is not None and shape.is_usual:
                    is_good = self._are_of_shape(shape, group, end - group, text, colon_count)
                else:
                    is_good = self._are_objects(group, end - group, text, colon_count)
            if not is_good:
                doubtful.append((group, end))
        return doubtful

    def _are_of_shape(
        self, shape: _Shape, first: int, count: int, text: bytes, colons: int
    ) -> bool:
        """Whether so many records are certainly good, with the keys of this shape."""
        try:
            rows = shape.decode(text)
        except _UNDECODABLE:
            rows = []
        keys = shape.width * count
        if len(rows) != count or (colons != keys and not _has_no_key_twice(text, rows, colons)):
            shape.misses += 1
            return False
        if not shape.hits:
            self.note(tuple(_decode(self._texts[first])), first)
        shape.hits += 1
        return True

    def _are_objects(self, first: int, count: int, text: bytes, colons: int) -> bool:
        """Whether so many records are certainly good, with any keys."""
        try:
            rows = _decoder.decode_lines(text)
        except _UNDECODABLE:
            return False
        widths = list(map(len, rows))
        if len(rows) != count or max(widths) > MAX_COLUMNS:
            return False
        if colons != sum(widths) and not _has_no_key_twice(text, rows, colons):
            return False
        for rank, names in enumerate(dict.fromkeys(map(tuple, rows))):
            self.note(names, first, rank)
        return True

    def _look_good(self, first: Offsets, last: Offsets, starts: Offsets, ends: Offsets) -> Mask:
        """Whether each record of a group begins with a brace, and none seems to have two objects:
        then another could be a part of one, and their number would still be right.
        """
        count = last - first
        look_good: Mask = self._objects_before[last] - self._objects_before[first] == count
        if not self._are_apart:
            # Where each record has one bracket, the one that it begins with, none has two objects.
            have_others = _counts_between(self._openings, starts, ends) > count
            if have_others.any():
                look_good &= ~have_others | self._hold_one_object_each(starts, ends)
        if self._may_be_deep:
            for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
                look_good[place] &= depth_of(self._joined[start:end]) <= MAX_DEPTH
        return look_good

    def _hold_one_object_each(self, starts: Offsets, ends: Offsets) -> Mask:
        if not self._are_lines:
            return np.zeros(len(starts), bool)
        seconds = [match.start() for match in _NEXT_OBJECT.finditer(self._joined)]
        hold_one: Mask = _counts_between(np.array(seconds, np.int64), starts, ends) == 0
        return hold_one


def _counts_before(marks: Mask) -> Offsets:
    """Return the number of marks before each place, and before the end."""
    return np.concatenate(([0], np.cumsum(marks, dtype=np.int64)))


def _counts_between(places: Offsets, starts: Offsets, ends: Offsets) -> Offsets:
    """Return how many of the ascending places are in each [start, end)."""
    counts: Offsets = np.searchsorted(places, ends) - np.searchsorted(places, starts)
    return counts


def _are_so_many_within(places: Offsets, many: int, size: int) -> bool:
    """Whether so many of the places are in any stretch of so many bytes."""
    distances = places[many - 1 :] - places[: max(0, len(places) - many + 1)]
    return bool((distances < size).any())


def _has_no_key_twice(text: bytes, rows: Sequence[Any], colons: int) -> bool:
    """Whether each key is certainly written once in its object. `rows` were decoded from the text,
    which has so many colons.
    """
    # Written again, the rows have a colon for each key, and those in their strings. Of a key that
    # was written twice one is missing then, with a colon at least.
    if _ESCAPED_COLON.search(text):
        return False
    return msgspec.json.encode(rows).count(b":") == colons


@dataclass(slots=True)
class _Shape:
    """Keys that many records share. Such records are decoded twice as fast as dicts."""

    decode: Callable[[bytes], list[Any]]
    """Decoder of objects, one after the other, that have just these keys, in any order."""
    width: int
    hits: int = 0
    misses: int = 0

    @property
    def is_usual(self) -> bool:
        return self.misses <= FIRST_MISSES + self.hits


def _usual_shape(texts: Sequence[bytes]) -> _Shape | None:
    """Return the shape of most records, as far as a few of them show; None if it does not pay."""
    sample = texts[:: 1 + len(texts) // SAMPLE_RECORDS]
    shapes = Counter(names for text in sample if not isinstance(names := judge(text), BadRecord))
    if not shapes:
        return None
    names, _ = shapes.most_common(1)[0]
    decode = _decoder_of_shape(names)
    return None if decode is None else _Shape(decode, len(names))


@lru_cache(maxsize=64)
def _decoder_of_shape(names: tuple[str, ...]) -> Callable[[bytes], list[Any]] | None:
    """Return the decoder of a _Shape; None if there is none for these names."""
    if not 0 < len(names) <= MAX_SHAPE_KEYS or sum(map(len, names)) > MAX_SHAPE_LETTERS:
        return None
    fields = {f"key_{place}": name for place, name in enumerate(names)}
    try:
        shape = msgspec.defstruct(
            "Shape",
            [(name, Any) for name in fields],
            rename=fields,
            forbid_unknown_fields=True,
            gc=False,
        )
    except ValueError:  # a name that must be escaped in JSON
        return None
    return msgspec.json.Decoder(shape).decode_lines
