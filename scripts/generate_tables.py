"""Generate tables of many kinds as CSV, each with its truth: the delimiter, the header, the lines
above and below, and every cell. Tests and `measure_detection.py` compare detection with it.

    python scripts/generate_tables.py -n 20 -o data/tables     # 20 files, and truth.jsonl
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import NamedTuple

from scripts.sample_kinds import DEPARTMENTS, FIRST_NAMES, LAST_NAMES

CITIES = (
    "Amsterdam", "Bergen", "Chicago", "Dakar", "El Paso", "Fukuoka", "Geneva", "Hamburg", "Izmir",
    "Jakarta", "Kyiv", "La Paz", "Madrid", "New York", "Oslo", "Porto", "Quito", "Rio de Janeiro",
    "São Paulo", "Tampere", "Utrecht", "Vienna", "Warsaw", "Xi'an", "York", "Zürich",
)  # fmt: skip
WORDS = (
    "about above again amber anchor apple april autumn balance bridge bright broken button candle "
    "carbon castle center change circle copper corner cotton danger desert dinner double dragon "
    "engine even family farmer flower forest frozen garden gentle golden harbor hollow honest "
    "island jacket kettle ladder letter little marble market meadow middle mirror modern narrow "
    "number office orange parcel pepper pocket purple quiet rabbit record river rocket saddle "
    "school shadow silver simple spring square stable street summer supply system table tunnel "
    "valley velvet village violet water window winter wooden yellow"
).split()
STREETS = ("High Street", "Station Road", "Rue de la Gare", "Hauptstraße", "Via Roma", "5th Avenue")
STATUSES = ("active", "closed", "pending"), ("OPEN", "DONE"), ("Yes", "No"), ("true", "false")
LEVELS = ("low", "medium", "high"), ("A", "B", "C", "D"), ("M", "F"), ("small", "large")
UNITS = ("kg", "m", "USD", "%", "ha", "km²", "EUR", "h")
MISSING = ("", "", "", "n/a", "-", "NULL", "NA")

Cell = Callable[[Random, int], str]


class Column(NamedTuple):
    names: Sequence[str]
    """Usual names of such a column."""
    cell: Cell
    """Returns the cell for a row number."""


@dataclass(frozen=True)
class Style:
    """How one table writes its values."""

    decimal: str
    date: str
    is_grouped: bool


@dataclass(frozen=True)
class Table:
    data: bytes
    delimiter: str
    header_rows: int
    columns: list[str]
    """Empty without a header."""
    rows: list[list[str]]
    above: int
    """Lines above the header or the first row, without blank ones."""
    below: int
    """Records below the last row."""
    kind: str
    """Shape of the table, for the report."""


def columns_of(style: Style, random: Random) -> list[Column]:
    start, step = random.choice([0, 1, 100, 20_001]), random.choice([1, 1, 1, 10])
    status, level = random.choice(STATUSES), random.choice(LEVELS)
    prefix, digits = random.choice(["A", "ID-", "SKU", "X_", ""]), random.randint(3, 7)
    most = 10 ** random.randint(1, 7)
    country = random.choice([("DE", "FR", "US", "JP"), ("Germany", "France", "Japan", "Chile")])

    def whole(random: Random, _row: int) -> str:
        number = random.randrange(most)
        return f"{number:,}" if style.is_grouped and style.decimal == "." else str(number)

    def decimal(random: Random, _row: int) -> str:
        return f"{random.uniform(-most / 10, most):.2f}".replace(".", style.decimal)

    def date(random: Random, _row: int) -> str:
        values = {
            "y": random.randint(1990, 2026),
            "m": random.randint(1, 12),
            "d": random.randint(1, 28),
        }
        return style.date.format(**values)

    def sentence(random: Random, _row: int) -> str:
        text = " ".join(random.choices(WORDS, k=random.randint(4, 14)))
        return text.capitalize() + random.choice([".", "", "!", f", {random.choice(WORDS)}"])

    def person(random: Random, _row: int) -> str:
        return f"{random.choice(FIRST_NAMES)} {random.choice(LAST_NAMES)}"

    def mail(random: Random, _row: int) -> str:
        name = f"{random.choice(FIRST_NAMES)}.{random.choice(LAST_NAMES)}".lower()
        return f"{name}{random.randrange(99)}@example.{random.choice(['com', 'org'])}"

    def guid(random: Random, _row: int) -> str:
        text = f"{random.getrandbits(128):032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def phone(random: Random, _row: int) -> str:
        return f"+{random.randint(1, 99)} {random.randint(100, 999)} {random.randint(10000, 99999)}"

    return [
        Column(("id", "ID", "No.", "row_id", "Nr", "#"), lambda _r, row: str(start + step * row)),
        Column(("amount", "Total", "price", "Betrag", "unit_price", "VALUE"), decimal),
        Column(("count", "Quantity", "population", "Anzahl", "visits", "QTY"), whole),
        Column(("date", "Created At", "Datum", "order_date", "DateOfBirth", "day"), date),
        Column(("time", "start", "Uhrzeit"), lambda r, _: f"{r.randrange(24):02}:{r.randrange(60):02}"),
        Column(("name", "Full Name", "customer", "Kunde", "contact_name"), person),
        Column(("first_name", "Vorname", "given name"), lambda r, _: r.choice(FIRST_NAMES)),
        Column(("last_name", "Surname", "Nachname"), lambda r, _: r.choice(LAST_NAMES)),
        Column(("city", "City", "Ort", "ville", "CITY"), lambda r, _: r.choice(CITIES)),
        Column(("country", "Land", "nation"), lambda r, _: r.choice(country)),
        Column(("email", "E-mail", "mail_address"), mail),
        Column(("status", "State", "is_active"), lambda r, _: r.choice(status)),
        Column(("level", "Class", "grade", "category"), lambda r, _: r.choice(level)),
        Column(("description", "Comment", "note", "Bemerkung", "text"), sentence),
        Column(("code", "sku", "Product Code", "ref"), lambda r, _: f"{prefix}{r.randrange(10**digits):0{digits}}"),
        Column(("guid", "uuid", "key"), guid),
        Column(("share", "rate", "Percent"), lambda r, _: f"{r.uniform(0, 100):.1f}%".replace(".", style.decimal)),
        Column(("url", "Link", "website"), lambda r, _: f"https://example.org/{r.choice(WORDS)}/{r.randrange(999)}"),
        Column(("phone", "Tel.", "mobile_number"), phone),
        Column(("year", "Jahr", "fiscal year"), lambda r, _: str(r.randint(1950, 2026))),
        Column(("lat", "longitude", "x"), lambda r, _: f"{r.uniform(-180, 180):.5f}".replace(".", style.decimal)),
        Column(("department", "Team", "unit"), lambda r, _: r.choice(DEPARTMENTS)),
        Column(("address", "Street", "Straße"), lambda r, _: f"{r.choice(STREETS)} {r.randrange(1, 200)}"),
        Column(("product", "item", "Artikel"), lambda r, _: f"{r.choice(WORDS).title()} {r.choice(WORDS)}"),
    ]  # fmt: skip


def make_table(random: Random) -> Table:
    delimiter = random.choice([*",,,,,;;;\t\t|", ", ", "||", ":", "^", "~"])
    decimal = random.choice(",.") if delimiter in (";", "\t", "|", "||") else "."
    dates = ["{y}-{m:02}-{d:02}", "{d:02}.{m:02}.{y}", "{m}/{d}/{y}", "{y}{m:02}{d:02}"]
    style = Style(decimal, random.choice(dates), random.random() < 0.15)
    width = random.randint(3 if delimiter == ":" else 1, 20)
    kinds = columns_of(style, random)
    chosen = random.choices(kinds, k=width)
    rows = _rows(chosen, random)
    header_rows = random.choice([1, 1, 1, 1, 0])
    if header_rows == 0 and not _can_be_told(chosen, rows):
        header_rows = 1
    header = _header(chosen, random, header_rows)
    measured = sum(map(bool, _units(chosen, Random(0))))
    if len(header) == 1 and measured > 1 and random.random() < 0.15 and len(rows) > 5:
        header.append(_units(chosen, random))
    above = _above(width, delimiter, random) if header and width > 1 else []
    below = _below(width, delimiter, random) if width > 1 and len(rows) > 4 else []
    quoting = _quoting(delimiter, random)
    lines = [quoting(cells) for cells in [*header, *rows]]
    end = random.choice(["\n", "\n", "\r\n"])
    text = end.join([*above, *lines, *below]) + random.choice([end, end, ""])
    kind = f"{len(header)} header rows, {bool(above):d} above, {bool(below):d} below, {delimiter!r}"
    return Table(
        data=text.encode(),
        delimiter=delimiter,
        header_rows=len(header),
        columns=[" ".join(filter(None, names)) for names in zip(*header, strict=True)],
        rows=rows,
        above=sum(line != "" for line in above),
        below=sum(line != "" for line in below),
        kind=kind,
    )


def make_untidy_table(random: Random) -> Table:
    """As offices publish them: lines above and below that are padded or not, an upper row of the
    header with gaps, short rows, titles and totals between the rows, columns without anything.

    `rows` are those of the file, whatever becomes of them.
    """
    delimiter = random.choice(",,;\t")
    style = Style("." if delimiter == "," else random.choice(",."), "{y}-{m:02}-{d:02}", False)
    width = random.randint(3, 14)
    columns = random.choices(columns_of(style, random), k=width)
    rows = _rows(columns, random)
    while len(rows) < 8:
        rows += _rows(columns, random)
    header = _header(columns, random, 1)
    if random.random() < 0.25 and width > 4:
        header = [_groups(width, random), *header]
    notes = _spoil(rows, width, random)
    is_led, is_trailed = random.random() < 0.1, random.random() < 0.15
    lines = [["", *cells] if is_led else cells for cells in [*header, *rows]]
    lines = [[*cells, "", ""] if is_trailed else cells for cells in lines]
    pad = delimiter * (width + is_led + 2 * is_trailed - 1) if random.random() < 0.5 else ""
    above = _titles(pad, random) if random.random() < 0.5 else []
    below = _notes(pad, random) if random.random() < 0.35 else []
    quoting = _quoting(delimiter, random)
    written = [delimiter.join(quoting([cell]) if cell else "" for cell in cells) for cells in lines]
    return Table(
        data=("\r\n".join([*above, *written, *below]) + "\r\n").encode(),
        delimiter=delimiter,
        header_rows=len(header),
        columns=[""] * (width + is_led + 2 * is_trailed),
        rows=rows,
        above=sum(line != "" for line in above),
        below=sum(line != "" for line in below),
        kind=f"untidy: {len(header)} header rows, {len(above)} above, {len(below)} below, {notes}",
    )


def _groups(width: int, random: Random) -> list[str]:
    """The upper row of a header: a name above each second column."""
    names = ("2019", "2020", "Men", "Women", "Total", "Urban")
    return [random.choice(names) if place % 2 else "" for place in range(width)]


def _spoil(rows: list[list[str]], width: int, random: Random) -> str:
    """Shorten some rows and insert others between them; return which."""
    notes = []
    if random.random() < 0.25:
        for place in random.sample(range(len(rows)), max(1, len(rows) // 6)):
            rows[place] = rows[place][: random.randint(2, width)]
        notes.append("short rows")
    if random.random() < 0.25:
        for _ in range(random.randint(1, 3)):
            section = [random.choice(WORDS).title(), *[""] * (width - 1)]
            rows.insert(random.randint(1, len(rows) - 1), section)
        notes.append("sections")
    if random.random() < 0.2:
        rows.insert(random.randint(1, len(rows) - 1), [""] * width)
        notes.append("empty row")
    if random.random() < 0.3:
        rows.append(["Total", *(str(random.randint(1, 9999)) for _ in range(width - 1))])
        notes.append("total")
    return ", ".join(notes) or "regular rows"


def _titles(pad: str, random: Random) -> list[str]:
    titles = [
        " ".join(random.choices(WORDS, k=random.randint(1, 6))).capitalize() + pad
        for _ in range(random.randint(1, 4))
    ]
    return [*titles, pad] if random.random() < 0.5 else titles


def _notes(pad: str, random: Random) -> list[str]:
    notes = [
        random.choice(["Source: ", "* ", "1) ", "Note: ", ""])
        + " ".join(random.choices(WORDS, k=random.randint(5, 12))).capitalize()
        + pad
        for _ in range(random.randint(1, 3))
    ]
    return [random.choice([pad, ""]), *notes] if random.random() < 0.75 else notes


def _rows(columns: Sequence[Column], random: Random) -> list[list[str]]:
    count = random.choice([2, 3, 5, random.randint(4, 80), random.randint(10, 80)])
    gaps = [random.choice([0, 0, 0, 0.05, 0.3]) for _ in columns]
    missing = random.choice(MISSING)
    rows = [
        [
            missing if random.random() < gap else column.cell(random, number)
            for column, gap in zip(columns, gaps, strict=True)
        ]
        for number in range(count)
    ]
    for row in rows:
        if len(columns) == 1 and not row[0]:
            row[0] = columns[0].cell(random, 0)
    return rows


def _can_be_told(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> bool:
    """Return whether a first row of values is recognisable as one: there are numbers or dates, and
    enough rows.
    """
    typed = sum(any(c.isdigit() for c in cell) and " " not in cell for cell in rows[0])
    return typed >= 1 and len(rows) >= 3 and 4 * typed >= len(columns)


def _header(columns: Sequence[Column], random: Random, count: int) -> list[list[str]]:
    if not count:
        return []
    case = random.choice(["", "", "", "upper", "title"])
    names = [random.choice(column.names) for column in columns]
    if case:
        names = [name.upper() if case == "upper" else name.title() for name in names]
    if random.random() < 0.15:  # a table of years, with a name in front
        year = random.randint(1990, 2015)
        names = [names[0], *(str(year + place) for place in range(1, len(names)))]
    if random.random() < 0.1 and len(names) > 2:
        names[0] = ""
    return [names]


def _units(columns: Sequence[Column], random: Random) -> list[str]:
    """Return a row of units for the line below the names."""
    measured = ("amount", "count", "lat", "share")
    return [
        f"({random.choice(UNITS)})" if column.names[0] in measured else "" for column in columns
    ]


def _above(width: int, delimiter: str, random: Random) -> list[str]:
    if random.random() < 0.75:
        return []
    title = " ".join(random.choices(WORDS, k=random.randint(2, 5))).capitalize()
    pad = delimiter.strip() * (width - 1) if random.random() < 0.4 else ""
    if delimiter == ", ":
        pad = ""
    styles = [
        [title + pad],
        [title + pad, "as of " + random.choice(CITIES) + pad],
        [f"# {title}", "# made by hand"],
        [title, ""],
        [title + pad, pad, ""],
    ]
    if width > 2 and len(delimiter) == 1 and delimiter != ":":
        pairs = [f"Owner:{delimiter}Ann", f"From:{delimiter}2024-01-01", ""]
        styles.append(pairs)
    return random.choice(styles)


def _below(width: int, delimiter: str, random: Random) -> list[str]:
    if random.random() < 0.85:
        return []
    pad = delimiter * (width - 1) if random.random() < 0.4 else ""
    note = " ".join(random.choices(WORDS, k=7)).capitalize()
    styles = [
        ["(2 rows affected)"],
        ["", "3 rows selected."],
        ["", f"Source: {note}" + pad],
        [f"* {note}" + pad],
        ["", f"{note}." + pad],
    ]
    return random.choice(styles)


def _quoting(delimiter: str, random: Random) -> Callable[[Sequence[str]], str]:
    quote = "'" if random.random() < 0.05 and delimiter not in ("^", "~") else '"'
    everything = random.random() < (1.0 if quote == "'" else 0.25)
    spaced = delimiter == ","

    def written(cell: str) -> str:
        is_needed = quote in cell or "\n" in cell or delimiter.strip() in cell
        if delimiter == "\t":
            is_needed = quote in cell or "\t" in cell
        if cell and (everything or is_needed):
            return quote + cell.replace(quote, quote * 2) + quote
        return cell

    between = ", " if spaced and everything and random.random() < 0.1 else delimiter
    return lambda cells: between.join(map(written, cells)) if any(cells) else quote * 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", "--number", type=int, default=20, help="how many tables")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder to write to")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    with (arguments.output / "truth.jsonl").open("w", encoding="utf-8") as truth:
        for seed in range(arguments.seed, arguments.seed + arguments.number):
            table = make_table(Random(seed))
            name = f"table_{seed}.csv"
            (arguments.output / name).write_bytes(table.data)
            told = asdict(table)
            del told["data"]
            truth.write(json.dumps({"file": name, **told}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
