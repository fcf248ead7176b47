"""Lists in a cell: as PostgreSQL writes arrays, or as JSON. Only flat ones. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

Elements = Sequence[str | None]

_ELEMENT = re.compile(
    r"""\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^\s{},"\\](?:[^{},"\\]*[^\s{},"\\])?))\s*""",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def of_text(text: str) -> Elements | None:
    """Return the elements of `{1,NULL,"a, b"}` or `[1, null, "a, b"]`; None if it is neither."""
    if text.startswith("["):
        return of_json(text)
    if not (text.startswith("{") and text.endswith("}")):
        return None
    inner = text[1:-1]
    if not inner.strip():
        return []
    elements: list[str | None] = []
    place = 0
    while True:
        match = _ELEMENT.match(inner, place)
        if match is None:
            return None
        elements.append(_element(match))
        place = match.end()
        if place == len(inner):
            return elements
        if inner[place] != ",":
            return None
        place += 1


def _element(match: re.Match[str]) -> str | None:
    if match["quoted"] is not None:
        return _ESCAPE.sub(r"\1", match["quoted"])
    bare = match["bare"]
    return None if bare.upper() == "NULL" else bare


def of_json(text: str) -> Elements | None:
    """Return the elements of a JSON list, or of a JSON text that holds one. Numbers keep their
    digits.
    """
    try:
        if text.startswith('"'):
            return of_text(msgspec.json.decode(text, type=str))
        parts = msgspec.json.decode(text, type=list[msgspec.Raw])
        return [_cell(bytes(part)) for part in parts]
    except (msgspec.DecodeError, ValueError):
        return None


def _cell(raw: bytes) -> str | None:
    if raw == b"null":
        return None
    if raw[:1] == b'"':
        return msgspec.json.decode(raw, type=str)
    if raw[:1] == b"[":
        raise ValueError("a list in a list")
    return raw.decode()


def literal(elements: Elements) -> str:
    """Return the array as PostgreSQL reads it, each element quoted."""
    return "{" + ",".join(map(_quoted, elements)) + "}"


def _quoted(element: str | None) -> str:
    if element is None:
        return "NULL"
    return '"' + element.replace("\\", "\\\\").replace('"', '\\"') + '"'
