"""Places of brackets, commas and strings in JSON text. Nothing is decoded and nothing recurses: a
million opening brackets cost a million additions.

Masks over blocks of bytes do the work, since they cost a fraction of a nanosecond a byte; lists of
places cost more for each place.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from app.formats.base import Offsets
from app.formats.blocks import Codes, Mask, blocks, joined, odd_up_to, places_of

WHITESPACE = b" \t\r\n"
QUOTE, BACKSLASH, COMMA, OPENING, CLOSING = 34, 92, 44, 91, 93
MAX_USUAL_BLANKS = 16
"""Most blanks behind a comma that are inspected one after the other, for all commas at once."""
IS_BLANK = np.zeros(256, bool)
IS_BLANK[list(WHITESPACE)] = True


def brackets(codes: Codes, in_string: int = 0) -> tuple[Offsets, npt.NDArray[np.int8], int]:
    """Return (places of the brackets outside strings, 1 for each that opens and -1 for each that
    closes, number of quotes). `in_string`: 1 if the text begins inside a string.
    """
    inside, quotes = _inside_strings(codes, in_string)
    places = _places_outside(codes, inside, _is_bracket)
    return places, _steps(codes[places]), quotes


def structure(
    codes: Codes, level: int = 0, in_string: int = 0
) -> tuple[Offsets, Codes, Offsets, Offsets, int]:
    """Return (places of brackets and commas outside strings, what they are, the level behind each,
    places of the brackets that close more than is open, number of quotes). After such a bracket the
    level is 0 again: what follows is outside, too.
    """
    inside, quotes = _inside_strings(codes, in_string)
    places = _places_outside(codes, inside, lambda part: _is_bracket(part) | (part == COMMA))
    kinds = codes[places]
    steps = _steps(kinds)
    steps[kinds == COMMA] = 0
    levels, falls = levels_behind(places, steps, level)
    return places, kinds, levels, falls, quotes


def levels_behind(
    places: Offsets, steps: npt.NDArray[np.int8], level: int = 0
) -> tuple[Offsets, Offsets]:
    """Return (the level behind each place, places of the brackets that close more than is open)."""
    levels = np.cumsum(steps, dtype=np.int64)
    levels += level
    falls = places[:0]
    if levels.min(initial=0) < 0:
        floor = np.minimum.accumulate(np.minimum(levels, 0))
        falls = places[np.diff(floor, prepend=0) < 0]
        levels -= floor
    return levels, falls


def outermost_commas(codes: Codes) -> tuple[Offsets, Offsets]:
    """Return (places of the commas outside strings and brackets, places of the brackets that close
    more than is open), as `structure` does.
    """
    inside, _ = _inside_strings(codes, 0)
    places = _places_outside(codes, inside, _is_bracket)
    levels, falls = levels_behind(places, _steps(codes[places]))
    commas = _commas_between(codes, places, levels)
    if commas is None:
        commas = _places_outside(codes, inside, lambda part: part == COMMA)
        levels_before = np.append(0, levels)
        commas = commas[levels_before[np.searchsorted(places, commas)] == 0]
    return commas, falls


def _commas_between(codes: Codes, places: Offsets, levels: Offsets) -> Offsets | None:
    """Return the outermost commas if there are always a comma and then blanks between two outermost
    values, and no string is outermost, as in most arrays of objects. Else return None.
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
    """Return how deep brackets nest outside strings."""
    _, steps, _ = brackets(np.frombuffer(text, np.uint8))
    return int(np.cumsum(steps, dtype=np.int64).max(initial=0))


def blanks_before(codes: Codes, starts: Offsets, ends: Offsets) -> Mask:
    """Whether there are only blanks from each of the starts to its end."""
    seen = np.concatenate(([0], np.cumsum(~IS_BLANK[codes], dtype=np.int64)))
    blank: Mask = seen[ends] == seen[starts]
    return blank


def cut_before_escape(text: bytes) -> tuple[bytes, bytes]:
    """Return the text up to its last backslashes, and those: an escape must not be split between
    two blocks.
    """
    cut = len(text.rstrip(b"\\"))
    return text[:cut], text[cut:]


def opening_brackets(codes: Codes) -> Mask:
    """Return a mask of the opening brackets, in strings and outside."""
    # Without the bit 0x20 a brace is a square bracket.
    opens: Mask = (codes & np.uint8(0xDF)) == OPENING
    return opens


def places_of_openings(codes: Codes) -> Offsets:
    """Return the places of the opening brackets, in strings and outside."""
    places = []
    for start, end in blocks(len(codes)):
        places.append(np.flatnonzero(opening_brackets(codes[start:end])) + start)
    return joined(places)


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


def _places_outside(codes: Codes, inside: Mask, are_wanted: Callable[[Codes], Mask]) -> Offsets:
    """Return the places of the wanted bytes that are not `inside`."""
    places = []
    for start, end in blocks(len(codes)):
        # true and not inside
        wanted = np.greater(are_wanted(codes[start:end]), inside[start:end])
        places.append(np.flatnonzero(wanted) + start)
    return joined(places)


def _inside_strings(codes: Codes, in_string: int) -> tuple[Mask, int]:
    """Return (whether an odd number of quotes is at or before each byte, number of quotes)."""
    escaped = _escaped(codes)
    inside = np.empty(len(codes), np.bool_)
    quotes, is_odd_before = 0, bool(in_string)
    for start, end in blocks(len(codes)):
        is_quote = codes[start:end] == QUOTE
        if len(escaped):
            first, last = np.searchsorted(escaped, (start, end))
            is_quote[escaped[first:last] - start] = False
        inside[start:end] = odd_up_to(is_quote, is_odd_before)
        is_odd_before = bool(inside[end - 1])
        quotes += int(np.count_nonzero(is_quote))
    return inside, quotes


def _escaped(codes: Codes) -> Offsets:
    """Return the places behind an odd number of backslashes."""
    slashes = places_of(BACKSLASH, codes)
    if not len(slashes):
        return slashes
    index = np.arange(len(slashes))
    begins = np.diff(slashes, prepend=-2) != 1
    run = index - np.maximum.accumulate(np.where(begins, index, 0))
    # Inside a run, this is a backslash and no quote.
    escaped: Offsets = slashes[run % 2 == 0] + 1
    return escaped
