"""Ends of the records of a CSV text, found by a few passes over all of its bytes.

Where each opening quote begins a cell and each closing one ends it, quotes may be read as
alternately opening and closing: that is exact, not a guess. The record of a quote that stands
elsewhere is found by the grammar, and behind it the counting begins anew, so that a bad quote costs
one record and not the speed of all.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from app.formats import csv_grammar as grammar
from app.formats.base import MAX_ROW_BYTES, Offsets
from app.formats.blocks import (
    Codes,
    Mask,
    blocks,
    following,
    joined,
    odd_up_to,
    places_of,
    preceding,
)

LF, CR = 10, 13
LINE_ENDS = {"lf": b"\n", "crlf": b"\r\n", "cr": b"\r"}

MARGIN = 2
"""Bytes on either side of a quote that decide whether it may be there."""
LONE_QUOTE_TRIES = 64


@dataclass(frozen=True, slots=True)
class Scan:
    """Records of a text.

    The text is cut into pieces, each up to a line end outside of quotes. A piece of line ends alone
    is blank: it is not a record, and belongs to the one after it.
    """

    codes: Codes
    piece_ends: Offsets
    is_blank: Mask
    """Whether a piece is blank, for each piece."""
    ends: Offsets
    """Ends of the records."""
    line_ends: Offsets
    """Places of the last byte of every line end, also of those inside quotes."""
    irregular: Sequence[int] = ()
    """Ends of the records that only the grammar could find."""
    is_quoted: Mask | None = None
    """Whether a byte stands behind an opening quote, itself included, and before the closing one.
    Nothing is said about irregular records. None if the text has no quotes, or they cannot be
    counted.
    """
    is_cut: bool = False
    """Whether the last piece ends with the text and not with a line end."""


@dataclass(slots=True)
class _RecordEnds:
    """Ends of records, each listed once, while they are searched."""

    lines: list[Offsets] = field(default_factory=list)
    """Places of line ends that end records, in ascending order."""
    irregular: list[int] = field(default_factory=list)
    """Ends of the records that only the grammar could find."""
    turns: list[int] = field(default_factory=list)
    """Where opening quotes become closing ones, and again where it changes back."""
    is_cut: bool = False
    """Whether the end of the text ends a record, too."""

    def ends(self, size: int) -> Offsets:
        """Return all ends in ascending order, for a text of so many bytes."""
        regular = joined(self.lines) + 1
        others = [*self.irregular, size] if self.is_cut else self.irregular
        if not others:
            return regular
        both = np.concatenate((regular, np.array(others, np.int64)))
        both.sort(kind="stable")  # two runs that ascend are merged
        return both


class _Side(NamedTuple):
    lines: Offsets
    line_places: Sequence[int]
    """The same for single values."""
    bad_places: Sequence[int]


class Scanner:
    """Finds records in text."""

    def __init__(
        self, delimiter: bytes, quote: bytes, escape: bytes, newline: str, *, spaces: bool
    ) -> None:
        """`spaces`: whether there may be spaces around quotes."""
        self.delimiter, self.quote, self.escape = delimiter, quote, escape
        self.newline = newline
        self._newline_byte = CR if newline == "cr" else LF
        known = (delimiter, quote, escape, newline)
        self._spaces = spaces
        record = grammar.record(*known, spaces=spaces)
        self._record = re.compile(record + rb"(?:" + grammar.line_end(newline) + rb"|\Z)")
        self._cell = re.compile(grammar.cell(*known, spaces=spaces))
        self._open: re.Pattern[bytes] | None = None
        if quote:
            self._open = re.compile(grammar.undecided(*known, spaces=spaces))

    def has_escapes(self, text: bytes) -> bool:
        return bool(self.escape) and self.escape in text

    def has_quotes(self, text: bytes) -> bool:
        return bool(self.quote) and self.quote in text

    def count_line_ends(self, text: bytes) -> int:
        return len(self._line_ends(np.frombuffer(text, np.uint8)))

    def scan(self, text: bytes, *, eof: bool) -> Scan:
        """Return the complete records; with `eof` nothing follows the text, so that its end ends a
        record.
        """
        if len(self.quote) > 1 and not eof:
            text = self._without_half_a_quote(text)
        codes = np.frombuffer(text, np.uint8)
        line_ends = self._line_ends(codes)
        is_quoted = None
        record_ends = _RecordEnds()
        if self.has_escapes(text):
            self._walk_by_grammar(text, eof, record_ends)
        elif self.has_quotes(text):
            is_quoted = between_quotes(codes, self.quote[0])
            self._walk(text, codes, is_quoted, eof, record_ends)
            turns = [*record_ends.turns, len(text)]
            for start, end in zip(turns[0::2], turns[1::2], strict=False):
                np.logical_not(is_quoted[start:end], out=is_quoted[start:end])
        else:
            closing = line_ends
            if self.newline == "crlf":
                closing = closing[(closing > 0) & (codes[closing - 1] == CR)]
            elif self.newline == "any" and not eof and text.endswith(b"\r"):
                closing = closing[:-1]  # an LF may follow, which belongs to it
            record_ends.lines.append(closing)
            if eof and len(text) and (not len(closing) or closing[-1] + 1 != len(text)):
                record_ends.is_cut = True
        piece_ends = record_ends.ends(len(text))
        is_blank = self._is_blank(text, codes, piece_ends)
        ends = piece_ends[~is_blank] if is_blank.any() else piece_ends
        return Scan(
            codes,
            piece_ends,
            is_blank,
            ends,
            line_ends,
            record_ends.irregular,
            is_quoted,
            record_ends.is_cut,
        )

    def _without_half_a_quote(self, text: bytes) -> bytes:
        for length in range(len(self.quote) - 1, 0, -1):
            if text.endswith(self.quote[:length]):
                return text[:-length]
        return text

    def _line_ends(self, codes: Codes) -> Offsets:
        """Return the places of the last byte of each line end, as lines are counted."""
        places = places_of(self._newline_byte, codes)
        if self.newline != "any":
            return places
        returns = places_of(CR, codes)
        is_alone = np.ones(len(returns), np.bool_)
        followed = returns + 1 < len(codes)
        is_alone[followed] = codes[returns[followed] + 1] != LF
        return np.union1d(places, returns[is_alone])

    def _ends_record(self, codes: Codes, eof: bool) -> Mask:
        """Return a mask of the last bytes of line ends that end a record unless they are quoted."""
        is_line_end: Mask = codes == self._newline_byte
        if self.newline == "crlf":
            is_line_end &= preceding(codes == CR, False)
        elif self.newline == "any":
            # after the last one an LF may follow, which belongs to it
            is_line_end |= (codes == CR) & ~following(is_line_end, not eof)
        return is_line_end

    def _walk(
        self, text: bytes, codes: Codes, is_quoted: Mask, eof: bool, record_ends: _RecordEnds
    ) -> None:
        """Find the records from one that only the grammar can find to the next such record.
        `is_quoted` holds for a count that begins with the text; after a bad quote it may be
        inverted.
        """
        sides: list[_Side | None] = [None, None]
        quoted = is_quoted.data  # single values of an array take three times as long
        start, size, is_turned = 0, len(text), False
        lone_quote = -1 if eof else self._last_lone_quote(text)
        while start < size:
            side = sides[is_turned]
            if side is None:
                lines, bad = self._side(codes, is_quoted, is_turned, eof)
                side = sides[is_turned] = _Side(lines, lines.data, bad.data)
            lines, line_places, bad_places = side
            place = bisect_left(bad_places, start)
            first_bad = bad_places[place] if place < len(bad_places) else size
            # Whatever it is, the record of a bad quote begins behind the last line end before it
            # that is not quoted.
            first = bisect_left(line_places, start)
            behind = bisect_left(line_places, first_bad, first)
            if behind > first:
                record_ends.lines.append(lines[first:behind])
                start = line_places[behind - 1] + 1
            if first_bad == size:
                is_closed = bool(is_quoted[-1]) == is_turned
                if is_closed:
                    if eof and start < size:
                        record_ends.is_cut = True
                    return
                if not eof and size - start <= MAX_ROW_BYTES:
                    return
            end = self._end_by_grammar(text, start, eof, lone_quote)
            if end is None:
                return
            record_ends.irregular.append(end)
            start = end
            if quoted[end - 1] != is_turned:
                is_turned = not is_turned
                record_ends.turns.append(end)

    def _side(
        self, codes: Codes, is_quoted: Mask, is_turned: bool, eof: bool
    ) -> tuple[Offsets, Offsets]:
        """Return the places of the line ends outside of quotes and of the misplaced quotes, if
        `is_quoted` holds or if it is inverted.
        """
        lines, bad = [], []
        for start, end in blocks(len(codes)):
            first = max(0, start - MARGIN)
            part = codes[first : end + MARGIN]
            inner = slice(start - first, end - first)
            ends_record = self._ends_record(part, eof)
            opens_badly, closes_badly = self._misplaced(part, ends_record, eof)
            opens = is_quoted[start:end]
            if is_turned:
                opens = ~opens
            closes = ~opens
            lines.append(np.flatnonzero(ends_record[inner] & closes) + start)
            is_bad = opens_badly[inner] & opens
            is_bad |= closes_badly[inner] & closes
            bad.append(np.flatnonzero(is_bad) + start)
        return joined(lines), joined(bad)

    def _misplaced(self, codes: Codes, ends_record: Mask, eof: bool) -> tuple[Mask, Mask]:
        """Return the quotes that may not open a cell at their place, and those that may not close
        one. Of two adjacent quotes the first closes and the second opens.
        """
        is_quote = codes == self.quote[0]
        if len(self.delimiter) > 1 or len(self.quote) > 1:
            return is_quote, is_quote
        beside = is_quote | (codes == self.delimiter[0])
        opens_badly = is_quote & ~preceding(beside | ends_record, True)
        may_follow = beside | ends_record
        if self.newline == "lf":
            may_follow |= (codes == CR) & following(ends_record, not eof)
        elif self.newline == "crlf":
            may_follow = beside | ((codes == CR) & following(ends_record, not eof))
        elif self.newline == "any":
            may_follow |= codes == CR
        closes_badly = is_quote & ~following(may_follow, True)
        return opens_badly, closes_badly

    def _last_lone_quote(self, text: bytes) -> int:
        """Return the place of a quote near the end of the text that closes whatever is open there:
        it has no quote beside it, and what follows it is known. -1 if there is none.
        """
        if len(self.quote) > 1 or len(self.delimiter) > 1 or self._spaces:
            return -1
        place = len(text) - 1
        for _ in range(LONE_QUOTE_TRIES):
            place = text.rfind(self.quote, 0, place)
            if place < 0:
                return -1
            beside = text[max(0, place - 1) : place + 2]
            if beside.count(self.quote) == 1 and place + 2 < len(text):
                return place
        return -1

    def _end_by_grammar(self, text: bytes, start: int, eof: bool, lone_quote: int) -> int | None:
        """Return where the record that begins at `start` ends; None if that may depend on what
        follows the text. `lone_quote`: no quote before this place is open at the end of the text.
        """
        size, line_end = len(text), LINE_ENDS.get(self.newline)
        quote = text.find(self.quote, start)
        if line_end and quote >= 0 and text.find(self.quote, quote + 1) < 0:
            # No other quote can close this one. An expression would look for it as long, and hold
            # the interpreter.
            place = text.find(line_end, quote)
            end = place + len(line_end) if place >= 0 else size
        else:
            record = self._record.match(text, start)
            assert record is not None  # the grammar takes anything
            end = record.end()
        if not eof and end > lone_quote and (end == size or self._is_open(text, start, end)):
            return None
        return end

    def _walk_by_grammar(self, text: bytes, eof: bool, record_ends: _RecordEnds) -> None:
        start, size = 0, len(text)
        while start < size:
            record = self._record.match(text, start)
            assert record is not None  # the grammar takes anything
            end = record.end()
            if not eof and (end == size or self._is_open(text, start, end)):
                break
            record_ends.irregular.append(end)
            start = end

    def _is_open(self, text: bytes, start: int, end: int) -> bool:
        """Whether a quote of this record may be closed by bytes that are not in the text yet."""
        if self._open is None or len(text) - start > MAX_ROW_BYTES:
            return False
        if text.find(self.quote, start, end) < 0:
            return False
        while start < end:
            if self._open.match(text, start):
                return True
            cell = self._cell.match(text, start)
            assert cell is not None
            start = cell.end() + len(self.delimiter)
        return False

    def _is_blank(self, text: bytes, codes: Codes, ends: Offsets) -> Mask:
        """Return a mask of the pieces that have nothing but CR and LF."""
        lengths = np.diff(ends, prepend=0)
        if self.newline == "lf" and b"\r" not in text:
            # As in most files: an LF alone, but for what ends the text.
            only: Mask = lengths == 1
            if len(ends) and text[ends[-1] - 1] != LF:
                only[-1] = False
            return only
        starts = ends - lengths
        begins_blank = _IS_LINE_END[codes[starts]]
        blank: Mask = begins_blank & (lengths <= 2) & _IS_LINE_END[codes[ends - 1]]
        # Rare: CR CR LF, or a lone CR before a cell.
        for i in np.flatnonzero(begins_blank & (lengths > 2)):
            blank[i] = _IS_LINE_END[codes[starts[i] : ends[i]]].all()
        return blank


def between_quotes(codes: Codes, quote: int) -> Mask:
    """Return a mask of the bytes with an odd number of quotes up to them, themselves included."""
    odd = np.empty(len(codes), np.bool_)
    is_odd_before = False
    for start, end in blocks(len(codes)):
        odd[start:end] = odd_up_to(codes[start:end] == quote, is_odd_before)
        is_odd_before = bool(odd[end - 1])
    return odd


def _table(*codes: int) -> Mask:
    table = np.zeros(256, np.bool_)
    table[list(codes)] = True
    return table


_IS_LINE_END = _table(LF, CR)
