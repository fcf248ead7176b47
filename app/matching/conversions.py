"""What must be done to the values of one column so that they look like those of another."""

from __future__ import annotations

from typing import Any

from rapidfuzz import fuzz, process

from app.matching.names import normal
from app.matching.values import Side
from app.profiling.dates import PREFIX, formats

TABLE_VALUES = 30
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
    classes = given.column.classes
    step: dict[str, Any] = {"operation": "cast", "to": "number"}
    shown = [value for value in given.shown if any(character.isdigit() for character in value)]
    if classes.get("decimal_comma") and not classes.get("decimal"):
        return [step | {"decimal": ",", "thousands": "." if any("." in value for value in shown) else None}]
    if classes.get("thousands") or classes.get("unit"):
        commas = [value.rfind(",") > value.rfind(".") for value in shown if "," in value or "." in value]
        if commas and all(commas) and not all(value.rstrip("0123456789")[-4:] == "," for value in shown):
            return [step | {"decimal": ",", "thousands": "."}]
        return [step | {"decimal": ".", "thousands": ","}]
    if classes.get("decimal_or_thousands") or classes.get("comma_or_thousands"):
        return [step | {"decide": True, "readings": ["decimal", "thousands"]}]
    return [step]


def _is_set(given: Side, wanted: Side) -> bool:
    """Both hold a few words each, again and again: categories."""
    sides = (given, wanted)
    few = all(not s.column.distinct.is_cut and s.column.distinct.count() <= TABLE_VALUES for s in sides)
    repeated = all(s.column.values >= 1.5 * s.column.distinct.count() for s in sides)
    return few and repeated and all(s.report["type"] in ("text", "boolean") for s in sides)


def _table(given: Side, wanted: Side) -> list[dict[str, Any]]:
    """From each value to the one that means the same, as far as that can be told."""
    sources, targets = ([text for _, text in side.column.top.counts.values()] for side in (given, wanted))
    if set(sources) <= set(targets):
        return []
    found = {source: meaning(source, targets) for source in sorted(sources)}
    if not any(found.values()):
        return _case(given, wanted)
    by_case = {source: target for source, target in found.items() if target and source.lower() == target.lower()}
    if len(by_case) == len(found) and (steps := _case(given, wanted)):
        return steps
    step: dict[str, Any] = {"operation": "value_table", "table": {s: t for s, t in found.items() if t}}
    open_ = [source for source, target in found.items() if not target]
    return [step | ({"decide": True, "unknown": open_} if open_ else {})]


def meaning(value: str, among: list[str]) -> str | None:
    """The one of these values that means the same."""
    lowered = {each.strip().lower(): each for each in among}
    text = value.strip().lower()
    if text in lowered:
        return lowered[text]
    for group in SAME_WORDS:
        if text in group and (same := [each for word, each in lowered.items() if word in group]):
            return same[0]
    starts = [
        each for word, each in lowered.items() if len(text) > 1 and (word.startswith(text) or text.startswith(word))
    ]
    if len(starts) == 1 and len(text) <= 3:
        return starts[0]
    close = process.extractOne(text, list(lowered), scorer=fuzz.ratio, score_cutoff=85)
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


def parts_of(wanted: str, among: list[str]) -> tuple[list[str], dict[str, Any]] | None:
    """The columns that this one can be joined from or split from, and how; None if there are none."""
    concept = normal(wanted).concept if normal(wanted).is_whole else None
    by_concept = {normal(name).concept: name for name in reversed(among) if normal(name).is_whole}
    for whole, parts, between in WHOLES:
        if concept == whole and whole != parts[0] and all(part in by_concept for part in parts):
            return [by_concept[part] for part in parts], {"operation": "join", "separator": between}
        if (
            concept in parts
            and concept != whole
            and whole in by_concept
            and not set(parts) & (by_concept.keys() - {whole})
        ):
            index = parts.index(concept)
            step = {"operation": "split", "separator": between, "part": "first" if index == 0 else "last"}
            return [by_concept[whole]], step
    return None
