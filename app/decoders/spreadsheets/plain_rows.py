"""Rows of .xlsx in the form that nearly all programs write, by regular expressions, which take a
third of the time of a parser. The parser reads everything else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain

_PLAIN = r"[^<&\x00-\x08\x0b-\x1f]*+"
_TEXT = rf"{_PLAIN}(?:&(?:amp|lt|gt|quot|apos);{_PLAIN})*+"
_START = r'<c r="{letters}[0-9]{{1,7}}"(?: s="{style}")?(?: t="{kind}")?'
_CONTENT = (
    r"(?:/>|></c>"
    r"|>{formula}?(?:{value}</v>)?</c>"
    r"|><is><t(?: [^<>&]*)?>{inline}</t></is></c>)"
)
_FORMULA = rf"<f(?: [^<>&]*[^<>&/])?>{_TEXT}</f>|<f(?: [^<>&]*)?/>"
_ROW = r'<row r="{number}"(?: [^<>&]*[^<>&/])?>'


def _cell(*, with_groups: bool) -> str:
    def part(pattern: str) -> str:
        return f"({pattern})" if with_groups else f"(?:{pattern})"

    start = _START.format(letters=part("[A-Z]{1,3}"), style=part("[0-9]+"), kind=part("[a-zA-Z]+"))
    return start + _CONTENT.format(
        formula=part(_FORMULA), value=part(f"<v>{_TEXT}"), inline=part(_TEXT)
    )


ALL_PLAIN = re.compile(
    rf"(?:{_ROW.format(number='[0-9]{1,7}')}(?:{_cell(with_groups=False)})*+</row>"
    r'|<row r="[0-9]{1,7}"(?: [^<>&]*)?/>)*+'
)
TOKENS = re.compile(rf"{_ROW.format(number='([0-9]+)')}|{_cell(with_groups=True)}")
Token = tuple[str, str, str, str, str, str, str]
"""A row as (number, ...), or a cell as (..., letters of its column, style, type, formula with its
tag, value after `<v>`, text); empty where there is none.
"""
ROW_END = b"</row>"
ENTITIES = {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&amp;": "&"}
ENTITY = re.compile("&[a-z]+;")
DATA = b"<sheetData>"
ENCODING = re.compile(rb"""encoding\s*=\s*["']([\w.-]+)""")
DECLARATION_BYTES = 200


def plain_tokens(rows: bytes) -> list[Token] | None:
    """Return the tokens of whole rows; None if they are not in the usual form."""
    try:
        text = rows.decode()
    except UnicodeDecodeError:
        return None
    if "\r" in text or ALL_PLAIN.fullmatch(text) is None:
        return None
    return TOKENS.findall(text)


def unescaped(text: str) -> str:
    """Return the text with the characters that XML has names for."""
    if "&" not in text:
        return text
    return ENTITY.sub(lambda match: ENTITIES[match[0]], text)


def by_rows(pieces: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield the same bytes as (piece, whether it is whole rows in UTF-8 and nothing else)."""
    first = next(pieces, b"")
    encoding = ENCODING.search(first[:DECLARATION_BYTES])
    if encoding is not None and encoding[1].lower() != b"utf-8":
        yield first, False
        yield from ((piece, False) for piece in pieces)
        return
    held = b""
    is_data = False
    for piece in chain((first,), pieces):
        held += piece
        if not is_data:
            before, mark, behind = held.partition(DATA)
            is_data = bool(mark)
            if is_data:
                yield before + mark, False
                held = behind
            else:
                end = max(0, len(held) - len(DATA))
                yield held[:end], False
                held = held[end:]
                continue
        end = held.rfind(ROW_END) + len(ROW_END)
        if end >= len(ROW_END):
            yield held[:end], True
            held = held[end:]
    yield held, False
