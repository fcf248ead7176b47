"""What is known of a column: gathered from the values of one chunk, merged with what other chunks say, told in the end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from app.profiling.classes import NUMBERS, as_numbers, classify, taken
from app.profiling.dates import PREFIX, formats, sort_key
from app.profiling.personal import KINDS, flags, signs
from app.profiling.sketches import (
    SHOWN_CHARACTERS,
    Distinct,
    Hashes,
    Numbers,
    Shown,
    Top,
    characters,
    hash_texts,
    length_if_cut,
)
from app.profiling.verdict import Verdict, decide, why

Places = npt.NDArray[np.int64]
EXAMPLES = 3
"""Values kept of each class, the first of them."""

SAMPLED, SAMPLED_LATER = 100, 10
"""Distinct values of a chunk in which personal data are looked for: near the beginning of the file, and behind."""
BEGINNING_ROWS = 10_000

PROBED, ALIKE = 1000, 0.9
"""If of so many values more than this share differ, those of the chunk are likely to."""

SHOWN_TOP, SHOWN_AGAINST = 10, 5
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
BARS = 20
JSON_EXPONENT = "exponent"
STRINGS_ALIKE = (*NUMBERS, "exponent", "boolean:lower", "too_long", "too_precise")
"""Classes of what a JSON file would not put in quotes if it were meant."""


class Column(msgspec.Struct):
    """The state of a column; all of it merges."""

    values: int = 0
    """Neither missing nor empty."""
    empty: int = 0
    nulls: int = 0
    classes: dict[str, int] = {}
    examples: dict[str, list[Shown]] = {}
    """By class, with their row numbers."""
    shortest: int = 0
    longest: int = 0
    characters: int = 0
    first: str | None = None
    """The least and the greatest value as texts are compared."""
    last: str | None = None
    dates: dict[str, tuple[str, str]] = {}
    """For each date class and order in which it can be read, the earliest and the latest."""
    distinct: Distinct = msgspec.field(default_factory=Distinct)
    top: Top = msgspec.field(default_factory=Top)
    numbers: Numbers = msgspec.field(default_factory=Numbers)
    signs: dict[str, int] = {}
    looked_at: int = 0
    first_length: int = 0
    last_length: int = 0
    """Characters of `first` and `last`, if they were cut; else 0."""
    unmeasured: int = 0
    """Values without a length: objects and lists."""

    @classmethod
    def of(cls, cells: pa.StringArray, rows: Places, *, json: str = "") -> Column:
        """The column of these cells, null where there is none; `rows` are their row numbers. `json` is "string" or
        "native" for values of a JSON file."""
        column = cls(nulls=cells.null_count)
        if cells.null_count:
            rows = rows[cells.is_valid().to_numpy(zero_copy_only=False).astype(bool)]
            cells = cells.drop_null()
        filled = pc.binary_length(cells).to_numpy(zero_copy_only=False) > 0
        column.values = int(filled.sum())
        column.empty = len(cells) - column.values
        if column.empty:
            cells, rows = cells.filter(pa.array(filled)), rows[filled]
        if column.values:
            texts, hashes, counts, first = _once(cells)
            column._describe(texts, hashes, counts, rows[first], json)
        return column

    def _describe(self, texts: pa.StringArray, hashes: Hashes, counts: Places, rows: Places, json: str) -> None:
        """`texts` are the distinct values as they come, with their hashes, how often each is there, and its first row."""
        codes, names = classify(texts)
        names = [_of_json(name, json) for name in names]
        sums = np.bincount(codes, weights=counts, minlength=len(names))
        for code in np.flatnonzero(sums).tolist():
            self.classes[names[code]] = self.classes.get(names[code], 0) + int(sums[code])
            these = np.flatnonzero(codes == code)
            if names[code].startswith(PREFIX):
                self._dates(names[code], texts, these)
            self.examples.setdefault(names[code], []).extend(
                Shown.of(int(rows[i]), str(texts[i])) for i in these[:EXAMPLES].tolist()
            )
        lengths = characters(texts)
        self.shortest, self.longest = int(lengths.min()), int(lengths.max())
        self.characters = int(lengths @ counts)
        ends = pc.min_max(texts).as_py()
        self._end_with(ends["min"], ends["max"])
        numeric = np.flatnonzero(np.array([name in NUMBERS for name in names])[codes])
        if len(numeric):
            found = taken(texts, numeric)
            self.numbers = Numbers.of(as_numbers(found), found, counts[numeric])
        sample = texts.slice(0, SAMPLED if rows[0] <= BEGINNING_ROWS else SAMPLED_LATER).to_pylist()
        self.signs, self.looked_at = signs(sample), len(sample)
        self.distinct = Distinct.of(hashes)
        self.top = Top.of(texts, hashes, counts)

    @classmethod
    def of_class(cls, name: str, texts: pa.StringArray, rows: Places, *, has_lengths: bool) -> Column:
        """The column of values that are all of this class; those that are equal have equal texts."""
        once, hashes, counts, _ = _once(texts)
        column = cls(values=len(texts), classes={name: len(texts)})
        column.examples = {name: [Shown.of(int(rows[i]), str(texts[i])) for i in range(min(EXAMPLES, len(texts)))]}
        ends = pc.min_max(once).as_py()
        column._end_with(ends["min"], ends["max"])
        column.distinct, column.top = Distinct.of(hashes), Top.of(once, hashes, counts)
        if not has_lengths:
            column.unmeasured = len(texts)
            return column
        lengths = characters(once)
        column.shortest, column.longest = int(lengths.min()), int(lengths.max())
        column.characters = int(lengths @ counts)
        return column

    def _end_with(self, first: str, last: str) -> None:
        self.first, self.first_length = first[:SHOWN_CHARACTERS], length_if_cut(first)
        self.last, self.last_length = last[:SHOWN_CHARACTERS], length_if_cut(last)

    def _dates(self, name: str, texts: pa.StringArray, these: Places) -> None:
        found = taken(texts, these)
        for each in formats([name]):
            if each.order == "ymd" and each.padded:
                ends = pc.min_max(found).as_py()
                low, high = ends["min"], ends["max"]
            else:
                ordered = found.to_pylist()
                low = min(ordered, key=lambda text: sort_key(text, each.order))
                high = max(ordered, key=lambda text: sort_key(text, each.order))
            self.dates[f"{name}>{each.order}"] = (low, high)

    def merged(self, other: Column) -> Column:
        """What both say together; `self` comes before `other` in the file."""
        if not other.values:
            return msgspec.structs.replace(self, empty=self.empty + other.empty, nulls=self.nulls + other.nulls)
        if not self.values:
            return msgspec.structs.replace(other, empty=self.empty + other.empty, nulls=self.nulls + other.nulls)
        first = min((self.first or "", self.first_length), (other.first or "", other.first_length))
        last = max((self.last or "", self.last_length), (other.last or "", other.last_length))
        shortest = [each.shortest for each in (self, other) if each.measured]
        return Column(
            values=self.values + other.values,
            empty=self.empty + other.empty,
            nulls=self.nulls + other.nulls,
            classes=_summed(self.classes, other.classes),
            examples={
                name: sorted([*self.examples.get(name, ()), *other.examples.get(name, ())])[:EXAMPLES]
                for name in {**self.examples, **other.examples}
            },
            shortest=min(shortest, default=0),
            longest=max(self.longest, other.longest),
            characters=self.characters + other.characters,
            first=first[0],
            last=last[0],
            dates=_ends(self.dates, other.dates),
            distinct=self.distinct.merged(other.distinct),
            top=self.top.merged(other.top),
            numbers=self.numbers.merged(other.numbers),
            signs=_summed(self.signs, other.signs),
            looked_at=self.looked_at + other.looked_at,
            first_length=first[1],
            last_length=last[1],
            unmeasured=self.unmeasured + other.unmeasured,
        )

    @property
    def measured(self) -> int:
        """Values that have a length."""
        return self.values - self.unmeasured

    def verdict(self) -> Verdict:
        return decide(self.classes)

    def report(self, name: str, rows: int) -> dict[str, Any]:
        """The column as the profile shows it; a row that has no such key counts as null."""
        verdict = self.verdict()
        is_number = verdict.type == "number"
        (low, low_length), (high, high_length) = self._extremes(verdict)
        samples = self.samples()
        missing = max(0, rows - self.values - self.empty - self.nulls)
        body: dict[str, Any] = {
            "name": name,
            "type": verdict.type,
            "subtype": verdict.subtype,
            "format": verdict.format,
            "reason": verdict.reason,
            "explanation": verdict.explanation,
            "counter_examples": self._counter_examples(verdict),
            "count": self.values,
            "empty": self.empty,
            "nulls": self.nulls + missing,
            "distinct": self.distinct.count(),
            "distinct_is_exact": not self.distinct.is_cut,
            "min": low,
            "max": high,
            "mean": _finite(self.numbers.mean) if is_number else None,
            "stddev": _stddev(self.numbers) if is_number else None,
            "quantiles": {str(q): self.numbers.quantile(q) for q in QUANTILES} if is_number else None,
            "histogram": self.numbers.histogram(BARS) if is_number else None,
            "lengths": {"min": self.shortest, "max": self.longest, "mean": self.characters / self.measured}
            if self.measured
            else None,
            "top": self.top.best(SHOWN_TOP),
            "examples": [each.text for each in samples],
            "truncated": _truncated({"min": [low_length], "max": [high_length]}, samples),
            "classes": dict(sorted(self.classes.items(), key=lambda item: -item[1])),
            "personal_data": self.personal(name),
        }
        return body

    def samples(self) -> list[Shown]:
        """Some values as they are, the first of each class."""
        found = sorted(each for examples in self.examples.values() for each in examples)
        return list({(each.text, each.length): each for each in reversed(found)}.values())[::-1][:SHOWN_AGAINST]

    def known(self) -> list[str]:
        """Its values as far as they are known and whole: of a column of few, all of them."""
        ends = [text for text, length in self._extremes(self.verdict()) if text and not length]
        kept = [*self.top.counts.values(), *(each for found in self.examples.values() for each in found)]
        return sorted({*ends, *(each.text for each in kept if not each.length)})

    @property
    def is_known(self) -> bool:
        """Whether `known` are all of its values."""
        return not self.distinct.is_cut and self.distinct.count() == len(self.known())

    def personal(self, name: str) -> list[str]:
        verdict = self.verdict()
        kinds = flags(name, self.signs, self.looked_at, is_date=verdict.type == "date")
        return [kind for kind in KINDS if kind in kinds]

    def _counter_examples(self, verdict: Verdict) -> list[dict[str, Any]]:
        found = [
            {"row": each.number, "value": each.text, "why": why(name), **each.told()}
            for name in verdict.against
            for each in self.examples.get(name, ())
        ]
        return found[:SHOWN_AGAINST]

    def _extremes(self, verdict: Verdict) -> tuple[End, End]:
        """The least and the greatest value, in the order of the type."""
        if verdict.type == "number" and self.numbers.minimum and self.numbers.maximum:
            return (self.numbers.minimum[1], 0), (self.numbers.maximum[1], 0)
        if verdict.type == "date":
            (found,) = formats([name for name, count in self.classes.items() if count])
            ends = [ends for name, ends in self.dates.items() if name.endswith(f">{found.order}")]
            texts = [text for pair in ends for text in pair]
            low = min(texts, key=lambda text: sort_key(text, found.order))
            high = max(texts, key=lambda text: sort_key(text, found.order))
            return (low, 0), (high, 0)
        return (self.first, self.first_length), (self.last, self.last_length)


def _truncated(lengths: dict[str, list[int]], samples: Sequence[Shown]) -> list[dict[str, Any]]:
    """Which of the values shown are cut, and how long they are."""
    shown = {**lengths, "examples": [each.length for each in samples]}
    return [
        {"member": member, "index": index if member == "examples" else None, "length": length}
        for member, found in shown.items()
        for index, length in enumerate(found)
        if length
    ]


End = tuple[str | None, int]
"""The beginning of a value, and the characters of the whole if it was cut, else 0."""

Once = tuple[pa.StringArray, Hashes, Places, Places]
"""Distinct values as they come, their hashes, how often each is there, and the place of the first."""


def _once(cells: pa.StringArray) -> Once:
    probe = cells.slice(0, PROBED)
    few_alike = len(probe.dictionary_encode().dictionary) > ALIKE * len(probe)
    return (_by_hash(cells) if few_alike else None) or _by_number(cells)


def _by_number(cells: pa.StringArray) -> Once:
    coded = cells.dictionary_encode()
    places = coded.indices.to_numpy(zero_copy_only=False)
    counts = np.bincount(places, minlength=len(coded.dictionary))
    # Values are numbered as they come, so a new one is where the number is higher than ever before.
    first = np.flatnonzero(np.diff(np.maximum.accumulate(places), prepend=-1))
    return coded.dictionary, hash_texts(coded.dictionary), counts, first


def _by_hash(cells: pa.StringArray) -> Once | None:
    """For values of which few are alike: to sort their hashes takes half as long as to number them. None if two that
    differ have one hash."""
    hashes = hash_texts(cells)
    ordered = np.sort(hashes)
    if (ordered[1:] != ordered[:-1]).all():
        return cells, hashes, np.ones(len(cells), np.int64), np.arange(len(cells))
    order = np.argsort(hashes)
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    counts = np.diff(starts, append=len(cells))
    first = np.minimum.reduceat(order, starts)
    again = np.repeat(first, counts)
    twice = np.flatnonzero(order != again)
    if not taken(cells, order[twice]).equals(taken(cells, again[twice])):
        return None
    by_place = np.argsort(first)
    first = first[by_place]
    return taken(cells, first), hashes[first], counts[by_place], first


def _of_json(name: str, json: str) -> str:
    if json == "string" and name in STRINGS_ALIKE:
        return "string"
    if json == "native" and name == JSON_EXPONENT:
        return "decimal"
    return name


def _summed(mine: dict[str, int], theirs: dict[str, int]) -> dict[str, int]:
    return {name: mine.get(name, 0) + theirs.get(name, 0) for name in {**mine, **theirs}}


def _ends(mine: dict[str, tuple[str, str]], theirs: dict[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    merged = dict(mine)
    for name, (low, high) in theirs.items():
        if name not in merged:
            merged[name] = (low, high)
            continue
        order = name.rpartition(">")[2]
        merged[name] = (
            min(merged[name][0], low, key=lambda text: sort_key(text, order)),
            max(merged[name][1], high, key=lambda text: sort_key(text, order)),
        )
    return merged


def _stddev(numbers: Numbers) -> float | None:
    return _finite(float((numbers.squares / (numbers.count - 1)) ** 0.5)) if numbers.count > 1 else None


def _finite(number: float) -> float | None:
    """JSON has no other numbers."""
    return number if math.isfinite(number) else None
