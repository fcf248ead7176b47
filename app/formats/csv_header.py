"""Detection of the header: whether a table begins with names of columns, in how many rows, and with
which confidence.

Each column adds evidence for a name or for a value in its first cell, as the logarithm of the odds:
whether this cell has the kind, the shape and the length of the cells below it, and whether it
recurs among them. The sum decides. Nothing depends on the topic of the table; words that head
columns everywhere (`id`, `date`) count like the rest.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from app.formats.calibration import HEADER, calibrated
from app.formats.cell_kinds import CellKind, kind_of, main_kind, shape_of

MAX_HEADER_ROWS = 4
MAX_CELLS, MIN_ROWS = 20_000, 12
"""Most cells, and fewest rows, that are inspected."""
MAX_NAME, SHAPED = 100, 50

PRIOR = 1.2
"""Most tables have a header: about three of four."""
NO_HEADER = -1.4
"""Odds (one to four) below which the first row is a row of values."""
SURE = 4.0
"""Odds above which a second row belongs to the header."""
LEAST_STYLE, MOST_STYLE = -1.0, 4.0
"""Bounds of the evidence from the way in which all columns are written."""
REPEATED_CONFIDENCE = 0.95
"""Confidence in a header of several rows."""
SAME_KIND_SHARE, GO_ON_SHARE = 0.9, 0.95
ENOUGH = 4
"""Fewest cells below a name that show what a column holds."""

NAME_WORDS = frozenset(
    "id no nr num number code key ref name title type kind class category group status state date "
    "time day month year start end from to created updated amount total sum price cost value count "
    "quantity qty rate share percent unit city town country region address street zip postcode "
    "email mail phone tel url link website description comment comments note notes text label lat "
    "lon latitude longitude age sex gender first last user customer product item order company "
    "department index rank score level source target version size weight height length width "
    "datum jahr ort stadt land betrag preis anzahl menge bezeichnung nom ville pays prix date "
    "fecha nombre ciudad precio valor cantidad nome data cidade kommune navn naam".split()
)
_WORDS = re.compile(r"[^\W\d_]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_IDENTIFIER = re.compile(r"[A-Za-z]+(?:_[A-Za-z0-9]+)+|[a-z]+(?:[A-Z][a-z]+)+")
_WHOLE = re.compile(r"[0-9]{1,9}")
FIRST_YEAR, LAST_YEAR = 1800, 2100


@dataclass(frozen=True, slots=True)
class HeaderEvidence:
    odds: float
    """Natural logarithm; positive for a header."""
    columns: int
    """Number of columns of values below a first cell that is not one."""
    values: int
    """Number of cells in them."""
    against: int
    """Number of columns whose first cell is a value of the kind of those below it."""

    @property
    def probability(self) -> float:
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, self.odds))))


@dataclass(frozen=True, slots=True)
class Header:
    rows: int
    confidence: float
    """Probability that the number of rows is right."""


def find_header(records: Sequence[Sequence[str]]) -> Header:
    """Return the header of a table, from its first records."""
    if not records:
        return Header(0, 0.0)
    repeats = _repeats(records)
    if repeats and header_evidence([records[0], *records[1 + repeats :]]).odds >= SURE:
        return Header(1 + repeats, REPEATED_CONFIDENCE)
    evidence = header_evidence(records)
    if evidence.odds < NO_HEADER:
        return Header(0, round(1 - evidence.probability, 3))
    rows = 1
    for last in range(1, min(MAX_HEADER_ROWS, len(records) - 1)):
        if _goes_on(records, last):
            rows = last + 1
    if rows > 1:
        return Header(rows, REPEATED_CONFIDENCE)
    return Header(rows, round(calibrated(evidence.probability, HEADER), 3))


def _repeats(records: Sequence[Sequence[str]]) -> int:
    """Return how often the first record is repeated before any other."""
    others = (place for place, cells in enumerate(records) if list(cells) != list(records[0]))
    return min(next(others, len(records)) - 1, MAX_HEADER_ROWS - 1)


def _goes_on(records: Sequence[Sequence[str]], last: int) -> bool:
    """Whether the header reaches down to this record: like the first one, it is above columns of
    values without being of their kind.
    """
    names, width = records[last], len(records[0])
    if len(names) != width or not all(_may_be_name(cell) for cell in names):
        return False
    if not any(cell.strip() for cell in names):
        return False
    if len(records) - last - 1 < ENOUGH * (2**last - 1):
        return False
    below = header_evidence(records[last:], share=GO_ON_SHARE)
    is_plain = below.columns >= 2 and not below.against and below.values >= ENOUGH * below.columns
    return is_plain and below.odds >= SURE and _has_names_above(records[:last])


def _may_be_name(cell: str) -> bool:
    return kind_of(cell) in (CellKind.TEXT, CellKind.MISSING) or is_year(cell)


def _has_names_above(records: Sequence[Sequence[str]]) -> bool:
    """Whether these records can be rows of a header: several cells are filled, and not with numbers
    other than years.
    """
    return all(
        sum(bool(cell.strip()) for cell in cells) >= 2 and all(map(_may_be_name, cells))
        for cells in records
    )


def header_evidence(
    records: Sequence[Sequence[str]], share: float = SAME_KIND_SHARE
) -> HeaderEvidence:
    """Return the evidence for a header in the first of these records, which all have its width. A
    column needs so many cells to count.
    """
    first, width = records[0], len(records[0])
    below = [cells for cells in records[1:] if len(cells) >= width]
    below = below[: max(MIN_ROWS, MAX_CELLS // max(1, width))]
    odds, columns, values, against = PRIOR, 0, 0, 0
    steps = _are_at_steps(first) and 2 * sum(map(_are_at_steps, below)) <= len(below)
    style = 0.0
    for place, cell in enumerate(first):
        head = cell.strip()
        column = [cells[place].strip() for cells in below]
        kinds = [kind_of(value) for value in column]
        kind, of_kind = main_kind(kinds)
        count = sum(each is kind for each in kinds)
        if kind not in (CellKind.TEXT, CellKind.MISSING) and of_kind >= share:
            own = kind_of(head)
            is_name = is_year(head) and not all(map(is_year, filter(None, column)))
            if (
                own is CellKind.TEXT
                or (steps and is_name)
                or (head and own not in (kind, CellKind.MISSING))
            ):
                columns, values = columns + 1, values + count
            elif own is kind and not steps and not is_name:
                against += 1
            odds += _odds_above_values(head, own, kind, count, steps=steps, is_name=is_name)
        elif head:
            filled = [value for value in column if value]
            odds += 1.0 if steps and head.isdigit() else _odds_above_text(head, filled)
            style += _odds_of_style(head, filled)
    # Whoever writes names as values does so in all columns.
    odds += max(LEAST_STYLE, min(MOST_STYLE, style))
    return HeaderEvidence(odds, columns, values, against)


def is_year(cell: str) -> bool:
    text = cell.strip()
    return len(text) == 4 and text.isdigit() and FIRST_YEAR <= int(text) <= LAST_YEAR


def _are_at_steps(cells: Sequence[str]) -> bool:
    """Whether the numbers among these cells can be names of columns: they rise at equal steps, as
    0, 1, 2 do, or they are years in order.
    """
    numbers: list[int] = []
    for cell in cells:
        text = cell.strip()
        if _WHOLE.fullmatch(text):
            numbers.append(int(text))
        elif kind_of(text) is CellKind.NUMBER:
            return False
    if len(numbers) < 2:
        return False
    steps = {after - before for before, after in pairwise(numbers)}
    if min(steps) > 0 and len(steps) == 1:
        return True
    are_years = all(FIRST_YEAR <= number <= LAST_YEAR for number in numbers)
    return are_years and (min(steps) > 0 or max(steps) < 0)


def _odds_above_values(
    head: str, own: CellKind, kind: CellKind, count: int, *, steps: bool, is_name: bool
) -> float:
    """Return the evidence above a column of so many values of this kind. `steps`: the first record
    has numbers as names; `is_name`: this cell is a year above other kinds of values.
    """
    certainty = count / (count + 0.5)
    if not head:
        return 0.0
    if own is CellKind.MISSING:
        return -1.0 * certainty
    if own is CellKind.TEXT:
        return 4.0 * certainty + _odds_of_name(head)
    if own is not kind:
        return 0.5 * certainty
    if own is CellKind.NUMBER:
        if steps:
            return 0.5
        if is_name:
            return -0.7 * certainty
        return (-4.0 if not head.isdigit() else -3.5) * certainty
    return -5.0 * certainty


def _odds_above_text(head: str, filled: Sequence[str]) -> float:
    """Return the evidence above a column of texts; `filled` are those that are not empty."""
    if not filled:
        return 0.3 * _odds_of_name(head)
    count = len(filled)
    certainty = count / (count + 3)
    odds = _odds_of_recurrence(head, filled) + _odds_of_code(head, filled) * certainty
    if kind_of(head) not in (CellKind.TEXT, CellKind.MISSING):
        odds -= certainty
    if head not in filled:
        odds += _odds_of_name(head)
    return max(-4.0, min(4.0, odds))


def _odds_of_recurrence(head: str, filled: Sequence[str]) -> float:
    """Return the evidence of recurrence. A cell that recurs is a value. One that does not is rare
    in a column where others do: as rare as the values that occur once.
    """
    if head in filled:
        return -3.0
    counts = Counter(filled)
    single = sum(count == 1 for count in counts.values())
    return -math.log((single + 0.5) / (len(filled) + 0.5)) if len(filled) >= ENOUGH else 0.0


def _common_shape(filled: Sequence[str]) -> str | None:
    """Return what almost all of these have; None if they differ."""
    if len(filled) < ENOUGH:
        return None
    shapes = Counter(map(shape_of, filled[:SHAPED]))
    shape, count = shapes.most_common(1)[0]
    return shape if count >= SAME_KIND_SHARE * sum(shapes.values()) else None


def _is_code(shape: str) -> bool:
    return any(mark not in "Aa '-" for mark in shape)


def _odds_of_code(head: str, filled: Sequence[str]) -> float:
    """Return the evidence of the shape: codes, such as `AB-12`, are unlike names."""
    shape = _common_shape(filled)
    if shape is None or not _is_code(shape):
        return 0.0
    return -4.0 if shape_of(head) == shape else 3.0


def _odds_of_style(head: str, filled: Sequence[str]) -> float:
    """Return the evidence of capitals and of the length."""
    if not filled:
        return 0.0
    certainty = len(filled) / (len(filled) + 3)
    odds = _odds_of_length(head, filled)
    shape = _common_shape(filled)
    if shape is not None and not _is_code(shape):
        odds += -0.7 if shape_of(head) == shape else 1.2
    return odds * certainty


def _odds_of_length(head: str, filled: Sequence[str]) -> float:
    lengths = [len(value) for value in filled]
    if len(lengths) < ENOUGH:
        return 0.0
    shortest, longest = min(lengths), max(lengths)
    if shortest <= len(head) <= longest:
        return -0.2
    if len(head) < shortest / 2:
        return 1.5
    return 0.5 if len(head) <= MAX_NAME else -1.0


def _odds_of_name(head: str) -> float:
    """Return the evidence of the cell itself, whatever is below it."""
    if len(head) > MAX_NAME or (head.endswith((".", "!", "?")) and " " in head):
        return -0.5
    words = [word.lower() for word in _WORDS.findall(_CAMEL.sub(" ", head))]
    odds = 0.0
    if words and len(words) <= 4 and any(word in NAME_WORDS for word in words):
        odds += 1.0
    if _IDENTIFIER.fullmatch(head):
        odds += 1.0
    return odds
