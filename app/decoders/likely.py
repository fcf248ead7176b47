"""Which encoding a text is likely to be in that is no UTF-8 and of which nobody said."""

from __future__ import annotations

import re
from collections.abc import Sequence

LATIN_SHARE = 10
"""Bytes that are not valid UTF-8 for each character beyond ASCII that is. With fewer, a file is UTF-8
with some damage; where two bytes are a character, some of them are valid by chance, and it is one.
"""
MIN_BYTES = 3
"""Beyond ASCII, if some are in the header."""
HEAD_LINES = 8
"""Lines among which the header is looked for."""
DELIMITER, PADDING = re.compile(rb"[,;\t|]"), b",;\t| "
MIN_LINES, LINE_SHARE = 3, 20
"""Lines with bytes beyond ASCII: at least so many, and one in so many. Fewer are rejected."""
LATIN = ("cp1252", "cp1250", "cp850", "mac_roman")
"""In the order in which they are tried. What tells them apart is little."""
OTHERS = (
    "cp1251",
    "koi8_r",
    "cp1253",
    "cp1255",
    "cp1256",
    "cp874",
    "cp932",
    "euc_jp",
    "cp949",
    "gb18030",
    "big5",
)
SURE_OF_LATIN = 0.6
HIGH_BYTE = re.compile(rb"[\x80-\xff]")
HALF_WIDTH = re.compile("[\uff61-\uff9f]")
MISFIT = re.compile(
    r"(?<=[^\W\d_])[^\w\s\x00-\x7f’](?=[^\W\d_])"
    r"|[^\w\s\x00-\x7f’‘“”«»¿¡€£°§–—…½™®©²³·•]"
)
"""A sign within a word, and one that hardly stands in a text."""


def likely_encoding(beginning: bytes) -> tuple[str, float] | None:
    """(encoding, how sure that is, from 0 to 1) of a text that begins so; None if it is UTF-8, as a
    whole or but for some damage.
    """
    body = _without_cut_line(beginning)
    try:
        body.decode()
    except UnicodeDecodeError:
        text = body.decode("utf-8", "replace")
    else:
        return None
    wrong = text.count("\ufffd")
    right = sum(character > "\x7f" for character in text) - wrong
    if wrong <= right or not _has_many_lines(body):
        return None
    import charset_normalizer

    results = charset_normalizer.from_bytes(body, cp_isolation=[*LATIN, *OTHERS])
    best = next((result for result in results if not _is_half_width(str(result))), None)
    if best is None:
        return None
    if best.encoding not in LATIN:
        return best.encoding, round(max(0.0, 1 - best.chaos), 2)
    if wrong <= right * LATIN_SHARE:
        return None
    misfits = {encoding: _misfits(body, encoding) for encoding in LATIN}
    encoding = min(LATIN, key=misfits.__getitem__)
    high = len(HIGH_BYTE.findall(body))
    confidence = SURE_OF_LATIN - misfits[encoding] / high
    return (encoding, round(confidence, 2)) if confidence > 0 else None


def _without_cut_line(beginning: bytes) -> bytes:
    """The lines that are whole, since the last one may end within a character."""
    end = max(beginning.rfind(b"\n"), beginning.rfind(b"\r"))
    return beginning[: end + 1] if end >= 0 else beginning


def _has_many_lines(body: bytes) -> bool:
    """Whether bytes beyond ASCII are usual, and not the damage of some lines; those in the header
    would make the file unreadable.
    """
    lines = body.splitlines()
    high = sum(not line.isascii() for line in lines)
    is_in_header = not all(line.isascii() for line in _head_of(lines))
    is_header = is_in_header and len(HIGH_BYTE.findall(body)) >= MIN_BYTES
    return is_header or (high >= MIN_LINES and high * LINE_SHARE >= len(lines))


def _head_of(lines: Sequence[bytes]) -> Sequence[bytes]:
    """Return the lines up to the first one with a delimiter between its cells: titles and the
    header; only the first line if there is none.
    """
    for place, line in enumerate(lines[:HEAD_LINES]):
        if DELIMITER.search(line.rstrip(PADDING)):
            return lines[: place + 1]
    return lines[:1]


def _is_half_width(text: str) -> bool:
    """Whether much of it is katakana of half the width: almost nobody writes them, and any pair of
    bytes may be two of them.
    """
    beyond = sum(character > "\x7f" for character in text)
    return len(HALF_WIDTH.findall(text)) * 4 > beyond


def _misfits(body: bytes, encoding: str) -> int:
    """How many characters there would be that hardly stand in a text, or within a word."""
    text = body.decode(encoding, "replace")
    return len(MISFIT.findall(text)) + text.count("\ufffd")
