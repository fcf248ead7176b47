"""Expected results of transforms, computed by independent code: Python's csv, decimal, datetime and
re.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

HEADER = ["Customer No", "First", "Last", "Born", "Price", "Quantity", "Country", "Code"]
COUNTRIES = {"Germany": "DE", "France": "FR", "Österreich": "AT"}
MAPPING: dict[str, Any] = {
    "columns": [
        {"name": "id", "from": "Customer No", "steps": [{"operation": "cast", "to": "integer"}]},
        {"name": "name", "from": ["First", "Last"], "steps": [
            {"operation": "join", "separator": " "}, {"operation": "trim"}, {"operation": "case", "to": "upper"}]},
        {"name": "born", "from": "Born", "steps": [{"operation": "parse_date", "format": "%d.%m.%Y"}]},
        {"name": "price", "from": "Price", "steps": [
            {"operation": "cast", "to": "decimal", "scale": 2, "decimal": ",", "thousands": "."}]},
        {"name": "total", "expression": "round(number(Price, ',', '.') * integer(Quantity) * 1.19, 2)"},
        {"name": "country", "from": "Country", "steps": [{"operation": "value_table", "table": COUNTRIES}]},
        {"name": "code", "from": "Code", "steps": [
            {"operation": "replace", "find": "[^0-9A-Z]+", "by": "", "regex": True},
            {"operation": "split", "separator": "0", "part": "last"}]},
        {"name": "source", "constant": 'a "quoted", one'},
        {"name": "big", "expression": "number(Price, ',', '.') >= 1000 and Country != ''"},
    ]
}  # fmt: skip
VALIDATION: dict[str, Any] = {
    "columns": {"id": {"required": True, "unique": True}, "name": {"max_length": 18}, "country": {"enum": ["DE", "FR", "AT"]},
                "price": {"min": 0}},
    "checks": [{"expression": "is_empty(born) or year(born) >= 1900"}],
}  # fmt: skip


@dataclass
class Expected:
    rows: list[list[Any]] = field(default_factory=list)
    """Values of Python, None for an absent one."""
    numbers: list[int] = field(default_factory=list)
    rejects: dict[int, tuple[str, str]] = field(default_factory=dict)
    """(column, code) by row number."""


def dirty_rows(count: int, seed: int) -> list[list[str]]:
    rng = random.Random(seed)
    rows = []
    for i in range(count):
        row = [
            str(rng.choice([i, i, i, i, i - 150, 2**63 - 1 - i])),
            rng.choice(["Ann", " Bob", "Zoë", "", 'D"Arc', "Max\nMaria"]),
            rng.choice(["Lee", "O'Hara ", "von Droste-Hülshoff", "", "Smith, Jr."]),
            (
                f"{rng.randint(1, 28):02}.{rng.randint(1, 12):02}.{rng.randint(1895, 2020)}"
                if rng.random() < 0.9
                else ""
            ),
            _price(rng),
            str(rng.randint(0, 50)),
            rng.choice([*COUNTRIES, *COUNTRIES, *COUNTRIES, ""]),
            f"ab{rng.randint(0, 9999)}-X{rng.randint(0, 99)}é",
        ]
        if rng.random() < 0.08:
            column, wrong = rng.choice(
                [
                    (0, "007"),
                    (0, "12x"),
                    (0, ""),
                    (0, "9223372036854775808"),
                    (3, "31.02.2001"),
                    (3, "1.2.2001"),
                    (4, "1e5"),
                    (4, "1,234"),
                    (4, "12.34,00"),
                    (4, "-3,00"),
                    (5, "1.0"),
                    (6, "germany"),
                ]
            )
            row[column] = wrong
        rows.append(row)
    return rows


def _price(rng: random.Random) -> str:
    cents = rng.randint(0, 5_000_000)
    whole, rest = divmod(cents, 100)
    grouped = f"{whole:,}".replace(",", ".") if rng.random() < 0.5 else str(whole)
    return rng.choice([f"{grouped},{rest:02}", f"{grouped},{rest // 10}", grouped, ""])


def expected(rows: list[list[str]]) -> Expected:
    found = Expected()
    seen: set[int] = set()
    for number, row in enumerate(rows, 1):
        try:
            values = _row(row)
            if values[0] in seen:
                raise Wrong("id", "not_unique")
        except Wrong as wrong:
            found.rejects[number] = (wrong.column, wrong.code)
            continue
        seen.add(values[0])
        found.numbers.append(number)
        found.rows.append(values)
    return found


class Wrong(Exception):
    def __init__(self, column: str, code: str) -> None:
        self.column, self.code = column, code


def _row(row: list[str]) -> list[Any]:
    given = dict(zip(HEADER, row, strict=True))
    id_ = _integer(given["Customer No"], "id")
    name = " ".join(part for part in (given["First"], given["Last"]) if part).strip().upper()
    born = _date(given["Born"])
    amount = _amount(given["Price"], "price")
    if amount is not None and amount != amount.quantize(Decimal("0.01")):
        raise Wrong("price", "too_many_decimals")
    price = None if amount is None else amount.quantize(Decimal("0.01"))
    quantity = _integer(given["Quantity"], "total")
    total = None
    if amount is not None and quantity is not None:
        total = (amount * quantity * Decimal("1.19")).quantize(Decimal("0.01"))
    if given["Country"] and given["Country"] not in COUNTRIES:
        raise Wrong("country", "not_in_table")
    country = COUNTRIES.get(given["Country"])
    code = re.sub("[^0-9A-Z]+", "", given["Code"]).split("0")[-1]
    big = (
        given["Country"] != "" and amount >= 1000
        if amount is not None
        else False
        if given["Country"] == ""
        else None
    )
    if id_ is None:
        raise Wrong("id", "required")
    if len(name) > 18:
        raise Wrong("name", "too_long")
    if price is not None and price < 0:
        raise Wrong("price", "out_of_range")
    if born is not None and born.year < 1900:
        raise Wrong("born", "check_failed")
    return [
        id_,
        name,
        None if born is None else born.date(),
        price,
        total,
        country,
        code,
        'a "quoted", one',
        big,
    ]


def _integer(text: str, column: str) -> int | None:
    if not text:
        return None
    if str(int(text) if text.lstrip("-").isdigit() else "") != text:
        raise Wrong(column, "not_an_integer")
    if not -(2**63) <= int(text) < 2**63:
        raise Wrong(column, "out_of_range")
    return int(text)


def _amount(text: str, column: str) -> Decimal | None:
    if not text:
        return None
    whole, mark, rest = text.partition(",")
    sign = "-" if whole.startswith("-") else ""
    groups = whole.removeprefix("-").split(".")
    plain = "".join(groups)
    regular = len(groups) == 1 or (
        1 <= len(groups[0]) <= 3 and all(len(group) == 3 for group in groups[1:])
    )
    zeros = plain != "0" and plain.startswith("0")
    if not plain.isdigit() or (mark and not rest.isdigit()) or not regular or zeros:
        raise Wrong(column, "not_a_number")
    return Decimal(f"{sign}{plain}.{rest or 0}")


def _date(text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.strptime(text, "%d.%m.%Y")
    except ValueError:
        raise Wrong("born", "not_a_date") from None
    if moment.strftime("%d.%m.%Y") != text:
        raise Wrong("born", "not_a_date")
    return moment
