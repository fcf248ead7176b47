"""Whether a file is an XML document, from its first bytes."""

from __future__ import annotations

import codecs
import re
from typing import Any
from xml.parsers import expat

MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
LOOKED_AT = 64 << 10
PROLOG = re.compile(r"\s*<(?:\?xml\s|!--|!DOCTYPE\s)")
ROOT = re.compile(r"\s*<[^\W\d][\w.:-]*(?=[\s/>])")
HTML = re.compile(r"\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html[\s>])", re.IGNORECASE | re.DOTALL)
JUNK_BEHIND_ROOT = 9
"""XML_ERROR_JUNK_AFTER_DOC_ELEMENT of expat."""


def text_of(beginning: bytes) -> str:
    """Return the beginning as text, in the encoding of its byte order mark, else Latin-1: names
    and brackets are ASCII.
    """
    for mark, encoding in MARKS:
        if beginning.startswith(mark):
            return beginning[len(mark) : LOOKED_AT].decode(encoding, "replace")
    return beginning[:LOOKED_AT].decode("latin-1")


def html_in(beginning: bytes) -> bool:
    """Return whether a file begins as an HTML page."""
    return HTML.match(text_of(beginning)) is not None


def xml_in(beginning: bytes) -> bool:
    """Return whether a file begins as an XML document. A first tag is not enough, since text may
    begin with one: the first element must have no text before its children, and nothing may follow
    it.
    """
    text = text_of(beginning)
    if HTML.match(text) is not None:
        return False
    if PROLOG.match(text) is not None:
        return True
    return ROOT.match(text) is not None and _is_tree(text.lstrip())


def _is_tree(text: str) -> bool:
    depth, has_child, has_text = 0, False, False

    def start(*_: object) -> None:
        nonlocal depth, has_child
        has_child = has_child or depth > 0
        depth += 1

    def end(_: str) -> None:
        nonlocal depth
        depth -= 1

    def characters(characters: str) -> None:
        nonlocal has_text
        has_text = has_text or not (has_child or characters.isspace())

    parser: Any = expat.ParserCreate("utf-8")
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = characters
    try:
        parser.Parse(text.encode("utf-8", "replace"), False)
    except expat.ExpatError as error:
        return error.code != JUNK_BEHIND_ROOT and has_child and not has_text
    return not has_text
