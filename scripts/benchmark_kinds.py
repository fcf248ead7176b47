"""Kinds of files that `scripts/benchmark` measures: the same rows, written as people write them.

Each is made of a seed, so that two runs load the same bytes. The rows repeat after POOL_ROWS rows,
their ids do not.
"""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

SEED = 7
POOL_ROWS = 20_011
BLOCK_ROWS = 50_000
WIDE_COLUMNS = 50
HEADER = "id,name,value\n"

NAMES = ("Ada", "Alan", "Barbara", "Edsger", "Grace", "Hedy", "Katherine", "Ken", "Margaret")
FOREIGN = ("Zoë", "Łukasz", "José", "Søren", "Ngọc", "Дмитрий", "小林", "Ελένη", "Jürgen")
WITH_COMMAS = ("Lovelace, Ada", "Hopper, Grace", 'Hamilton, "Maggie"')
FOLDERS = ("Users", "Program Files", "temp", "new", "reports", "backup", "2026")

Tail = Callable[[random.Random], str]
"""The rest of a row after its id, with comma and line end."""


@dataclass(frozen=True)
class Kind:
    """One kind of file: `name` for the command line, `title` for the report."""

    name: str
    title: str
    suffix: str
    write: Callable[[Path, int], int]
    """Writes (path, rows) and returns the number of bad rows."""
    columns: int = 3
    rows_share: float = 1.0
    """Share of the requested rows, since wide rows are fewer."""
    times_loader: float = 1.5
    """Target on PostgreSQL: seconds relative to those of the loader."""
    times_clean: float | None = None
    """Target relative to the clean file, for files that the loader would refuse."""

    @property
    def is_json(self) -> bool:
        return self.suffix in ("json", "jsonl")


def _plain(rng: random.Random) -> str:
    return f",{rng.choice(NAMES)},{rng.randint(1, 1000)}\n"


def _foreign(rng: random.Random) -> str:
    return f",{rng.choice(FOREIGN)},{rng.randint(1, 1000)}\n"


def _some_commas(rng: random.Random) -> str:
    if rng.random() < 0.7:
        return _plain(rng)
    name = rng.choice(WITH_COMMAS).replace('"', '""')
    return f',"{name}",{rng.randint(1, 1000)}\n'


def _path(rng: random.Random) -> str:
    folders = "\\".join(rng.choices(FOLDERS, k=rng.randint(1, 4)))
    return f",C:\\{folders},{rng.randint(1, 1000)}\n"


def _wide(rng: random.Random) -> str:
    cells = []
    for _ in range(WIDE_COLUMNS - 1):
        cell = rng.choice(NAMES)
        if rng.random() < 0.05:
            cell = f'"{rng.choice(FOLDERS)}, {cell}"'
        cells.append(cell)
    return f",{','.join(cells)}\n"


def _bad(rng: random.Random) -> str:
    """Return an invalid row: a cell too many or too few, or a quote inside a cell."""
    wrong = (f",{rng.choice(NAMES)}\n", f",{rng.choice(NAMES)},1,2\n", ',"Ada"x,3\n')
    return rng.choice(wrong)


def _pool(tail: Tail) -> list[str]:
    rng = random.Random(SEED)
    return [tail(rng) for _ in range(POOL_ROWS)]


def _blocks(rows: int, lines: Iterator[str]) -> Iterator[bytes]:
    while rows:
        taken = min(rows, BLOCK_ROWS)
        yield "".join(islice(lines, taken)).encode()
        rows -= taken


def _write(path: Path, header: str, rows: int, lines: Iterator[str], footer: str = "") -> None:
    with path.open("wb") as file:
        file.write(header.encode())
        for block in _blocks(rows, lines):
            file.write(block)
        file.write(footer.encode())


def _csv(tail: Tail, header: str = HEADER) -> Callable[[Path, int], int]:
    def write(path: Path, rows: int) -> int:
        tails = cycle(_pool(tail))
        _write(path, header, rows, (f"{i}{rest}" for i, rest in enumerate(tails, 1)))
        return 0

    return write


def _quoted(path: Path, rows: int) -> int:
    tails = cycle([line[1:-1].replace(",", '","') for line in _pool(_plain)])
    _write(path, '"id","name","value"\n', rows, (f'"{i}","{t}"\n' for i, t in enumerate(tails, 1)))
    return 0


def _with_bad_rows(share: float) -> Callable[[Path, int], int]:
    def write(path: Path, rows: int) -> int:
        rng = random.Random(SEED)
        bad = set(rng.sample(range(1, rows + 1), round(rows * share)))
        good_tails, bad_tails = cycle(_pool(_plain)), cycle(_pool(_bad))

        def lines() -> Iterator[str]:
            for i in range(1, rows + 1):
                tails = bad_tails if i in bad else good_tails
                yield f"{i}{next(tails)}"

        _write(path, HEADER, rows, lines())
        return len(bad)

    return write


def _records() -> Iterator[str]:
    """Yield records without their id: `, "name": ..., "value": ...}`."""
    rng = random.Random(SEED)
    pool = []
    for _ in range(POOL_ROWS):
        record = json.dumps({"name": rng.choice(NAMES), "value": rng.randint(1, 1000)})
        pool.append(f", {record[1:]}")
    return cycle(pool)


def _json_lines(path: Path, rows: int) -> int:
    _write(path, "", rows, (f'{{"id": {i}{rest}\n' for i, rest in enumerate(_records(), 1)))
    return 0


def _json_array(path: Path, rows: int) -> int:
    def lines() -> Iterator[str]:
        for i, rest in enumerate(_records(), 1):
            comma = "," if i < rows else ""
            yield f'{{"id": {i}{rest}{comma}\n'

    _write(path, "[\n", rows, lines(), "]\n")
    return 0


_WIDE_HEADER = ",".join(["id", *(f"column_{i}" for i in range(2, WIDE_COLUMNS + 1))]) + "\n"

KINDS = (
    Kind("clean", "clean `id,name,value`", "csv", _csv(_plain), times_loader=1.2),
    Kind("foreign", "text beyond ASCII", "csv", _csv(_foreign)),
    Kind(
        "wide",
        f"{WIDE_COLUMNS} columns, some quoted",
        "csv",
        _csv(_wide, _WIDE_HEADER),
        columns=WIDE_COLUMNS,
        rows_share=0.1,
    ),
    Kind("quoted", "every cell quoted", "csv", _quoted),
    Kind("commas", "commas and quotes in some cells", "csv", _csv(_some_commas)),
    Kind("paths", "backslashes (Windows paths)", "csv", _csv(_path)),
    Kind("jsonl", "JSON Lines", "jsonl", _json_lines, times_loader=2.0),
    Kind("json", "JSON array", "json", _json_array, times_loader=2.0),
    Kind("bad1", "1 % bad rows", "csv", _with_bad_rows(0.01), times_clean=1.3),
    Kind("bad10", "10 % bad rows", "csv", _with_bad_rows(0.1), times_clean=2.0),
)
BY_NAME = {kind.name: kind for kind in KINDS}
