"""Steps that convert the values of one column to the form of another."""

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
"""Marks that the step `cast` knows."""

_NUMBER_PART = re.compile(r"[0-9](?:.*[0-9])?")
_MARKED = re.compile(r"[0-9]+(?:[.,' _\u00a0\u202f\u2009\u2019][0-9]+)+")
_NOT_DIGIT = re.compile(r"[^0-9]")
_IN_THREES = re.compile(r"[^0-9][0-9]{3}$")
_ONE_GROUP = re.compile(r"[1-9][0-9]{0,2}[^0-9][0-9]{3}")
"""Number that may be a decimal, or whole with a thousands mark."""

_BETWEEN_WORDS = re.compile(
    r"(?<=[^\W\d_])[\s_.,:;/-]+(?=[^\W_])|(?<=[^\W_])[\s_.,:;/-]+(?=[^\W\d_])",
)
_ENDS_IN_NUMBER = re.compile(r"\S\s[0-9][0-9A-Za-z/-]*$")
SAME_WORDS = (
    {"yes", "y", "true", "t", "1", "on", "ja", "oui", "si", "active", "enabled"},
    {"no", "n", "false", "f", "0", "off", "nein", "non", "inactive", "disabled"},
    {"male", "m", "man", "mr", "mann", "männlich", "homme"},
    {"female", "f", "w", "woman", "mrs", "frau", "weiblich", "femme"},
    {"germany", "de", "deu", "deutschland"},
    {"united states", "us", "usa", "united states of america"},
    {"united kingdom", "uk", "gb", "gbr", "great britain"},
    {"france", "fr", "fra", "frankreich"},
    {"austria", "at", "aut", "österreich"},
    {"switzerland", "ch", "che", "schweiz"},
    {"spain", "es", "esp", "spanien"},
    {"italy", "it", "ita", "italien"},
    {"netherlands", "nl", "nld", "niederlande"},
    {"poland", "pl", "pol", "polen"},
    {"cancelled", "canceled", "storniert"},
    {"full time", "ft", "full-time", "vollzeit"},
    {"part time", "pt", "part-time", "teilzeit"},
)


def conversions(source: Side, target: Side) -> list[dict[str, Any]]:
    """Return the steps in their order; none if the values can stay as they are.

    A step that the values do not decide has `"decide": true` and the possible readings.
    """
    if not (source.has_values and target.has_values):
        return []
    steps: list[dict[str, Any]] = []
    classes, target_classes = source.column.classes, target.column.classes
    if classes.get("surrounding_space") and not target_classes.get("surrounding_space"):
        steps.append({"operation": "trim"})
    type_, source_type = target.report["type"], source.report["type"]
    if type_ == "date":
        steps += _date(source, str(target.report["format"]))
    elif type_ == "number" and source_type != "number":
        steps += _number(source)
    elif type_ == "boolean" or _is_set(source, target):
        steps += _table(source, target)
    elif type_ == "text" and source_type != "text":
        if not classes.keys() <= target_classes.keys():
            steps.append({"operation": "cast", "to": "text"})
    elif type_ == "text":
        steps += _case(source, target)
    return steps


def _date(source: Side, target_format: str) -> list[dict[str, Any]]:
    classes = source.column.classes
    dates = [name for name, count in classes.items() if count and name.startswith(PREFIX)]
    possible = [date.pattern for date in formats(dates)] if dates else []
    if possible == [target_format]:
        return []
    step: dict[str, Any] = {"operation": "date_format", "to": target_format}
    if len(possible) == 1:
        return [step | {"from": possible[0]}]
    return [step | {"from": None, "decide": True, "readings": possible}]


def _number(source: Side) -> list[dict[str, Any]]:
    step: dict[str, Any] = {"operation": "cast", "to": "number"}
    values = list(source.shown)
    for examples in source.column.examples.values():
        values += [example.text for example in examples]
    matches = map(_NUMBER_PART.search, values)
    numbers = [match[0] for match in matches if match and _MARKED.fullmatch(match[0])]
    if not numbers:
        return [step]
    if (marks := _marks(numbers)) is None:
        return [step | {"decide": True, "readings": ["decimal", "thousands"]}]
    return [step | {"decimal": marks[0], "thousands": marks[1]}]


def _marks(numbers: list[str]) -> tuple[str, str | None] | None:
    """Return the decimal mark and the thousands mark of numbers with marks; None if they leave it
    open or contradict each other.
    """
    decimal: set[str] = set()
    thousands: set[str] = set()
    silent: set[str] = set()
    for number in numbers:
        first, *marks = _NOT_DIGIT.findall(number)
        if marks and {first} == set(marks):
            if _IN_THREES.search(number):  # else a date or a version
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
    is_clear = not left and decimal | thousands and len(decimal) <= 1 and len(thousands) <= 1
    if not is_clear or decimal & thousands:
        return None
    if decimal - DECIMAL_MARKS or thousands - THOUSANDS_MARKS:
        return None
    group = next(iter(thousands), None)
    usual = "," if group == "." else "."
    return next(iter(decimal), usual), group


def _is_set(source: Side, target: Side) -> bool:
    """Return whether both columns hold categories: a few words that repeat."""
    return _is_category(source) and _is_category(target)


def _is_category(side: Side) -> bool:
    column = side.column
    count = column.distinct.count()
    if not column.is_known or count > TABLE_VALUES:
        return False
    return column.values >= 1.5 * count and side.report["type"] in ("text", "boolean")


