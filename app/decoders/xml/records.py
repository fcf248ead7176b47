"""Elements of an XML document as JSON records.

A record is an object of text: attributes are `@name`, children have their name. A child without
attributes and children is its text; any other is an object, with its own text as `#text`. Children
of one name are an array. Names keep their prefix, and declarations of namespaces are left out.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from typing import IO, Any
from xml.parsers import expat

import msgspec

from app.decoders.unreadable import Damaged, TooLarge, Unreadable

READ_BYTES = 256 << 10
SEND_BYTES = 256 << 10
MAX_DEPTH = 64
"""Levels of elements in a record, and around the records."""
MAX_ATTRIBUTES = 1_000
"""Maximum number of attributes of an element."""
MAX_RECORD_CHARACTERS = 16 << 20
MAX_PATHS = 200
MAX_SHOWN = 20
SAMPLE_BYTES = 1 << 20
"""Part of the document in which repeated elements are looked for."""
NAMESPACE = re.compile(r"xmlns(?::|$)")
NIL = "nil"
DECLARED_ENCODING = re.compile(rb"<\?xml[^>]{0,100}?encoding\s*=\s*[\"']([A-Za-z0-9._-]{1,40})")
NATIVE = ("utf-8", "utf-16", "utf-16-le", "utf-16-be", "iso8859-1", "ascii")

_encode = msgspec.json.encode


class NoXml(Unreadable):
    """Another kind of file."""

    code = "no_xml"


class NoRecords(Unreadable):
    """A document without elements at the path."""

    code = "no_records"


class Beyond(TooLarge):
    """An element that is too large or too deep."""

    code = "beyond"


class _Enough(Exception):
    """The sample has been read."""


class _Element:
    __slots__ = ("has_children", "is_nil", "name", "text", "values")

    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.name = name
        self.text: list[str] = []
        self.has_children = False
        self.is_nil = False
        self.values: dict[str, Any] = {}
        for attribute, value in attributes.items():
            if NAMESPACE.match(attribute):
                continue
            if attribute.rpartition(":")[2] == NIL and ":" in attribute:
                self.is_nil = value in ("true", "1")
                continue
            self.values[f"@{attribute}"] = value

    def add(self, name: str, value: Any) -> None:
        self.has_children = True
        if name not in self.values:
            self.values[name] = value
            return
        before = self.values[name]
        if isinstance(before, _Repeated):
            before.append(value)
        else:
            self.values[name] = _Repeated([before, value])

    def value(self) -> Any:
        """Return its text if it is nothing else; None if it is declared to be null."""
        if not self.values:
            return None if self.is_nil and not self.text else "".join(self.text)
        return self.record()

    def record(self) -> dict[str, Any]:
        text = "".join(self.text)
        if text and not (self.has_children and text.isspace()):
            self.values["#text"] = text
        return self.values


class _Repeated(list[Any]):
    """Values of children with one name, which is never the value of one child."""


class Document:
    """An XML document that is read from a file."""

    def __init__(self, file: IO[bytes], encoding: str | None) -> None:
        """`encoding`: the one that was declared besides the document."""
        self._file = file
        self._encoding = encoding

    def path(self) -> tuple[str, ...]:
        """Return the path of the children of the root, if one name repeats or there is no other.
        Deeper elements are never chosen: which of them repeat may differ from file to file.

        Raises Unreadable.
        """
        paths = self._paths()
        children = {path: count for path, count in paths.items() if len(path) == 2}
        repeated = [path for path, count in children.items() if count > 1]
        candidates = repeated or list(children)
        if len(candidates) != 1:
            raise NoRecords(f"It is not clear which elements are the records; {listed(paths)}")
        return candidates[0]

    def _paths(self) -> dict[tuple[str, ...], int]:
        """Return how often each path occurs in the beginning of the document."""
        paths: dict[tuple[str, ...], int] = {}
        stack: list[str] = []

        def start(name: str, _: dict[str, str]) -> None:
            if not stack:
                _refuse_html(name)
            if len(stack) > 2 * MAX_DEPTH:
                raise Beyond(f"Elements nest deeper than {2 * MAX_DEPTH} levels in `{name[:60]}`")
            stack.append(name)
            path = tuple(stack)
            if path in paths or len(paths) < MAX_PATHS:
                paths[path] = paths.get(path, 0) + 1

        def end(_: str) -> None:
            stack.pop()

        self._parse(start, end, None, SAMPLE_BYTES)
        return paths

    def records(self, path: tuple[str, ...]) -> Iterator[bytes]:
        """Yield lines of JSON, some at a time. Raises Unreadable."""
        reader = _Reader(path)
        for _ in self._parsed(reader.start, reader.end, reader.text, None):
            if reader.size > SEND_BYTES:
                yield reader.taken()
        if not reader.count and reader.has_others:
            raise NoRecords(f"There are no records at `/{'/'.join(path)}`; {listed(self._paths())}")
        yield reader.taken()

    def _parse(self, *arguments: Any) -> None:
        for _ in self._parsed(*arguments):
            pass

    def _parsed(
        self,
        start: Callable[[str, dict[str, str]], None],
        end: Callable[[str], None],
        text: Callable[[str], None] | None,
        limit: int | None,
    ) -> Iterator[None]:
        self._file.seek(0)
        piece = self._file.read(READ_BYTES)
        encoding = self._encoding or _foreign_encoding(piece)
        decoder = codecs.getincrementaldecoder(encoding)("strict") if encoding else None
        parser: Any = expat.ParserCreate("utf-8" if decoder else None)
        parser.buffer_text = True
        parser.buffer_size = 64 << 10
        parser.StartElementHandler = start
        parser.EndElementHandler = end
        parser.CharacterDataHandler = text
        parser.StartDoctypeDeclHandler = _refuse_doctype
        read = 0
        try:
            while piece:
                read += len(piece)
                parser.Parse(decoder.decode(piece).encode() if decoder else piece, False)
                yield
                if limit is not None and read >= limit:
                    return
                piece = self._file.read(READ_BYTES)
            parser.Parse(decoder.decode(b"", True).encode() if decoder else b"", True)
            yield
        except expat.ExpatError as error:
            place = f"line {error.lineno}, column {error.offset + 1}"
            raise Damaged(f"{expat.ErrorString(error.code)} at {place}") from None
        except (UnicodeError, LookupError, ValueError) as error:
            raise Damaged(
                f"its text is not valid {encoding or 'in its encoding'} ({error})"
            ) from None


class _Reader:
    """Collects the elements at a path."""

    def __init__(self, path: tuple[str, ...]) -> None:
        self._path = path
        self._matched = 0
        """Number of open elements, from the root on, that are those of the path."""
        self._depth = 0
        self._open: list[_Element] = []
        self._characters = 0
        self._lines: list[bytes] = []
        self.size = 0
        self.count = 0
        self.has_others = False
        """Whether elements stand where records are expected, under another name."""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        depth = self._depth
        self._depth = depth + 1
        if depth >= MAX_DEPTH + len(self._path):
            raise Beyond(f"Elements nest deeper than {MAX_DEPTH} levels in `{name[:60]}`")
        if self._open:
            self._begin(name, attributes)
        elif self._matched == depth:
            if not depth:
                _refuse_html(name)
            if _is_called(name, self._path[depth]):
                self._matched += 1
                if self._matched == len(self._path):
                    self._characters = 0
                    self._begin(name, attributes)
            else:
                self.has_others = True

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        if len(attributes) > MAX_ATTRIBUTES:
            raise Beyond(f"An element `{name[:60]}` has more than {MAX_ATTRIBUTES} attributes")
        self._grow(len(name) + sum(map(len, attributes.values())))
        self._open.append(_Element(name, attributes))

    def text(self, text: str) -> None:
        if self._open:
            self._grow(len(text))
            self._open[-1].text.append(text)

    def _grow(self, characters: int) -> None:
        self._characters += characters
        if self._characters > MAX_RECORD_CHARACTERS:
            raise Beyond(
                f"Record {self.count + 1} has more than {MAX_RECORD_CHARACTERS} characters"
            )

    def end(self, _: str) -> None:
        self._depth -= 1
        if not self._open:
            self._matched = min(self._matched, self._depth)
            return
        element = self._open.pop()
        if self._open:
            self._open[-1].add(element.name, element.value())
            return
        self._matched = self._depth
        line = _encode(element.record()) + b"\n"
        self._lines.append(line)
        self.size += len(line)
        self.count += 1

    def taken(self) -> bytes:
        """Return the lines since the last call."""
        lines = b"".join(self._lines)
        self._lines, self.size = [], 0
        return lines


def listed(paths: dict[tuple[str, ...], int]) -> str:
    """Return what a document has, as part of a sentence."""
    usual = sorted(paths, key=lambda path: (paths[path] < 2, len(path)))
    shown = ", ".join(f"`/{'/'.join(path)[:100]}`" for path in usual[:MAX_SHOWN])
    more = ", ..." if len(usual) > MAX_SHOWN else ""
    return f"its beginning has elements at {shown}{more}"


def _is_called(name: str, wanted: str) -> bool:
    return wanted in (name, "*") or name.rpartition(":")[2] == wanted


def _refuse_html(root: str) -> None:
    if root.rpartition(":")[2].lower() == "html":
        raise NoXml("The content is an HTML page")


def _refuse_doctype(name: str, *_: object) -> None:
    _refuse_html(name)
    raise NoXml(
        "The document has a document type definition (DOCTYPE), which is not read, since entities"
        " can stand for other files and for more text than any memory holds"
    )


def _foreign_encoding(beginning: bytes) -> str | None:
    """Return the declared encoding if the parser does not know it."""
    declared = DECLARED_ENCODING.match(beginning)
    if declared is None:
        marks = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"))
        return next((name for mark, name in marks if beginning.startswith(mark)), None)
    try:
        name = codecs.lookup(declared[1].decode()).name
    except LookupError:
        raise Damaged(f"it declares an unknown encoding, {declared[1].decode()}") from None
    return None if name in NATIVE else name
