"""Decoder that finds the records inside a JSON document; its bytes pass unchanged."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace

import numpy as np

from app.decoders.base import Kind, Report, Wanted
from app.decoders.places import JsonPlaces
from app.errors import InvalidParameter, JsonNotRows, RecordsNotFound
from app.formats.json_paths import listed_paths, parse_path, path_text
from app.formats.json_structure import brackets, cut_before_escape, structure

BLOCK_BYTES = 1 << 20
MAX_KEY_BYTES = 64 << 10
SHOWN_BYTES = 64 << 10
"""Bytes at the beginning of a document whose paths an error lists."""
BLANKS = re.compile(rb"[ \t\r\n]*+")
KEY = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
IN_STRING = re.compile(rb'(?:[^"\\]|\\.)*+', re.DOTALL)
SCALAR = re.compile(rb"[^\s,\]}\[{:\"]*+")
OPENINGS = {b"[": b"]", b"{": b"}"}


@dataclass(frozen=True, slots=True)
class RecordsWanted:
    """Where the records of a document are."""

    path: tuple[str, ...]
    key: str = ""
    """Column for the key of each member, if the records are the members of an object."""
    is_geojson: bool = False
    is_optional: bool = False
    """Whether a document without such records is read as usual."""


class _Stop(Exception):
    """The document has no records at the path, for the reason in the message."""


class JsonRecordsDecoder:
    """Passes the bytes on and reports where the records begin and end."""

    part = 0

    def __init__(self, wanted: RecordsWanted) -> None:
        self._wanted = wanted
        self._finder = _Finder(wanted)
        self._beginning = bytearray()
        self._failure: _Stop | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        if len(self._beginning) < SHOWN_BYTES:
            self._beginning += data[: SHOWN_BYTES - len(self._beginning)]
        for start in range(0, len(data), BLOCK_BYTES):
            self._advance(data[start : start + BLOCK_BYTES])
        yield data

    def finish(self, wanted: Wanted) -> Iterator[bytes]:
        self._advance(b"")
        if self._failure is None and self._finder.start is None:
            self._failure = _Stop("the document ends before it")
        if self._failure is not None:
            self._refuse(self._failure)
        elif self._finder.is_incomplete:
            raise JsonNotRows(
                "The JSON document is incomplete: it ends after its records but before its "
                "last bracket."
            )
        return iter(())

    def _advance(self, data: bytes) -> None:
        if self._failure is None:
            try:
                self._finder.feed(data)
            except _Stop as stop:
                self._failure = stop

    def _refuse(self, stop: _Stop) -> None:
        if self._wanted.is_optional:
            return
        text = bytes(self._beginning).decode("utf-8", "replace")
        if not text.lstrip("\ufeff \t\r\n").startswith(("{", "[")):
            raise JsonNotRows("`records` is a path in JSON or XML, but the content is neither.")
        path = path_text(self._wanted.path)
        raise RecordsNotFound(
            f"There are no records at `{path}`: {stop}; {listed_paths(text)}."[:2000]
        )

    def reports(self) -> list[Report]:
        finder, wanted = self._finder, self._wanted
        if self._failure is not None or finder.start is None:
            return [Report("json")]
        path = path_text(wanted.path)
        located = {
            "path": path,
            "start": finder.start,
            "line": finder.line,
            "end": finder.end,
            "key": wanted.key,
            "features": wanted.is_geojson,
        }
        places = JsonPlaces(path if wanted.path else "", is_members=bool(wanted.key))
        return [Report("json", {"records": path}, places, {"located": located})]

    def close(self) -> None: ...


class _Finder:
    """A parser that keeps one block, and jumps over values that it does not need."""

    def __init__(self, wanted: RecordsWanted) -> None:
        self._wanted = wanted
        self.start: int | None = None
        """Place of the first byte behind the bracket that opens the records."""
        self.line = 1
        """Line of that byte."""
        self.end = 0
        """Place behind the bracket that closes them; 0 if what follows is not valid, so that the
        records reach to the end of the file."""
        self.is_incomplete = False
        """Whether the document ends after the records although something is still open."""
        self._data = b""
        self._offset = 0
        self._lines_before = 1
        self._is_at_end = False
        self._steps: Generator[None] | None = self._run()
        next(self._steps)

    def feed(self, data: bytes) -> None:
        """Take the next bytes; none at the end. Raises _Stop."""
        if self._steps is None:
            return
        self._data += data
        self._is_at_end = not data
        try:
            next(self._steps)
        except StopIteration:
            self._steps = None
            self._data = b""

    # ------------------------------------------------------------------ input

    def _drop(self, count: int) -> None:
        self._offset += count
        if self.start is None:
            self._lines_before += self._data.count(b"\n", 0, count)
        self._data = self._data[count:]

    def _byte(self) -> Generator[None, None, bytes]:
        """Return the next byte that is not blank, without taking it; empty at the end."""
        while True:
            blanks = BLANKS.match(self._data)
            assert blanks is not None
            self._drop(blanks.end())
            if self._data or self._is_at_end:
                return self._data[:1]
            yield

    # ------------------------------------------------------------------ the document

    def _run(self) -> Generator[None]:
        yield
        while len(self._data) < len(codecs.BOM_UTF8) and not self._is_at_end:
            yield
        while self._data.startswith(codecs.BOM_UTF8):
            self._drop(len(codecs.BOM_UTF8))
        path = self._wanted.path
        for depth, key in enumerate(path):
            yield from self._enter(path[:depth])
            yield from self._seek(key, path[: depth + 1])
        first = yield from self._byte()
        self._check_kind(first)
        self._drop(1)
        self.start, self.line = self._offset, self._lines_before
        is_closed = yield from self._skip_records(OPENINGS[first])
        end = self._offset
        if is_closed and (yield from self._rest_is_valid(len(path))):
            self.end = end

    def _enter(self, path: tuple[str, ...]) -> Generator[None]:
        first = yield from self._byte()
        if first != b"{":
            raise _Stop(f"`{path_text(path)}` is not an object")
        self._drop(1)

    def _seek(self, key: str, path: tuple[str, ...]) -> Generator[None]:
        """Go to the value of this key of the object whose bracket was taken."""
        first = yield from self._byte()
        while first != b"}":
            name = yield from self._key()
            if name == key:
                return
            if not (yield from self._skip_value()):
                raise _Stop("the document is damaged, or ends, before it")
            first = yield from self._byte()
            if first == b",":
                self._drop(1)
                first = yield from self._byte()
            elif first != b"}":
                raise _Stop("the document is damaged, or ends, before it")
        raise _Stop(f"there is no `{path_text(path)}`")

    def _key(self) -> Generator[None, None, str | None]:
        """Return the next key and take it with its colon; None if there is none."""
        while (match := KEY.match(self._data)) is None:
            if (
                self._is_at_end
                or len(self._data) > MAX_KEY_BYTES
                or self._data[:1] not in (b"", b'"')
            ):
                raise _Stop("the document is damaged, or ends, before it")
            yield
        token = match[0]
        self._drop(len(token))
        if (yield from self._byte()) != b":":
            raise _Stop("the document is damaged, or ends, before it")
        self._drop(1)
        try:
            return str(json.loads(token, strict=False))
        except ValueError:
            return None

    def _check_kind(self, first: bytes) -> None:
        name = path_text(self._wanted.path)
        if first == b"{" and not self._wanted.key:
            raise _Stop(
                f"`{name}` is an object; set `record_key` to the name of a column for its keys to"
                " read its members as records"
            )
        if first == b"[" and self._wanted.key:
            raise _Stop(f"`{name}` is an array, whose items have no keys; leave out `record_key`")
        if first not in OPENINGS:
            raise _Stop(f"`{name}` is a single value" if first else "the document ends before it")

    # ------------------------------------------------------------------ jumps

    def _skip_value(self) -> Generator[None, None, bool]:
        """Take the next value; return False if there is none."""
        first = yield from self._byte()
        if first in OPENINGS:
            return (yield from self._skip_brackets())
        if first == b'"':
            self._drop(1)
            return (yield from self._skip_string())
        return (yield from self._skip_scalar())

    def _skip_scalar(self) -> Generator[None, None, bool]:
        is_empty = True
        while True:
            match = SCALAR.match(self._data)
            assert match is not None
            is_empty = is_empty and not match.end()
            self._drop(match.end())
            if self._data or self._is_at_end:
                return not is_empty
            yield

    def _skip_string(self) -> Generator[None, None, bool]:
        while True:
            match = IN_STRING.match(self._data)
            assert match is not None
            self._drop(match.end())
            if self._data[:1] == b'"':
                self._drop(1)
                return True
            if self._is_at_end:
                return False
            yield

    def _skip_brackets(self) -> Generator[None, None, bool]:
        """Take a value that begins with a bracket, up to the one that closes it."""
        level = in_string = 0
        while True:
            text, _ = cut_before_escape(self._data)
            places, steps, quotes = brackets(np.frombuffer(text, np.uint8), in_string)
            levels = level + np.cumsum(steps, dtype=np.int64)
            closed = np.flatnonzero(levels <= 0)
            if len(closed):
                self._drop(int(places[closed[0]]) + 1)
                return True
            level = int(levels[-1]) if len(levels) else level
            in_string = (in_string + quotes) % 2
            self._drop(len(text))
            if self._is_at_end:
                return False
            yield

    def _skip_records(self, closing: bytes) -> Generator[None, None, bool]:
        """Take the records and the bracket behind them; everything, and return False, if it is
        missing.
        """
        level = in_string = 0
        while True:
            text, _ = cut_before_escape(self._data)
            codes = np.frombuffer(text, np.uint8)
            _, _, levels, falls, quotes = structure(codes, level, in_string)
            closings = falls[codes[falls] == closing[0]]
            if len(closings):
                self._drop(int(closings[0]) + 1)
                return True
            level = int(levels[-1]) if len(levels) else level
            in_string = (in_string + quotes) % 2
            self._drop(len(text))
            if self._is_at_end:
                return False
            yield

    def _rest_is_valid(self, depth: int) -> Generator[None, None, bool]:
        """Return whether the rest of the document closes what is open, and nothing follows. Keys and
        values that follow the records are only skipped.
        """
        first = yield from self._byte()
        while depth:
            if first == b"}":
                depth -= 1
                self._drop(1)
                first = yield from self._byte()
                continue
            if not first:
                self.is_incomplete = True
            if first != b",":
                return False
            self._drop(1)
            yield from self._byte()
            try:
                yield from self._key()
            except _Stop:
                return False
            if not (yield from self._skip_value()):
                return False
            first = yield from self._byte()
        if first in OPENINGS and self._wanted.path:
            raise _Stop("several documents follow each other, but `records` is a path in one")
        return not first


def json_records_kind(wanted: RecordsWanted) -> Kind:
    return Kind(
        "json",
        recognises=lambda _: True,
        codings=(),
        open=lambda: JsonRecordsDecoder(wanted),
        is_compression=False,
    )


FEATURES = RecordsWanted(("features",), is_geojson=True, is_optional=True)
FEATURE_COLLECTION = re.compile(rb'"type"\s*:\s*"FeatureCollection"')


def geojson_in(beginning: bytes) -> bool:
    """Return whether a file begins as a GeoJSON feature collection does."""
    if not beginning.lstrip(codecs.BOM_UTF8 + b" \t\r\n").startswith(b"{"):
        return False
    match = FEATURE_COLLECTION.search(beginning)
    if match is None:
        return False
    _, steps, quotes = brackets(np.frombuffer(beginning[: match.start()], np.uint8))
    # The type is a member of the document, and not of a value inside.
    return int(np.sum(steps, dtype=np.int64)) == 1 and quotes % 2 == 0


def records_wanted(
    form: str | None, records: str | None, record_key: str | None
) -> RecordsWanted | None:
    """Return which records to find inside a JSON document; None if the document is read as usual.

    Raises InvalidParameter.
    """
    is_geojson = form == "geojson"
    if is_geojson and record_key is not None:
        raise InvalidParameter("The features of GeoJSON have no keys; leave out `record_key`.")
    if form == "xml":
        return None
    if records is None and record_key is None:
        return replace(FEATURES, is_optional=False) if is_geojson else None
    if form not in (None, "json", "geojson"):
        raise InvalidParameter(f"`records` is a path in JSON or XML, not in {form}.")
    default = "features" if is_geojson else "."
    return RecordsWanted(parse_path(records or default), record_key or "", is_geojson)
