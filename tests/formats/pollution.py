"""One table with one mistake at a time, as real files have them: another delimiter, quote, escape or
line end, in the whole file or in one row; lines above and below; more or fewer cells in a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

HEADER = ("DATE", "TIME", "Qty", "PRODUCTID", "Price", "Type", "Description", "URL", "Comments")
END = "\r\n"
ROW_COUNT = 83
PLACES = (0, 1, 40, ROW_COUNT - 1)
"""Rows that get a mistake."""


@dataclass(frozen=True)
class Polluted:
    name: str
    text: str
    header: tuple[str, ...]
    """Empty if the file has no header."""
    rows: list[list[str]]
    """Rows that must be read, in order."""
    may_change: frozenset[int] = frozenset()
    """Places of rows that may be rejected or read in another way."""


def _row(place: int) -> list[str]:
    random = Random(place)
    return [
        f"{random.randint(1, 12):02}/{random.randint(1, 28):02}/2018",
        f"{random.randint(0, 23):02}:{random.randint(0, 59):02}",
        str(random.randint(1, 9)),
        f"ID-{random.randint(10, 9999)}",
        f"{random.randint(1, 90)}.{random.randint(10, 99)}",
        random.choice(["Toy", "Garden tool", "Book, used", "Lamp"]),
        random.choice(["A nice thing", "Wooden; old", 'Shiny "new" item', "Plain"]),
        f"http://shop.com/{random.randint(1, 99)}",
        random.choice(["none", "good", 'wrote: "ok"', "see note"]),
    ]


ROWS = [_row(place) for place in range(ROW_COUNT)]


def _line(
    cells: Sequence[str],
    delimiter: str = ",",
    quote: str = '"',
    escape: str = "",
    *,
    always: bool = False,
) -> str:
    def written(cell: str) -> str:
        if not always and delimiter not in cell and quote not in cell:
            return cell
        return quote + cell.replace(quote, (escape or quote) + quote) + quote

    return delimiter.join(map(written, cells))


def _lines(rows: Sequence[Sequence[str]] = (HEADER, *ROWS), **style: object) -> list[str]:
    return [_line(cells, **style) for cells in rows]  # type: ignore[arg-type]


def _text(lines: Sequence[str], end: str = END) -> str:
    return end.join(lines) + end


def _whole_files() -> list[Polluted]:
    plain = _text(_lines())
    sentences = [f"This file was exported by the system, part {part}{END}" for part in range(3)]
    padding = "," * (len(HEADER) - 1) + END
    texts = {
        "nothing": plain,
        "semicolons": _text(_lines(delimiter=";")),
        "tabs": _text(_lines(delimiter="\t")),
        "bars": _text(_lines(delimiter="|")),
        "commas with a space": _text(_lines(delimiter=", ")),
        "carets": _text(_lines(delimiter="^")),
        "apostrophes": _text(_lines(quote="'")),
        "quotes everywhere": _text(_lines(always=True)),
        "backslashes": _text(_lines(escape="\\")),
        "backslashes and quotes everywhere": _text(_lines(escape="\\", always=True)),
        "LF": _text(_lines(), "\n"),
        "CR": _text(_lines(), "\r"),
        "no line end at the end": plain.removesuffix(END),
        "blank lines at the end": plain + END * 2,
        "a byte order mark": "\ufeff" + plain,
        "a sentence above": sentences[0] + plain,
        "two sentences above": "".join(sentences[:2]) + plain,
        "three sentences above": "".join(sentences) + plain,
        "a padded title": "Title" + padding + plain,
        "a title and a blank line": "Exported data" + END * 2 + plain,
        "an empty line of delimiters": padding + plain,
        "a note below": plain + "Source: shop" + END,
        "a padded note below": plain + "Source: shop" + padding,
        "a note below a blank line": plain + END + "Source: the shop, 2018" + END,
        "the header twice": _line(HEADER) + END + plain,
        "the header three times": (_line(HEADER) + END) * 2 + plain,
    }
    files = [Polluted(name, text, HEADER, ROWS) for name, text in texts.items()]
    return [
        *files,
        Polluted("no header", _text(_lines(ROWS)), (), ROWS),
        Polluted("only a header", _text([_line(HEADER)]), HEADER, []),
        Polluted("one row", _text(_lines([HEADER, ROWS[0]])), HEADER, ROWS[:1]),
        Polluted("two rows without a header", _text(_lines(ROWS[:2])), (), ROWS[:2]),
    ]


def _headers() -> list[Polluted]:
    headers = {
        "an empty name": (*HEADER[:4], "", *HEADER[5:]),
        "a name twice": ("DATE", "DATE", *HEADER[2:]),
        "a long name": (*HEADER[:8], "x" * 300),
    }
    files = []
    for name, header in headers.items():
        names = tuple(cell or f"column_{place}" for place, cell in enumerate(header, 1))
        names = ("DATE", "DATE_2", *names[2:]) if name == "a name twice" else names
        files.append(Polluted(name, _text(_lines([header, *ROWS])), names, ROWS))
    for count in (1, 2):
        more = [f"column_{len(HEADER) + number}" for number in range(1, count + 1)]
        text = _text([line + "," * count for line in _lines()])
        rows = [row + [""] * count for row in ROWS]
        files.append(Polluted(f"{count} empty columns", text, (*HEADER, *more), rows))
    return files


def _single_rows(place: int) -> list[Polluted]:
    row = ROWS[place]
    quoted = _line(row, always=True)
    lines = {
        "a delimiter less": _line([*row[:3], row[3] + row[4], *row[5:]]),
        "a cell less": _line(row[:-1]),
        "an empty cell more": _line([*row[:4], "", *row[4:]]),
        "a cell more": _line([*row, "surplus"]),
        "semicolons": _line(row, ";"),
        "tabs": _line(row, "\t"),
        "bars": _line(row, "|"),
        "spaces behind commas": _line(row, ", "),
        "apostrophes": _line(row, quote="'", always=True),
        "an open quote": _line(row).replace(",", ',"', 1),
        "a quote inside a cell": _line(row).replace(row[3], 'ID"5', 1),
        "backslashes": _line(row, escape="\\", always=True),
    }
    files = []
    for name, line in lines.items():
        all_lines = _lines()
        all_lines[place + 1] = line
        title = f"{name} in row {place + 1}"
        others = frozenset({place})
        files.append(Polluted(title, _text(all_lines), HEADER, ROWS, others))
    same = {"quotes everywhere": quoted + END, "LF": _line(row) + "\n"}
    for name, line in same.items():
        before, after = _text(_lines()[: place + 1]), "".join(map(_with_end, _lines()[place + 2 :]))
        files.append(Polluted(f"{name} in row {place + 1}", before + line + after, HEADER, ROWS))
    return files


def _with_end(line: str) -> str:
    return line + END


def polluted_files() -> list[Polluted]:
    """Return the table with each mistake."""
    files = [*_whole_files(), *_headers()]
    for place in PLACES:
        files += _single_rows(place)
    return files
