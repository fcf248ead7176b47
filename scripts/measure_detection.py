"""Measure detection on generated tables, by comparing it with their truth.

python scripts/measure_detection.py -n 2000
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from random import Random

from app.errors import RequestError
from app.formats.csv import CsvDialect
from app.formats.detect import Declared, csv_readings, detect
from scripts.generate_tables import Table, make_table, make_untidy_table
from tests.formats.reading import read_all

BINS = (0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.01)


@dataclass(frozen=True)
class Verdict:
    header: bool
    """Whether the header has the right number of rows."""
    width: bool
    """Whether the number of columns is right."""
    edges: bool
    """Whether exactly the lines above and below the table are left out."""
    rows: bool
    """Whether every cell of every row is right."""
    lost: int
    """Rows that are neither results nor rejects nor part of the header."""
    dialect: CsvDialect | None
    confidence: float
    """Confidence that the delimiter is right."""

    @property
    def is_right(self) -> bool:
        return self.header and self.width and self.edges and self.rows and not self.lost


def judge(table: Table) -> Verdict:
    try:
        dialect = detect(table.data, complete=True, declared=Declared(format="csv"))
    except RequestError:
        return Verdict(False, False, False, False, len(table.rows), None, 0.0)
    assert isinstance(dialect, CsvDialect)
    readings = csv_readings(table.data, complete=True, declared=Declared(format="csv"))
    rows, rejects = read_all(table.data, dialect)
    filled = sum(1 for row in table.rows if row)
    expected = filled + table.header_rows - dialect.header_rows
    return Verdict(
        header=dialect.header_rows == table.header_rows,
        width=len(dialect.columns) == (len(table.columns) or len(table.rows[0])),
        edges=(dialect.skip_rows, dialect.skip_footer) == (table.above, table.below),
        rows=[cells for _, cells in rows] == table.rows,
        lost=max(0, expected - len(rows) - len(rejects)),
        dialect=dialect,
        confidence=readings[0].confidence,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", "--number", type=int, default=2000, help="how many tables")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--untidy", action="store_true", help="tables as offices publish them")
    parser.add_argument("--show", type=int, default=0, help="so many that went wrong")
    arguments = parser.parse_args()
    make = make_untidy_table if arguments.untidy else make_table
    counts: Counter[str] = Counter()
    delimiters: list[tuple[float, bool]] = []
    headers: list[tuple[float, bool]] = []
    shown = 0
    for seed in range(arguments.seed, arguments.seed + arguments.number):
        table = make(Random(seed))
        verdict = judge(table)
        counts.update(
            name
            for name in ("header", "width", "edges", "rows", "is_right")
            if getattr(verdict, name)
        )
        counts["rows lost"] += verdict.lost
        delimiters.append((verdict.confidence, verdict.width))
        if verdict.dialect is not None and verdict.width:
            headers.append((verdict.dialect.header_confidence, verdict.header))
        if shown < arguments.show and not verdict.is_right:
            shown += 1
            print(f"--- {seed}: {table.kind}; {verdict}")
            print(table.data.decode()[:600])
    for name in ("header", "width", "edges", "rows", "is_right"):
        print(f"{name:10} {counts[name] / arguments.number:.4f}")
    print(f"rows lost  {counts['rows lost']}")
    print_calibration("delimiter", delimiters)
    print_calibration("header", headers)


def print_calibration(what: str, judged: list[tuple[float, bool]]) -> None:
    """Print the share of right answers for each level of confidence."""
    print(f"confidence of the {what}: shown, right, tables")
    for low, high in pairwise(BINS):
        inside = [(shown, right) for shown, right in judged if low <= shown < high]
        if inside:
            shown = sum(shown for shown, _ in inside) / len(inside)
            right = sum(right for _, right in inside) / len(inside)
            print(f"  {shown:.3f} {right:.3f} {len(inside):5}")


if __name__ == "__main__":
    main()
