"""Rows and verdicts of `generate_csv.py --kind people` and `--kind reviews`, block by block."""

import json
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

FIRST_NAMES = (
    "Ada",
    "Alan",
    "Barbara",
    "Dennis",
    "Edsger",
    "Frances",
    "Grace",
    "Hedy",
    "Jean",
    "Katherine",
    "Ken",
    "Linus",
    "Margaret",
    "Niklaus",
    "Radia",
    "Tim",
)
LAST_NAMES = (
    "Adams",
    "Brown",
    "Clark",
    "Davies",
    "Evans",
    "Fisher",
    "Garcia",
    "Hill",
    "Ivanov",
    "Jones",
    "Kim",
    "Lee",
    "Moore",
    "Novak",
    "Olsen",
    "Park",
    "Quinn",
    "Rossi",
    "Silva",
    "Tanaka",
)
DEPARTMENTS = (
    "Engineering",
    "Finance",
    "HR",
    "Legal",
    "Marketing",
    "Operations",
    "Sales",
    "Support",
)
DOMAINS = ("example.com", "example.org", "mail.example.net")
YOUNGEST, OLDEST = 18, 90
REMEMBERED = 1_000
"""Number of clean people that may be repeated."""

BAD_EMAILS = (
    "{0}.example.com",
    "{0}@",
    "@example.com",
    "{0}@@example.com",
    "{0} x@example.com",
    "{0}@example",
    "",
)
BAD_AGES = ("-1", "151", "abc", "", "12.5", "1e2", "NaN")

OPENERS = (
    "This product is amazing",
    "Terrible quality",
    "Average at best",
    "I love it",
    "Not what I hoped for",
    "Exceeded my expectations",
    "Very disappointed",
    "It does the job",
    "Best purchase this year",
    "Would not buy it again",
    "Surprisingly good",
    "Broke after a week",
    "Neither good nor bad",
    "Perfect gift",
    "A waste of money",
)
SUBJECTS = (
    "the screen is bright",
    "the battery dies too soon",
    "the colour is as shown",
    "it arrived late",
    "delivery was quick",
    "the manual is useless",
    "support was kind",
    "nobody answered my calls",
    "the box was open",
    "it feels solid",
    "the smell is awful",
    "my kids adore it",
    "the fit is fine",
    "the price is fair",
    "it is too loud",
)
CLOSERS = (
    "Recommended!",
    "Never again.",
    "We will see.",
    "Five stars",
    "One star",
    'My verdict: "meh"',
    "Thanks, team!",
    "I want my money back!!!",
    "OK for the price.",
    "\U0001f600",
    "",
    "Would buy again",
    "Returned it.",
    "Wow",
)
POPULAR = 500
"""Number of different texts that repeat."""


class Maker(Protocol):
    """Generates a file of one kind, with rows numbered from 1."""

    header: str

    def block(self, first: int, count: int) -> tuple[bytes, bytes]:
        """Return the rows from number `first` on, and their verdict lines."""

    def summary(self) -> dict[str, int] | None:
        """Return the truth about the whole file, if its rows have no verdicts."""


class Person(NamedTuple):
    name: str
    email: str
    age: str
    department: str


def _bad_email(p: Person, draw: int) -> Person:
    return p._replace(email=BAD_EMAILS[draw % len(BAD_EMAILS)].format(p.email.partition("@")[0]))


def _bad_age(p: Person, draw: int) -> Person:
    return p._replace(age=BAD_AGES[draw % len(BAD_AGES)])


def _missing_name(p: Person, draw: int) -> Person:
    return p._replace(name=("", "  ")[draw % 2])


def _two_faults(p: Person, draw: int) -> Person:
    return _bad_age(_missing_name(p, draw), draw)


DIRT: dict[str, tuple[Callable[[Person, int], Person], list[str]]] = {
    "bad_email": (_bad_email, ["email"]),
    "bad_age": (_bad_age, ["age"]),
    "missing_name": (_missing_name, ["name"]),
    "two_faults": (_two_faults, ["name", "age"]),
}
"""How to generate each kind of invalid person, with its invalid fields. Duplicates are generated
elsewhere: they are valid themselves.
"""


