"""What must be done to the values of one column so that they look like those of another."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from rapidfuzz import fuzz, process

from app.features.mapping.names import normal
from app.features.mapping.values import Side
from app.profiling.dates import PREFIX, formats

TABLE_VALUES = 30
DECIMAL_MARKS, THOUSANDS_MARKS = set(".,"), set(".,' \u00a0\u202f")
"""Those that the step `cast` knows."""

_NUMBER_PART = re.compile(r"[0-9](?:.*[0-9])?")
_MARKED = re.compile(r"[0-9]+(?:[.,' _\u00a0\u202f\u2009\u2019][0-9]+)+")
_NOT_DIGIT = re.compile(r"[^0-9]")
_IN_THREES = re.compile(r"[^0-9][0-9]{3}$")
_ONE_GROUP = re.compile(r"[1-9][0-9]{0,2}[^0-9][0-9]{3}")
"""What may be a decimal, or a whole number with a thousands mark."""

_BETWEEN_WORDS = re.compile(
    r"(?<=[^\W\d_])[\s_.,:;/-]+(?=[^\W_])|(?<=[^\W_])[\s_.,:;/-]+(?=[^\W\d_])",
)
_ENDS_IN_NUMBER = re.compile(r"\S\s[0-9][0-9A-Za-z/-]*$")
SAME_WORDS = (
    {"yes", "y", "true", "t", "1", "on", "ja", "oui", "si", "active", "enabled"},
    {"no", "n", "false", "f", "0", "off", "nein", "non", "inactive", "disabled"},
    {"male", "m", "man", "mr", "mann", "männlich", "homme"},
    {"female", "f", "w", "woman", "mrs", "frau", "weiblich", "femme"},
    {"germany", "de", "deu", "deutschland"}, {"united states", "us", "usa", "united states of america"},
    {"united kingdom", "uk", "gb", "gbr", "great britain"}, {"france", "fr", "fra", "frankreich"},
    {"austria", "at", "aut", "österreich"}, {"switzerland", "ch", "che", "schweiz"}, {"spain", "es", "esp", "spanien"},
    {"italy", "it", "ita", "italien"}, {"netherlands", "nl", "nld", "niederlande"}, {"poland", "pl", "pol", "polen"},
    {"cancelled", "canceled", "storniert"}, {"full time", "ft", "full-time", "vollzeit"},
    {"part time", "pt", "part-time", "teilzeit"},
)  # fmt: skip


def conversions(given: Side, wanted: Side) -> list[dict[str, Any]]:
    """Steps in the order in which they are taken; none if the values can stay as they are. What cannot be told from the
    values is left open: `"decide": true` with the possible readings."""
    if not (given.has_values and wanted.has_values):
        return []
    steps: list[dict[str, Any]] = []
    classes = given.column.classes
    if classes.get("surrounding_space") and not wanted.column.classes.get("surrounding_space"):
        steps.append({"operation": "trim"})
    target = wanted.report
    if target["type"] == "date":
        steps += _date(given, str(target["format"]))
    elif target["type"] == "number" and given.report["type"] != "number":
        steps += _number(given)
    elif target["type"] == "boolean" or _is_set(given, wanted):
        steps += _table(given, wanted)
    elif target["type"] == "text" and given.report["type"] != "text":
        if not given.column.classes.keys() <= wanted.column.classes.keys():
            steps.append({"operation": "cast", "to": "text"})
    elif target["type"] == "text":
        steps += _case(given, wanted)
    return steps


def _date(given: Side, wanted: str) -> list[dict[str, Any]]:
    dates = [name for name, count in given.column.classes.items() if count and name.startswith(PREFIX)]
    possible = [each.pattern for each in formats(dates)] if dates else []
    if possible == [wanted]:
        return []
    step: dict[str, Any] = {"operation": "date_format", "to": wanted}
    if len(possible) == 1:
        return [step | {"from": possible[0]}]
    return [step | {"from": None, "decide": True, "readings": possible}]


def _number(given: Side) -> list[dict[str, Any]]:
    step: dict[str, Any] = {"operation": "cast", "to": "number"}
    examples = [each.text for found in given.column.examples.values() for each in found]
    parts = [found[0] for value in [*given.shown, *examples] if (found := _NUMBER_PART.search(value))]
    numbers = [part for part in parts if _MARKED.fullmatch(part)]
    if not numbers:
        return [step]
    if (marks := _marks(numbers)) is None:
        return [step | {"decide": True, "readings": ["decimal", "thousands"]}]
    return [step | {"decimal": marks[0], "thousands": marks[1]}]


def _marks(numbers: list[str]) -> tuple[str, str | None] | None:
    """The decimal mark and the thousands mark of numbers that have marks; None if they do not tell, or contradict."""
    decimal: set[str] = set()
    thousands: set[str] = set()
    silent: set[str] = set()
    for number in numbers:
        first, *marks = _NOT_DIGIT.findall(number)
        if marks and {first} == set(marks):
            if _IN_THREES.search(number):  # else it is a date or a version
                thousands.add(first)
        elif marks:
            thousands |= {first, *marks[:-1]}
            decimal.add(marks[-1])
        elif not _ONE_GROUP.fullmatch(number):
            decimal.add(first)
        elif first in DECIMAL_MARKS:
            silent.add(first)
        else:
            thousands.add(first)
    # A mark that may be either has the role that no other mark has.
    left = silent - decimal - thousands
    if len(left) == 1 and len(decimal) + len(thousands) == 1:
        (thousands if decimal else decimal).update(left)
        left = set()
    is_told = not left and decimal | thousands and len(decimal) <= 1 and len(thousands) <= 1
    if not is_told or decimal & thousands or decimal - DECIMAL_MARKS or thousands - THOUSANDS_MARKS:
        return None
    group = next(iter(thousands), None)
    return next(iter(decimal), "," if group == "." else "."), group


def _is_set(given: Side, wanted: Side) -> bool:
    """Both hold a few words each, again and again: categories."""
    sides = (given, wanted)
    few = all(s.column.is_known and s.column.distinct.count() <= TABLE_VALUES for s in sides)
    repeated = all(s.column.values >= 1.5 * s.column.distinct.count() for s in sides)
    return few and repeated and all(s.report["type"] in ("text", "boolean") for s in sides)


def _table(given: Side, wanted: Side) -> list[dict[str, Any]]:
    """From each value to the one that means the same, as far as that can be told."""
    sources, targets = ([each.text for each in side.column.top.counts.values()] for side in (given, wanted))
    if set(sources) <= set(targets):
        return []
    found = {source: meaning(source, targets) for source in sorted(sources)}
    open_ = [source for source, target in found.items() if not target]
    suggested = {source: target for source in open_ if (target := likely(source, targets))}
    if not any(found.values()) and not suggested:
        return _case(given, wanted)
    by_case = {source: target for source, target in found.items() if target and source.lower() == target.lower()}
    if len(by_case) == len(found) and (steps := _case(given, wanted)):
        return steps
    step: dict[str, Any] = {"operation": "value_table", "table": {s: t for s, t in found.items() if t}}
    step |= {"decide": True, "unknown": open_} if open_ else {}
    return [step | ({"suggested": suggested} if suggested else {})]


def meaning(value: str, among: list[str]) -> str | None:
    """The one of these values that surely means the same."""
    lowered = {each.strip().lower(): each for each in among}
    text = value.strip().lower()
    if text in lowered:
        return lowered[text]
    spaced = [each for word, each in lowered.items() if _spaced(word) == _spaced(text)]
    if len(spaced) == 1:
        return spaced[0]
    for group in SAME_WORDS:
        if text in group and (same := [each for word, each in lowered.items() if word in group]):
            return same[0]
    starts = [
        each for word, each in lowered.items() if len(text) > 1 and (word.startswith(text) or text.startswith(word))
    ]
    return starts[0] if len(starts) == 1 and len(text) <= 3 else None


def _spaced(text: str) -> str:
    """With a space for whatever parts its words. Signs at the ends (`A+`) and between digits (`1.5`) say something."""
    return _BETWEEN_WORDS.sub(" ", text)


def likely(value: str, among: list[str]) -> str | None:
    """The one that is written much like it. It may mean the contrary, as `inactive`, so it is only a suggestion."""
    lowered = {each.strip().lower(): each for each in among}
    close = process.extractOne(value.strip().lower(), list(lowered), scorer=fuzz.ratio, score_cutoff=85)
    return lowered[close[0]] if close else None


def _case(given: Side, wanted: Side) -> list[dict[str, Any]]:
    mine, theirs = _case_of(given), _case_of(wanted)
    return [{"operation": "case", "to": theirs}] if theirs and mine != theirs and _case_matters(given) else []


def _case_matters(side: Side) -> bool:
    return any(character.isalpha() for value in side.shown for character in value) and not side.report["personal_data"]


def _case_of(side: Side) -> str | None:
    """upper, lower or title, if all values shown are written so."""
    words = [value for value in side.shown if any(character.isalpha() for character in value)]
    if len(words) < 2:
        return None
    for name, check in (("upper", str.isupper), ("lower", str.islower), ("title", str.istitle)):
        if all(check(word) for word in words):
            return name
    return None


WHOLES: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("full_name", ("first_name", "last_name"), " "),
    ("street", ("street", "house_number"), " "),
)
"""A column that others are parts of, those parts, and what stands between them."""


REST = {"operation": "replace", "find": r"^\s*\S+\s*", "by": "", "regex": True}
"""All but the first word."""
SHOWN_VALUES = 5


def parts_of(wanted: str, among: Sequence[Side]) -> tuple[list[str], dict[str, Any]] | None:
    """The columns that this one can be joined from or split from, and how; None if there are none."""
    concept = normal(wanted).concept if normal(wanted).is_whole else None
    by_concept = {normal(side.name).concept: side for side in reversed(among) if normal(side.name).is_whole}
    for whole, parts, between in WHOLES:
        if concept == whole and whole != parts[0] and all(part in by_concept for part in parts):
            return [by_concept[part].name for part in parts], {"operation": "join", "separator": between}
        if (
            concept in parts
            and concept != whole
            and whole in by_concept
            and not set(parts) & (by_concept.keys() - {whole})
        ):
            given = by_concept[whole]
            return [given.name], _split(given, between, is_first=concept == parts[0], is_name=whole != parts[0])
    return None


def _split(given: Side, between: str, *, is_first: bool, is_name: bool) -> dict[str, Any]:
    """The first word, or what is behind it. Where the values do not have two words each, which words belong where is asked;
    what is proposed for both parts together has every word even then."""
    values = given.column.known()
    if is_name:
        unsure = [value for value in values if len(value.split(between)) != 2 or value != value.strip()]
    else:  # a house number
        unsure = [value for value in values if not _ENDS_IN_NUMBER.search(value)]
    step: dict[str, Any] = {"operation": "split", "separator": between, "part": "first" if is_first else "last"}
    if is_name and not is_first and (unsure or not given.column.is_known):
        step = dict(REST)
    return step | ({"decide": True, "lost": unsure[:SHOWN_VALUES]} if unsure else {})
