"""Where brackets, commas and strings stand in JSON text. Nothing is decoded and nothing recurses: a
million opening brackets cost a million additions.

Masks over all bytes do the work, since they cost a fraction of a nanosecond a byte; lists of places
cost more for each place.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from app.formats.base import Offsets

WHITESPACE = b" \t\r\n"
QUOTE, BACKSLASH, COMMA, OPENING, CLOSING = 34, 92, 44, 91, 93
MAX_USUAL_BLANKS = 16
"""Looked at one after the other, behind all commas at once."""
IS_BLANK = np.zeros(256, bool)
IS_BLANK[list(WHITESPACE)] = True

Codes = npt.NDArray[np.uint8]
"""The bytes of a text."""
Mask = npt.NDArray[np.bool_]

_WORD = np.dtype(np.uint64).newbyteorder("<")
_EACH_BYTE = np.uint64(0x0101010101010101)
_LAST_BYTE = np.uint64(56)


def brackets(codes: Codes, in_string: int = 0) -> tuple[Offsets, npt.NDArray[np.int8], int]:
    """(places of the brackets outside strings, 1 for each that opens and -1 for each that closes,
    number of quotes). `in_string`: 1 if the text begins inside a string.
    """
    inside, quotes = _inside_strings(codes, in_string)
    places = np.flatnonzero(_is_bracket(codes) & ~inside)
    return places, _steps(codes[places]), quotes


def structure(
    codes: Codes, level: int = 0, in_string: int = 0
) -> tuple[Offsets, Codes, Offsets, Offsets, int]:
    """(places of brackets and commas outside strings, what they are, the level behind each, places
    of the brackets that close more than is open, number of quotes). After such a bracket the level
    is 0 again: what follows is outside, too.
    """
    inside, quotes = _inside_strings(codes, in_string)
    places = np.flatnonzero((_is_bracket(codes) | (codes == COMMA)) & ~inside)
    kinds = codes[places]
    steps = _steps(kinds)
    steps[kinds == COMMA] = 0
    levels, falls = levels_behind(places, steps, level)
    return places, kinds, levels, falls, quotes


def levels_behind(
    places: Offsets, steps: npt.NDArray[np.int8], level: int = 0
) -> tuple[Offsets, Offsets]:
    """(the level behind each place, places of the brackets that close more than is open)"""
    levels = np.cumsum(steps, dtype=np.int64)
    levels += level
    falls = places[:0]
    if levels.min(initial=0) < 0:
        floor = np.minimum.accumulate(np.minimum(levels, 0))
        falls = places[np.diff(floor, prepend=0) < 0]
        levels -= floor
    return levels, falls


def outermost_commas(codes: Codes) -> tuple[Offsets, Offsets]:
    """(places of the commas outside strings and brackets, places of the brackets that close more
    than is open), as `structure` has them.
    """
    inside, _ = _inside_strings(codes, 0)
    places = np.flatnonzero(_is_bracket(codes) & ~inside)
    levels, falls = levels_behind(places, _steps(codes[places]))
    commas = _commas_between(codes, places, levels)
    if commas is None:
        commas = np.flatnonzero((codes == COMMA) & ~inside)
        levels_before = np.append(0, levels)
        commas = commas[levels_before[np.searchsorted(places, commas)] == 0]
    return commas, falls


def _commas_between(codes: Codes, places: Offsets, levels: Offsets) -> Offsets | None:
    """The outermost commas, if between two outermost values there are always a comma and then
    blanks, and no string is outermost: so it is in most arrays of objects. Else None.
    """
    if not len(places):
        return None
    head = codes[: places[0]]
    tail = codes[places[-1] + 1 :] if levels[-1] == 0 else codes[:0]
    if (head == QUOTE).any() or (tail == QUOTE).any():
        return None
    closing = np.flatnonzero(levels[:-1] == 0)
    commas, ends = places[closing] + 1, places[closing + 1]
    sizes = ends - commas
    if len(commas) and not (sizes.min() > 0 and sizes.max() <= MAX_USUAL_BLANKS):
        return None
    if not (codes[commas] == COMMA).all():
        return None
    for offset in range(1, int(sizes.max(initial=0))):
        if not IS_BLANK[codes[commas[sizes > offset] + offset]].all():
            return None
    in_head, in_tail = np.flatnonzero(head == COMMA), np.flatnonzero(tail == COMMA)
    return np.concatenate((in_head, commas, in_tail + (len(codes) - len(tail))))


def depth_of(text: bytes) -> int:
    """How deep brackets nest outside strings."""
    _, steps, _ = brackets(np.frombuffer(text, np.uint8))
    return int(np.cumsum(steps, dtype=np.int64).max(initial=0))


def blanks_before(codes: Codes, starts: Offsets, ends: Offsets) -> Mask:
    """Whether there are only blanks from each of the starts to its end."""
    seen = np.concatenate(([0], np.cumsum(~IS_BLANK[codes], dtype=np.int64)))
    blank: Mask = seen[ends] == seen[starts]
    return blank


def cut_before_escape(text: bytes) -> tuple[bytes, bytes]:
    """What a backslash escapes must not be in another block."""
    cut = len(text.rstrip(b"\\"))
    return text[:cut], text[cut:]


def opening_brackets(codes: Codes) -> Mask:
    """In strings and outside."""
    # Without the bit 0x20 a brace is a square bracket.
    opens: Mask = (codes & np.uint8(0xDF)) == OPENING
    return opens


def _is_bracket(codes: Codes) -> Mask:
    # Without the bit 0x20 a brace is a square bracket. The code of the closing one is larger by 2.
    square = codes & np.uint8(0xDF)
    square -= np.uint8(OPENING)
    square &= np.uint8(0xFD)
    is_bracket: Mask = square == 0
    return is_bracket


def _steps(kinds: Codes) -> npt.NDArray[np.int8]:
    # Both brackets that open have the bit 0x02, those that close have not.
    steps = (kinds & np.uint8(0x02)).view(np.int8)
    steps -= 1
    return steps


def _inside_strings(codes: Codes, in_string: int) -> tuple[Mask, int]:
    """(whether an odd number of quotes stands at or before each byte, number of quotes)"""
    is_quote = codes == QUOTE
    _drop_escaped(codes, is_quote)
    return _parity(is_quote, in_string), int(np.count_nonzero(is_quote))


def _drop_escaped(codes: Codes, is_quote: Mask) -> None:
    """Take out the quotes behind an odd number of backslashes."""
    slashes = np.flatnonzero(codes == BACKSLASH)
    if not len(slashes):
        return
    index = np.arange(len(slashes))
    begins = np.diff(slashes, prepend=-2) != 1
    run = index - np.maximum.accumulate(np.where(begins, index, 0))
    escaped = slashes[run % 2 == 0] + 1
    # Inside a run, this is a backslash and no quote.
    is_quote[escaped[escaped < len(codes)]] = False


def _parity(marks: Mask, carried: int) -> Mask:
    """Whether the marks up to each byte, itself included, are odd in number; `carried` is of those
    before the first. Eight bytes are added up at a time, then the eights.
    """
    padded = np.zeros(len(marks) + -len(marks) % 8, np.uint8)
    padded[: len(marks)] = marks
    words = padded.view(_WORD)
    for bits in (8, 16, 32):
        words ^= words << np.uint64(bits)
    if len(words):
        last = np.bitwise_xor.accumulate((words >> _LAST_BYTE).astype(np.uint8))
        before = np.concatenate(([0], last[:-1])).astype(np.uint64) ^ np.uint64(carried)
        words ^= before * _EACH_BYTE
    return padded[: len(marks)].view(np.bool_)