class People:
    """name, email, age, department. E-mails are unique except for planted duplicates, whose fields
    all equal those of an earlier row; the e-mail is sometimes in capitals.
    """

    header = "name,email,age,department\n"

    def __init__(self, dirty: float, rng: np.random.Generator) -> None:
        self._dirty, self._rng = dirty, rng
        self._clean: list[tuple[int, Person]] = []

    def block(self, first: int, count: int) -> tuple[bytes, bytes]:
        people = self._people(first, count)
        if not self._dirty:
            return "".join([f"{p[0]},{p[1]},{p[2]},{p[3]}\n" for p in people]).encode(), b""
        kinds = ["clean", *DIRT, "duplicate"]
        odd = self._rng.random(count) < self._dirty
        drawn = np.where(odd, self._rng.integers(1, len(kinds), size=count), 0).tolist()
        draws = self._rng.integers(1 << 30, size=count).tolist()
        lines, truth = [], []
        for number, clean, kind, draw in zip(
            range(first, first + count), people, drawn, draws, strict=True
        ):
            person, said = self._make(number, clean, kinds[kind], draw)
            lines.append(",".join(person) + "\n")
            # No generated name, e-mail, age or department needs an escape in JSON.
            data = '{{"name": "{}", "email": "{}", "age": "{}", "department": "{}"}}'.format(
                *person
            )
            truth.append(f'{{"row": {number}, "line": {number + 1}, {said}, "data": {data}}}\n')
        return "".join(lines).encode(), "".join(truth).encode()

    def summary(self) -> None:
        return None

    def _people(self, first: int, count: int) -> list[Person]:
        def picks(options: tuple[str, ...]) -> list[str]:
            return [options[i] for i in self._rng.integers(len(options), size=count).tolist()]

        ages = self._rng.integers(YOUNGEST, OLDEST, size=count, endpoint=True).tolist()
        columns = zip(
            range(first, first + count),
            picks(FIRST_NAMES),
            picks(LAST_NAMES),
            picks(DOMAINS),
            ages,
            picks(DEPARTMENTS),
            strict=True,
        )
        return [
            Person(
                f"{given} {family}",
                f"{given}.{family}{number}@{domain}".lower(),
                str(age),
                department,
            )
            for number, given, family, domain, age, department in columns
        ]

    def _make(self, number: int, clean: Person, kind: str, draw: int) -> tuple[Person, str]:
        """Return the row, and its verdict as JSON. The first row cannot repeat another one and is
        clean then.
        """
        if kind == "duplicate" and self._clean:
            earlier, person = self._clean[draw % len(self._clean)]
            person = person._replace(email=person.email.upper()) if draw % 3 == 0 else person
            return person, _truth("duplicate", kind, duplicate_of=earlier)
        if kind in DIRT:
            make, fields = DIRT[kind]
            return make(clean, draw), _truth("invalid", kind, fields)
        if len(self._clean) < REMEMBERED:
            self._clean.append((number, clean))
        return clean, CLEAN


def _truth(
    verdict: str, kind: str, fields: Sequence[str] = (), duplicate_of: int | None = None
) -> str:
    known = {"verdict": verdict, "kind": kind, "fields": fields, "duplicate_of": duplicate_of}
    return json.dumps(known)[1:-1]


CLEAN = _truth("valid", "clean")


class Reviews:
    """id, text. A text occurs once, or, at the rate `repeat`, is one of a few hundred that
    repeat.
    """

    header = "id,text\n"

    def __init__(self, repeat: float, rng: np.random.Generator) -> None:
        self._repeat, self._rng = repeat, rng
        self._rows = self._repeated = 0
        self._seen: set[int] = set()
        self._popular = [text.format("") for text in self._texts(POPULAR)]

    def block(self, first: int, count: int) -> tuple[bytes, bytes]:
        texts = self._texts(count)
        returns = (self._rng.random(count) < self._repeat).tolist()
        picks = self._rng.integers(POPULAR, size=count).tolist()
        popular = self._popular
        rows = [
            f'{number},"{popular[pick]}"\n'
            if is_popular
            else f'{number},"{text.format(f" #{number}")}"\n'
            for number, text, is_popular, pick in zip(
                range(first, first + count), texts, returns, picks, strict=True
            )
        ]
        self._rows += count
        self._repeated += sum(returns)
        self._seen.update(
            pick for pick, is_popular in zip(picks, returns, strict=True) if is_popular
        )
        return "".join(rows).encode(), b""

    def summary(self) -> dict[str, int]:
        distinct = {self._popular[pick] for pick in self._seen}
        return {"rows": self._rows, "distinct_texts": self._rows - self._repeated + len(distinct)}

    def _texts(self, count: int) -> list[str]:
        """Return texts quoted for CSV, with a placeholder for what makes a text unique."""

        def picks(options: tuple[str, ...]) -> list[str]:
            return [options[i] for i in self._rng.integers(len(options), size=count).tolist()]

        closers = tuple(closer.replace('"', '""') for closer in CLOSERS)
        joins = picks((", ", ". ", " and ", ", but ", "\n"))
        parts = zip(picks(OPENERS), joins, picks(SUBJECTS), picks(closers), strict=True)
        return [f"{opener}{join}{subject}{{}}. {closer}" for opener, join, subject, closer in parts]
