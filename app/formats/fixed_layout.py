"""Where the columns of fixed width are: as declared, below a line that rules them, or between blanks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from app.formats.cell_kinds import CellKind, kind_of, main_kind
from app.formats.csv import Skipped
from app.formats.csv_header import find_header
from app.formats.fixed import BadLine, Slicer, bounds_of, cells_of

RULER = re.compile(r"[ \t]*(?:-+|=+)(?:[ \t]+(?:-+|=+))+[ \t]*")
RUN = re.compile(r"-+|=+")
COUNT = re.compile(
    r"\(?\d[\d,.']* (?:rows?|records?|Zeilen?|lignes?)\b[^\n]{0,40}\)?", re.IGNORECASE
)
RULER_WITHIN = 20
"""Lines in which a ruler is looked for."""
LOOKED_AT = 500
"""Lines below a ruler that must fit its columns."""
FITTING_SHARE = 0.9
SHOWN_CHARACTERS = 200
BLANKS = 2
"""Fewest spaces between two columns without a ruler; one is part of a text."""
BETWEEN_CELLS = re.compile(rf"\S+(?: \S+)*(?= {{{BLANKS}}}|$)")
TITLES_WITHIN = 10
"""Lines above a table without a ruler that may be titles."""
FEWEST_LINES = 3
WIDEST = 4000
"""Characters of a line, beyond which it is no line of a report."""
ALIGNED_SHARE = 0.9
FILLED_SHARE = 0.3
"""Least share of the lines that have a value in a column."""


@dataclass(frozen=True, slots=True)
class FixedLayout:
    starts: list[int]
    ends: list[int]
    header: list[list[str]]
    """Cells of the header, by row."""
    confidence: float
    first: int
    """Number of lines above the first row."""
    skip_rows: int = 0
    """Number of lines above the table that are no header."""
    skipped: list[Skipped] = field(default_factory=list)
    skip_footer: int = 0
    sure: float = 1.0
    """Confidence that these are the columns, from 0 to 1."""


def ruled_layout(lines: Sequence[str], *, complete: bool) -> FixedLayout | None:
    """Return the layout of text with a header, a line such as `---- -----` and rows that fit it;
    None if it has no such line. `complete`: the text ends with the last of the lines.
    """
    place = next(
        (at for at in range(1, min(len(lines), RULER_WITHIN)) if _is_ruler(lines, at)), None
    )
    if place is None:
        return None
    runs = [match.span() for match in RUN.finditer(lines[place])]
    starts, ends = [start for start, _ in runs], [end for _, end in runs]
    rows = lines[place + 1 :] if complete else lines[place + 1 : -1]
    rows = [line for line in rows if line.strip()]
    skipped, footer = [], 0
    if complete and rows and COUNT.fullmatch(rows[-1].strip()):
        number = max(at for at, line in enumerate(lines, 1) if line.strip())
        skipped.append(
            Skipped(lines=[number, number], why="count", text=rows[-1][:SHOWN_CHARACTERS])
        )
        rows, footer = rows[:-1], 1
    looked_at = rows[:LOOKED_AT]
    fitting = sum(_fits(Slicer(starts, ends, pads=True), line) for line in looked_at)
    if fitting < FITTING_SHARE * len(looked_at):
        return None
    above = [
        Skipped(lines=[at + 1, at + 1], why="title", text=lines[at][:SHOWN_CHARACTERS])
        for at in range(place - 1)
        if lines[at].strip()
    ]
    ruler = Skipped(lines=[place + 1, place + 1], why="ruler", text=lines[place][:SHOWN_CHARACTERS])
    header = [cells_of(lines[place - 1], starts, ends)]
    return FixedLayout(
        starts, ends, header, 1.0, place + 1, place - 1, [*above, ruler, *skipped], footer
    )


def _is_ruler(lines: Sequence[str], place: int) -> bool:
    above = lines[place - 1]
    return (
        RULER.fullmatch(lines[place]) is not None
        and bool(above.strip())
        and RULER.fullmatch(above) is None
    )


def _fits(slicer: Slicer, line: str) -> bool:
    try:
        slicer.cells(line)
    except BadLine:
        return False
    return True


def spaced_layout(
    lines: Sequence[str], *, complete: bool, header_rows: int | None = None
) -> FixedLayout | None:
    """Return the layout of a table whose columns are kept apart by at least two spaces, at the same
    characters of all lines; None if there is none. `complete`: the text ends with the last of the
    lines.
    """
    usable = lines if complete else lines[:-1]
    first = _first_of_table(usable)
    if first is None:
        return None
    filled = [line for line in usable[first:] if line.strip()]
    skipped, footer = [], 0
    if complete and filled and COUNT.fullmatch(filled[-1].strip()):
        number = max(at for at, line in enumerate(lines, 1) if line.strip())
        text = filled[-1][:SHOWN_CHARACTERS]
        skipped.append(Skipped(lines=[number, number], why="count", text=text))
        filled, footer = filled[:-1], 1
    filled = filled[:LOOKED_AT]
    is_odd = any("\t" in line or len(line) > WIDEST for line in filled)
    if len(filled) < FEWEST_LINES or is_odd:
        return None
    bounds = _columns_between_blanks(filled)
    if len(bounds) < 2:
        return None
    starts, ends = _with_room(filled, bounds)
    slicer = Slicer(starts, ends, pads=False)
    fitting = [line for line in filled if _fits(slicer, line)]
    cells = [cells_of(line, starts, ends) for line in fitting]
    if len(fitting) < FITTING_SHARE * len(filled) or filled[0] not in fitting:
        return None
    sure = _confidence(cells, len(fitting) / len(filled))
    rows, confidence = header_rows, 1.0
    if rows is None:
        header = find_header(cells)
        rows, confidence = min(1, header.rows), header.confidence
    above = [
        Skipped(lines=[at + 1, at + 1], why="title", text=lines[at][:SHOWN_CHARACTERS])
        for at in range(first)
        if lines[at].strip()
    ]
    behind, taken = first, 0
    while taken < rows:
        taken += bool(lines[behind].strip())
        behind += 1
    return FixedLayout(
        starts, ends, cells[:rows], confidence, behind, first, [*above, *skipped], footer, sure
    )


def _first_of_table(lines: Sequence[str]) -> int | None:
    """Return the index of the first line of several cells; None if other lines stand above that
    may be rows.
    """
    titles = 0
    for place, line in enumerate(lines):
        if len(BETWEEN_CELLS.findall(line)) > 1:
            return place
        titles += bool(line.strip())
        if titles > TITLES_WITHIN:
            return None
    return None


def _columns_between_blanks(lines: Sequence[str]) -> list[tuple[int, int]]:
    """Return (first, behind the last) of the characters of each column."""
    width = max(map(len, lines))
    counts: npt.NDArray[np.int64] = np.zeros(width + 1, np.int64)
    for line in lines:
        for match in BETWEEN_CELLS.finditer(line):
            counts[match.start()] += 1
            counts[match.end()] -= 1
    is_used = np.cumsum(counts[:-1]) > (1 - FITTING_SHARE) / 2 * len(lines)
    for match in BETWEEN_CELLS.finditer(lines[0]):  # names may be longer than what is below them
        is_used[match.start() : match.end()] = True
    edges = np.flatnonzero(np.diff(is_used.astype(np.int8), prepend=0, append=0))
    spans = [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]
    bounds: list[tuple[int, int]] = []
    for start, end in spans:
        if bounds and start - bounds[-1][1] < BLANKS:
            bounds[-1] = bounds[-1][0], end
        else:
            bounds.append((start, end))
    return bounds


def _with_room(
    lines: Sequence[str], bounds: Sequence[tuple[int, int]]
) -> tuple[list[int], list[int]]:
    """Return (starts, ends) of the columns, with room for values that are longer than those of these
    lines. Two characters always stay free between two columns: a text that crosses them is found,
    since it has no two spaces in a row.
    """
    starts, ends = [0], []
    for (start, end), (following, last) in pairwise(bounds):
        gap = end, following
        if _share_at(lines, following, last, is_start=True) >= ALIGNED_SHARE:
            gap = following - BLANKS, following
        elif _share_at(lines, start, end, is_start=False) >= ALIGNED_SHARE:
            gap = end, end + BLANKS
        ends.append(gap[0])
        starts.append(gap[1])
    return starts, [*ends, 0]


def _share_at(lines: Sequence[str], start: int, end: int, *, is_start: bool) -> float:
    """Return the share of the values between these characters that begin, or end, at the edge."""
    parts = [part for line in lines if (part := line[start:end].rstrip())]
    if is_start:
        return sum(not part[0].isspace() for part in parts) / max(1, len(parts))
    return sum(len(part) == end - start for part in parts) / max(1, len(parts))


def _confidence(cells: Sequence[Sequence[str]], fitting: float) -> float:
    """Return how sure it is that the blanks separate columns: more lines, fuller columns, and values
    of a kind below names speak for it.
    """
    columns = list(zip(*cells, strict=True))
    shares = [sum(map(bool, column)) / len(cells) for column in columns]
    if min(shares) < FILLED_SHARE:
        return 0.0
    kinds = [main_kind([kind_of(cell) for cell in column[1:]]) for column in columns]
    of_a_kind = sum(kind is not CellKind.TEXT and share >= 0.9 for kind, share in kinds)
    by_lines = 1 - 0.6 ** (len(cells) - 1)
    by_kinds = 1.0 if of_a_kind else 0.8
    return by_lines * by_kinds * fitting * min(1.0, sum(shares) / len(shares) + 0.2)


def declared_layout(
    lines: Sequence[str], widths: Sequence[int], header_rows: int | None, *, is_named: bool
) -> FixedLayout:
    """Return the layout of text with columns of these widths. `is_named`: the names of the columns
    are known, so that a first row of names need not be looked for.
    """
    starts, ends = bounds_of(widths)
    filled = [line for line in lines if line.strip()]
    confidence = 1.0
    if header_rows is None:
        header_rows = 0
        if not is_named:
            header = find_header([cells_of(line, starts, ends) for line in filled[:LOOKED_AT]])
            header_rows, confidence = min(1, header.rows), header.confidence
    taken, first = 0, 0
    while taken < header_rows and first < len(lines):
        taken += bool(lines[first].strip())
        first += 1
    names = [cells_of(line, starts, ends) for line in filled[:header_rows]]
    return FixedLayout(starts, ends, names, confidence, first)