def _table(source: Side, target: Side) -> list[dict[str, Any]]:
    """Return the step from each value to the one with the same meaning, as far as that is known."""
    values, targets = _frequent(source), _frequent(target)
    if set(values) <= set(targets):
        return []
    meanings = {value: meaning(value, targets) for value in sorted(values)}
    known = {value: same for value, same in meanings.items() if same}
    unknown = [value for value in meanings if value not in known]
    suggested = {value: near for value in unknown if (near := likely(value, targets))}
    if not known and not suggested:
        return _case(source, target)
    differ_by_case = all(value.lower() == same.lower() for value, same in known.items())
    if not unknown and differ_by_case and (steps := _case(source, target)):
        return steps
    step: dict[str, Any] = {"operation": "value_table", "table": known}
    if unknown:
        step |= {"decide": True, "unknown": unknown}
    if suggested:
        step["suggested"] = suggested
    return [step]


def _frequent(side: Side) -> list[str]:
    return [value.text for value in side.column.top.counts.values()]


def meaning(value: str, among: list[str]) -> str | None:
    """Return the one of these values that surely means the same, or None."""
    lowered = {candidate.strip().lower(): candidate for candidate in among}
    text = value.strip().lower()
    if text in lowered:
        return lowered[text]
    spaced = [same for word, same in lowered.items() if _spaced(word) == _spaced(text)]
    if len(spaced) == 1:
        return spaced[0]
    for group in SAME_WORDS:
        in_group = [same for word, same in lowered.items() if word in group]
        if text in group and in_group:
            return in_group[0]
    if not 1 < len(text) <= 3:
        return None
    abbreviated = [
        same for word, same in lowered.items() if word.startswith(text) or text.startswith(word)
    ]
    return abbreviated[0] if len(abbreviated) == 1 else None


def _spaced(text: str) -> str:
    """Return the text with a space for the signs between its words. Signs at the ends (`A+`) and
    between digits (`1.5`) have a meaning, so they stay.
    """
    return _BETWEEN_WORDS.sub(" ", text)


def likely(value: str, among: list[str]) -> str | None:
    """Return the value that is written much like it, or None. It may mean the contrary, as
    `inactive`, so it is only a suggestion.
    """
    lowered = {candidate.strip().lower(): candidate for candidate in among}
    close = process.extractOne(
        value.strip().lower(),
        list(lowered),
        scorer=fuzz.ratio,
        score_cutoff=85,
    )
    return lowered[close[0]] if close else None


def _case(source: Side, target: Side) -> list[dict[str, Any]]:
    case = _case_of(target)
    if not case or case == _case_of(source) or not _case_matters(source):
        return []
    return [{"operation": "case", "to": case}]


def _case_matters(side: Side) -> bool:
    return any(map(_has_letter, side.shown)) and not side.report["personal_data"]


def _has_letter(value: str) -> bool:
    return any(character.isalpha() for character in value)


def _case_of(side: Side) -> str | None:
    """Return upper, lower or title if all shown values are written so, else None."""
    words = list(filter(_has_letter, side.shown))
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
"""(what a column names, what its parts name, separator of the parts)"""


REST = {"operation": "replace", "find": r"^\s*\S+\s*", "by": "", "regex": True}
"""Step that keeps all but the first word."""
SHOWN_VALUES = 5


def parts_of(wanted: str, among: Sequence[Side]) -> tuple[list[str], dict[str, Any]] | None:
    """Return the columns that this one can be joined or split from, and the step; None if there are
    none.
    """
    name = normal(wanted)
    concept = name.concept if name.is_whole else None
    by_concept: dict[str | None, Side] = {}
    for side in reversed(among):
        if normal(side.name).is_whole:
            by_concept[normal(side.name).concept] = side
    for whole, parts, between in WHOLES:
        has_parts = all(part in by_concept for part in parts)
        if concept == whole and whole != parts[0] and has_parts:
            names = [by_concept[part].name for part in parts]
            return names, {"operation": "join", "separator": between}
        is_part = concept in parts and concept != whole
        other_parts = set(parts) & (by_concept.keys() - {whole})
        if is_part and whole in by_concept and not other_parts:
            source = by_concept[whole]
            is_first, is_name = concept == parts[0], whole != parts[0]
            return [source.name], _split(source, between, is_first=is_first, is_name=is_name)
    return None


def _split(source: Side, between: str, *, is_first: bool, is_name: bool) -> dict[str, Any]:
    """Return the step that takes the first word, or what follows it. If values do not have two words
    each, the step asks which words belong to which part; both parts together still have every word.
    """
    unsure = [
        value
        for value in source.column.known()
        if not _has_two_parts(value, between, is_name=is_name)
    ]
    part = "first" if is_first else "last"
    step: dict[str, Any] = {"operation": "split", "separator": between, "part": part}
    if is_name and not is_first and (unsure or not source.column.is_known):
        step = dict(REST)
    if unsure:
        step |= {"decide": True, "lost": unsure[:SHOWN_VALUES]}
    return step


def _has_two_parts(value: str, between: str, *, is_name: bool) -> bool:
    if is_name:
        return len(value.split(between)) == 2 and value == value.strip()
    return _ENDS_IN_NUMBER.search(value) is not None  # a house number


def of_unsure_parts(wanted: str, values: Sequence[str]) -> list[str]:
    """Return those of the values of which it is open what belongs to this part of them."""
    concept = normal(wanted).concept
    for whole, parts, between in WHOLES:
        if concept in parts:
            is_name = whole != parts[0]
            return [v for v in values if not _has_two_parts(v, between, is_name=is_name)]
    return []
