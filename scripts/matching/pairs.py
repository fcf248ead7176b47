"""Make pairs of tables with their truth: which column of the one is which of the other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from scripts.matching.concepts import Concept, domains
from scripts.matching.names import NameStyle, header
from scripts.matching.values import Style, make, with_noise, words_of

KINDS = ("export", "standard", "unionable", "view", "joinable", "semantic")
BEFORE = (
    "initial", "final", "previous", "secondary", "planned", "reported", "expected", "days to", "reason for",
    "date of", "age at", "clinical", "other", "maximum", "mean", "new", "prior", "time since", "number of",
)  # fmt: skip
BEHIND = (
    "type", "method", "unit", "comment", "code", "status", "source", "date", "id", "indicator", "score", "group",
    "2", "version", "percent", "duration", "category", "result", "onset", "year", "site", "grade", "present",
)  # fmt: skip
DERIVED_VALUES = (
    "int 1..90", "num 0..100", "bool", "{Yes;No;Unknown;Not Reported}", "date 2010..2024", "text", "id A-999",
    "{A;B;C}", "{Low;Medium;High}", "{Positive;Negative;Unknown}", "{Type 1;Type 2;Other}",
)  # fmt: skip


@dataclass(slots=True)
class Pair:
    """Two tables as columns of values; a standard has columns of unequal lengths."""

    domain: str
    kind: str
    given: dict[str, list[str]]
    wanted: dict[str, list[str]]
    truth: dict[str, str]
    """The given column of each wanted one that has a counterpart."""


@dataclass(frozen=True, slots=True)
class _Values:
    """What the values of a concept have in common on both sides."""

    place: float
    width: float
    variants: tuple[str, str]


def pairs(domain: str, kind: str, count: int, seed: str = "1") -> Iterator[Pair]:
    """Yield `count` pairs of tables of a domain; the same ones for the same arguments."""
    for number in range(count):
        digest = hashlib.sha256(f"{seed}/{domain}/{kind}/{number}".encode()).digest()
        yield _pair(domain, kind, Random(int.from_bytes(digest[:8], "big")))


def _pair(domain: str, kind: str, random: Random) -> Pair:
    concepts = list(domains()[domain])
    random.shuffle(concepts)
    if kind == "standard":
        return _standard(domain, concepts, random)
    size = min(len(concepts), random.randint(6, 40))
    chosen = concepts[:size]
    share = {"export": 0.8, "unionable": 1.0, "view": 0.5, "joinable": 0.35, "semantic": 0.35}[kind]
    both = chosen[: max(1, round(size * share))]
    rest = chosen[len(both) :]
    given, wanted = both + rest[::2], both + rest[1::2]
    if kind != "export":
        return _fabricated(domain, kind, given, wanted, random)
    random.shuffle(given)
    if random.random() < 0.5:
        given, wanted = wanted, given
    given += _derived(given, random.randint(0, 4), random)
    wanted += _derived(wanted, random.randint(0, 4), random)
    styles = NameStyle.some(random, domain), NameStyle.some(random, domain)
    written = Style.some(random), Style.some(random)
    rows = _rows(random), _rows(random)
    return _assembled(domain, kind, (given, wanted), styles, written, rows, random)


def _standard(domain: str, concepts: list[Concept], random: Random) -> Pair:
    """A study, of which a part is in a wide standard that lists the values it permits."""
    known = concepts[: max(4, round(len(concepts) * random.uniform(0.6, 1.0)))]
    size = random.randint(4, min(len(known), 28))
    shared = known[:size]
    foreign = _foreign(domain)
    alone = concepts[len(known) :]
    alone += random.sample(foreign, random.randint(2, 12))
    alone += _derived(shared, random.randint(0, 6), random)
    given = shared + alone[: random.randint(2, 40)]
    random.shuffle(given)
    wanted = known + _derived(known, random.randint(len(known), 7 * len(known)), random)
    if random.random() < 0.5:
        wanted.sort(key=lambda concept: concept.names[0])
    else:
        random.shuffle(wanted)
    styles = NameStyle.some(random, domain), NameStyle.some(random, domain, is_clean=True)
    written = Style.some(random), Style.some(random)
    return _assembled(
        domain, "standard", (given, wanted), styles, written, (_rows(random), -1), random
    )


def _foreign(domain: str) -> list[Concept]:
    """Concepts of the other domains that share no name with one of this."""
    own = {name for concept in domains()[domain] for name in concept.names}
    every = [concept for name in domains() if name != domain for concept in domains()[name]]
    return [concept for concept in every if own.isdisjoint(concept.names)]


def _rows(random: Random) -> int:
    """Mostly some tens; sometimes a few, sometimes a header alone."""
    return random.choice((0, 3, 8, 20, 40, 80, 150, 150, 300))


def _derived(concepts: Sequence[Concept], count: int, random: Random) -> list[Concept]:
    """Columns that are near to others and yet not the same."""
    derived: dict[str, Concept] = {}
    known = {name for concept in concepts for name in concept.names}
    for _ in range(count):
        concept = random.choice(concepts)
        name = concept.names[0]
        words = name.split()
        way = random.random()
        if way < 0.45:
            name = f"{random.choice(BEFORE)} {name}"
        elif way < 0.9 or len(words) < 2:
            name = f"{name} {random.choice(BEHIND)}"
        else:
            other = random.choice(concepts).names[0].split()
            name = " ".join([*words[:-1], *other[-1:], random.choice(BEHIND)])
        # Near names often come with the same kind of values, too.
        values = concept.values[:1] if random.random() < 0.4 else (random.choice(DERIVED_VALUES),)
        # `crop type` may be another name of the crop: then it is not near to it, but the same.
        if name not in known:
            derived.setdefault(name, Concept("derived", (name,), values))
    return list(derived.values())


def _assembled(
    domain: str,
    kind: str,
    concepts: tuple[Sequence[Concept], Sequence[Concept]],
    styles: tuple[NameStyle, NameStyle],
    written: tuple[Style, Style],
    rows: tuple[int, int],
    random: Random,
) -> Pair:
    shared: dict[tuple[str, ...], _Values] = {}
    tables: list[dict[str, list[str]]] = []
    headers: list[dict[tuple[str, ...], str]] = []
    permitted: dict[str, list[str]] = {}
    for side in (0, 1):
        table: dict[str, list[str]] = {}
        by_concept: dict[tuple[str, ...], str] = {}
        for concept in concepts[side]:
            values = shared.setdefault(concept.names, _common(concept, random))
            name = _name_of(concept, kind, side, random)
            column = header(name, styles[side], random)
            if column in table:
                continue
            by_concept[concept.names] = column
            if rows[side] < 0:
                # Columns of one kind of values are alike: none has more to show than its rivals.
                spec = values.variants[side]
                if spec not in permitted:
                    permitted[spec] = _permitted(spec, written[side], random, values)
                table[column] = permitted[spec]
            else:
                table[column] = _some(
                    values.variants[side], rows[side], written[side], random, values
                )
        tables.append(table)
        headers.append(by_concept)
    truth = {headers[1][key]: headers[0][key] for key in headers[1] if key in headers[0]}
    return Pair(domain, kind, tables[0], tables[1], truth)


def _common(concept: Concept, random: Random) -> _Values:
    first = random.choice(concept.values)
    second = first if random.random() < 0.45 else random.choice(concept.values)
    if random.random() < 0.6:
        second = concept.values[0]
    return _Values(random.uniform(0.2, 0.8), random.uniform(0.2, 1.0), (first, second))


def _name_of(concept: Concept, kind: str, side: int, random: Random) -> str:
    if side == 1 and kind in ("standard", "export"):
        return concept.names[0]
    # Two systems seldom have the same name for a thing.
    others = concept.names[1:]
    return random.choice(others) if others and random.random() < 0.8 else concept.names[0]


def _permitted(spec: str, style: Style, random: Random, values: _Values) -> list[str]:
    """What a standard says of a column: each word of a set once, or nothing, or a few numbers."""
    if words := words_of(spec):
        return words
    if spec == "bool":
        return list(random.choice((("Yes", "No", "Unknown"), ("yes", "no", "not reported"))))
    if random.random() < 0.6:
        return []
    return make(spec, 12, style, random, values.place, values.width)


def _some(spec: str, rows: int, style: Style, random: Random, values: _Values) -> list[str]:
    place = min(1.0, max(0.0, values.place + random.gauss(0, 0.05)))
    made = make(spec, rows, style, random, place, values.width)
    missing = random.choice((0.0, 0.0, 0.0, 0.1, 0.4))
    return ["" if random.random() < missing else value for value in made]


def _fabricated(
    domain: str, kind: str, given: list[Concept], wanted: list[Concept], random: Random
) -> Pair:
    """One table cut into two, as benchmarks of schema matching do it."""
    rows = random.choice((20, 60, 150, 300))
    style = Style.some(random)
    every = {concept.names: concept for concept in [*given, *wanted]}
    names = {key: _name_of(concept, kind, 0, random) for key, concept in every.items()}
    cells = {}
    for key, concept in every.items():
        common = _common(concept, random)
        cells[key] = make(common.variants[0], rows, style, random, common.place, common.width)
    plain = NameStyle(random.choice(("snake", "camel", "mixed", "space")), 0.0, "usual", "", 0.0)
    noisy_names = random.random() < 0.5
    noisy = plain
    if noisy_names:
        way = random.choice(("usual", "vowels", "start"))
        noisy = NameStyle(
            plain.join, random.choice((0.5, 1.0)), way, random.choice(("", domain)), 0.0
        )
    # Half of the rows, which overlap or not.
    first = range(0, rows * 3 // 4)
    second = range(rows // 4, rows) if random.random() < 0.5 else range(rows * 3 // 4, rows)
    if kind in ("joinable", "semantic"):
        second = first
    has_noise = kind == "semantic" or (kind in ("unionable", "view") and random.random() < 0.5)
    tables: list[dict[str, list[str]]] = [{}, {}]
    truth = {}
    for concept in given:
        column = header(names[concept.names], plain, random)
        tables[0][column] = [cells[concept.names][i] for i in first]
    given_names = {concept.names for concept in given}
    order = list(wanted)
    if random.random() < 0.5:
        random.shuffle(order)
    for concept in order:
        column = header(names[concept.names], noisy, random)
        if column in tables[1]:
            continue
        values = [cells[concept.names][i] for i in second]
        tables[1][column] = with_noise(values, random, 0.3) if has_noise else values
        source = header(names[concept.names], plain, random)
        if concept.names in given_names and source in tables[0]:
            truth[column] = source
    return Pair(domain, kind, tables[0], tables[1], truth)
