"""Make the values of a column from a kind of values such as `int 1..90` or `{Yes;No}`."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from random import Random

FIRST = "Ann Bob Carl Dora Eve Finn Gina Hans Ida Jan Kim Lena Mia Noah Omar Petra Quinn Rosa Sam Tina".split()
LAST = "Ash Berg Cole Diaz Ellis Ford Gold Hahn Ito Jones Khan Lopez Meyer Novak Ortega Price Ruiz Silva Vogel Young".split()
CITIES = [
    "Berlin", "Boston", "Paris", "Lyon", "Madrid", "Oslo", "Leeds", "York", "Austin", "Denver", "Rome", "Milan",
    "Vienna", "Graz", "Zurich", "Prague", "Lisbon", "Dublin", "Osaka", "Delhi", "Lima", "Quito", "Cairo", "Accra",
]  # fmt: skip
COUNTRIES = [
    "Germany",
    "France",
    "Spain",
    "United States",
    "Japan",
    "India",
    "Brazil",
    "Kenya",
    "Italy",
    "Canada",
]
STATES = ["CA", "TX", "NY", "CO", "WA", "IL", "GA", "OH", "Bavaria", "Hesse", "Ontario", "Kent"]
COMPANIES = [
    f"{first} {last}"
    for first in ("Acme", "Globex", "Nord", "Vega", "Alpha", "Delta", "Blue", "Iron")
    for last in ("Ltd", "GmbH", "Inc", "Foods", "Group")
]
STREETS = [
    f"{first} {last}"
    for first in ("Main", "Oak", "Park", "Mill", "High", "Station", "Lake", "Hill")
    for last in ("St", "Road", "Lane", "Ave")
]
PRODUCTS = [
    f"{first} {last}"
    for first in ("Red", "Steel", "Mini", "Pro", "Classic", "Eco", "Smart")
    for last in ("mug", "chair", "pump", "lamp", "phone", "cable", "valve")
]
TITLES = [
    f"The {first} {last}"
    for first in ("Last", "Silent", "Golden", "Broken", "Hidden", "Long")
    for last in ("River", "Night", "Garden", "Road", "Song", "Winter")
]
WORDS = "amber birch cedar delta ember falcon glade harbor iris juniper kestrel lotus maple nova onyx pearl quartz raven".split()
SCHOOLS = [f"{a} {b}" for a in CITIES[:12] for b in ("High School", "College", "University")]
LISTS = {
    "first": FIRST, "last": LAST, "city": CITIES, "country": COUNTRIES, "company": COMPANIES, "product": PRODUCTS,
    "title": TITLES, "word": WORDS, "school": SCHOOLS, "state": STATES,
}  # fmt: skip
BOOLEANS = (("yes", "no"), ("Y", "N"), ("true", "false"), ("1", "0"), ("Yes", "No"), ("t", "f"))
DATE_FORMATS = ("%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y")
TIME_FORMATS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%d.%m.%Y %H:%M")


@dataclass(frozen=True, slots=True)
class Style:
    """How a system writes its values."""

    date: str
    time: str
    boolean: tuple[str, str]
    decimals: int
    case: str
    """`as_is`, `lower` or `upper`, for words of a set."""

    @classmethod
    def some(cls, random: Random) -> Style:
        return cls(
            random.choice(DATE_FORMATS),
            random.choice(TIME_FORMATS),
            random.choice(BOOLEANS),
            random.choice((0, 1, 2, 2, 3)),
            random.choice(("as_is", "as_is", "as_is", "lower", "upper")),
        )


def words_of(spec: str) -> list[str]:
    """Return the words of a set; empty if the kind is no set."""
    return spec[1:-1].split(";") if spec.startswith("{") else []


def make(
    spec: str, rows: int, style: Style, random: Random, place: float, width: float
) -> list[str]:
    """Return `rows` values. Numbers are around `place` of their range, in `width` of it, 0 to 1."""
    if words := words_of(spec):
        return _of_set(words, rows, style, random)
    kind, _, rest = spec.partition(" ")
    if kind in ("int", "num", "date", "datetime"):
        low, high = (float(end) for end in rest.split(".."))
        middle = low + (high - low) * place
        spread = (high - low) * width / 2
        ends = max(low, middle - spread), min(high, middle + spread)
        points = [random.uniform(*ends) for _ in range(rows)]
        if kind == "int":
            return [str(round(point)) for point in points]
        if kind == "num":
            return [f"{point:.{style.decimals}f}" for point in points]
        form = style.date if kind == "date" else style.time
        start = dt.datetime(2000, 1, 1)
        return [
            (start + dt.timedelta(days=(point - 2000) * 365.25)).strftime(form) for point in points
        ]
    return [_one(kind, rest, style, random) for _ in range(rows)]


def _of_set(words: list[str], rows: int, style: Style, random: Random) -> list[str]:
    weights = [random.random() ** 2 + 0.02 for _ in words]
    chosen = random.choices(words, weights, k=rows)
    if style.case == "lower":
        return [word.lower() for word in chosen]
    return [word.upper() for word in chosen] if style.case == "upper" else chosen


def _one(kind: str, rest: str, style: Style, random: Random) -> str:
    if kind == "id":
        return "".join(_sign(sign, random) for sign in rest)
    if kind in LISTS:
        return random.choice(LISTS[kind])
    if kind == "person":
        return f"{random.choice(FIRST)} {random.choice(LAST)}"
    if kind == "street":
        return f"{random.randint(1, 999)} {random.choice(STREETS)}"
    if kind == "email":
        name = random.choice(FIRST).lower()
        return f"{name}{random.randint(1, 99)}@{random.choice(WORDS)}.example"
    if kind == "phone":
        return f"+{random.randint(1, 60)} {random.randint(100, 999)} {random.randint(1000000, 9999999)}"
    if kind == "url":
        return f"https://{random.choice(WORDS)}.example/{random.choice(WORDS)}"
    if kind == "zip":
        return f"{random.randint(1000, 99999):05d}"
    if kind == "year":
        return str(random.randint(1950, 2024))
    if kind == "time":
        return f"{random.randint(0, 9)}:{random.randint(0, 59):02d}"
    if kind == "bool":
        return random.choice(style.boolean)
    if kind == "text":
        return " ".join(random.choices(WORDS, k=random.randint(4, 12)))
    raise ValueError(f"unknown kind of values: {kind!r}")


def _sign(sign: str, random: Random) -> str:
    if sign == "9":
        return str(random.randint(0, 9))
    if sign in ("A", "a"):
        letter = random.choice("ABCDEFGHKLMNPRSTW")
        return letter if sign == "A" else letter.lower()
    return sign


def with_noise(values: list[str], random: Random, share: float) -> list[str]:
    """Return the values with typing errors in a share of them, and numbers a little off."""
    noisy = []
    for value in values:
        if not value or random.random() >= share:
            noisy.append(value)
            continue
        try:
            noisy.append(f"{float(value) * random.gauss(1, 0.05):.2f}")
        except ValueError:
            cut = random.randrange(len(value))
            noisy.append(value[:cut] + random.choice("aeinrst ") + value[cut + 1 :])
    return noisy
