"""Likely encoding of a text that is not UTF-8 and has no declared encoding."""

from __future__ import annotations

import re

LATIN_SHARE = 10
"""Number of invalid bytes for each valid character beyond ASCII. With fewer, a file is UTF-8 with
some damage. In encodings with two bytes a character, some pairs are valid UTF-8 by chance.
"""
MIN_BYTES = 3
"""Minimum number of bytes beyond ASCII, if some are in the header."""
MIN_LINES, LINE_SHARE = 3, 20
"""Minimum number of lines with bytes beyond ASCII, and their minimum share: one in so many. Fewer
are rejected.
"""
LATIN = ("cp1252", "cp1250", "cp850", "mac_roman")
"""Encodings of Latin text, in the order in which they are tried. Few characters tell them apart."""
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
"""A sign within a word, or one that is rare in a text."""


def likely_encoding(beginning: bytes) -> tuple[str, float] | None:
    """Return (encoding, confidence from 0 to 1) of a text that begins so; None if it is UTF-8, as a
    whole or with some damage.
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
    """Return the whole lines, since the last one may end within a character."""
    end = max(beginning.rfind(b"\n"), beginning.rfind(b"\r"))
    return beginning[: end + 1] if end >= 0 else beginning


def _has_many_lines(body: bytes) -> bool:
    """Return whether bytes beyond ASCII are usual and not the damage of some lines. Those in the
    header would make the file unreadable.
    """
    lines = body.splitlines()
    high = sum(not line.isascii() for line in lines)
    is_header = not lines[0].isascii() and len(HIGH_BYTE.findall(body)) >= MIN_BYTES
    return is_header or (high >= MIN_LINES and high * LINE_SHARE >= len(lines))


def _is_half_width(text: str) -> bool:
    """Return whether a large part is katakana of half the width, which are rare: any pair of bytes
    may be two of them.
    """
    beyond = sum(character > "\x7f" for character in text)
    return len(HALF_WIDTH.findall(text)) * 4 > beyond


def _misfits(body: bytes, encoding: str) -> int:
    """Return the number of characters that are rare in a text, or within a word."""
    text = body.decode(encoding, "replace")
    return len(MISFIT.findall(text)) + text.count("\ufffd")
