"""Where the columns of fixed width are: as declared, or below a line that rules them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

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
