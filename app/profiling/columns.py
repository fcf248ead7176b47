"""Statistics of a column: computed from the values of one chunk, merged with those of other chunks,
and reported in the end.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from app.profiling.classes import NUMBERS, as_numbers, classify, taken
from app.profiling.dates import PREFIX, formats, sort_key
from app.profiling.marks import MARKED, count_marks, decide_marks
from app.profiling.personal import KINDS, flags, signs
from app.profiling.sketches import (
    SHOWN_CHARACTERS,
    WORD_BYTES,
    Distinct,
    Hashes,
    Numbers,
    Shown,
    Top,
    characters,
    hash_texts,
    layout,
    length_if_cut,
)
from app.profiling.verdict import Verdict, decide, why

Places = npt.NDArray[np.int64]
EXAMPLES = 3
"""Number of values kept of each class: the first ones."""

SAMPLED, SAMPLED_LATER = 100, 10
"""Number of distinct values of a chunk that are checked for personal data, near the beginning of
the file and after it.
"""
BEGINNING_ROWS = 10_000

PROBED, ALIKE = 1000, 0.9
"""Number of values to probe, and share of distinct ones above which the chunk's values likely
differ.
"""

BUCKETS_PER_VALUE = 4
MOSTLY_SHARED = 0.9
"""Share of values in a shared bucket above which most values likely have an equal."""

SHOWN_TOP, SHOWN_AGAINST = 10, 5
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
BARS = 20
JSON_EXPONENT = "exponent"
STRINGS_ALIKE = (*NUMBERS, "exponent", "boolean:lower", "too_long", "too_precise")
"""Classes of values that a JSON file would not quote if they were meant as such."""


class Column(msgspec.Struct):
    """State of a column. All of it merges."""

    values: int = 0
    """Number of values that are neither missing nor empty."""
    empty: int = 0
    nulls: int = 0
    classes: dict[str, int] = {}
    examples: dict[str, list[Shown]] = {}
    """First values with their row numbers, by class."""
    shortest: int = 0
    longest: int = 0
    characters: int = 0
    first: str | None = None
    """Least value by comparison as text; `last` is the greatest."""
    last: str | None = None
    dates: dict[str, tuple[str, str]] = {}
    """Earliest and latest date, for each date class and order in which it can be read."""
    distinct: Distinct = msgspec.field(default_factory=Distinct)
    top: Top = msgspec.field(default_factory=Top)
    numbers: Numbers = msgspec.field(default_factory=Numbers)
    signs: dict[str, int] = {}
    looked_at: int = 0
    first_length: int = 0
    last_length: int = 0
    """Number of characters of `first` and `last` if they were cut; else 0."""
    unmeasured: int = 0
    """Number of values without a length: objects and lists."""
    marks: dict[str, int] = {}
    """Number of values that each pair of decimal and thousands marks reads."""

    @classmethod
    def of(cls, cells: pa.StringArray, rows: Places, *, json: str = "") -> Column:
        """Return the column of these cells; a missing value is null, and `rows` are the row
        numbers. `json` is "string" or "native" for values of a JSON file.
        """
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

    def _describe(
        self, texts: pa.StringArray, hashes: Hashes, counts: Places, rows: Places, json: str
    ) -> None:
        """Compute the statistics of distinct values in the order of the rows, from their hashes,
        their counts, and the first row of each.
        """
        codes, names = classify(texts)
        names = [_of_json(name, json) for name in names]
        sums = np.bincount(codes, weights=counts, minlength=len(names))
        for code in np.flatnonzero(sums).tolist():
            name = names[code]
            self.classes[name] = self.classes.get(name, 0) + int(sums[code])
            these = np.flatnonzero(codes == code)
            if name.startswith(PREFIX):
                self._dates(name, texts, these)
            examples = self.examples.setdefault(name, [])
            examples += [Shown.of(int(rows[i]), str(texts[i])) for i in these[:EXAMPLES].tolist()]
        lengths = characters(texts)
        self.shortest, self.longest = int(lengths.min()), int(lengths.max())
        self.characters = int(lengths @ counts)
        ends = pc.min_max(texts).as_py()
        self._end_with(ends["min"], ends["max"])
        is_number = np.array([name in NUMBERS for name in names])
        numeric = np.flatnonzero(is_number[codes])
        if len(numeric):
            numbers = taken(texts, numeric)
            self.numbers = Numbers.of(as_numbers(numbers), numbers, counts[numeric])
        is_marked = np.array([name in MARKED for name in names])
        marked = np.flatnonzero(is_marked[codes])
        if len(marked):
            self.marks = count_marks(taken(texts, marked), pa.array(counts[marked]))
        sampled = SAMPLED if rows[0] <= BEGINNING_ROWS else SAMPLED_LATER
        sample = texts.slice(0, sampled).to_pylist()
        self.signs, self.looked_at = signs(sample), len(sample)
        self.distinct = Distinct.of(hashes)
        self.top = Top.of(texts, hashes, counts)

    @classmethod
    def of_class(
        cls, name: str, texts: pa.StringArray, rows: Places, *, has_lengths: bool
    ) -> Column:
        """Return the column of values that are all of this class; equal values have equal texts."""
        once, hashes, counts, _ = _once(texts)
        column = cls(values=len(texts), classes={name: len(texts)})
        first = range(min(EXAMPLES, len(texts)))
        column.examples = {name: [Shown.of(int(rows[i]), str(texts[i])) for i in first]}
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
        dates = taken(texts, these)
        for date in formats([name]):
            if date.order == "ymd" and date.padded:
                ends = pc.min_max(dates).as_py()
                self.dates[f"{name}>{date.order}"] = (ends["min"], ends["max"])
            else:
                self.dates[f"{name}>{date.order}"] = _first_and_last(dates.to_pylist(), date.order)

    def merged(self, other: Column) -> Column:
        """Return the merged column; `self` comes before `other` in the file."""
        empty, nulls = self.empty + other.empty, self.nulls + other.nulls
        if not other.values:
            return msgspec.structs.replace(self, empty=empty, nulls=nulls)
        if not self.values:
            return msgspec.structs.replace(other, empty=empty, nulls=nulls)
        first = min((self.first or "", self.first_length), (other.first or "", other.first_length))
        last = max((self.last or "", self.last_length), (other.last or "", other.last_length))
        shortest = [column.shortest for column in (self, other) if column.measured]
        return Column(
            values=self.values + other.values,
            empty=empty,
            nulls=nulls,
            classes=_summed(self.classes, other.classes),
            examples=_first_examples(self.examples, other.examples),
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
            marks=_summed(self.marks, other.marks),
        )

    @property
    def measured(self) -> int:
        """Return the number of values that have a length."""
        return self.values - self.unmeasured

    def verdict(self) -> Verdict:
        return decide(self.classes)

    def report(self, name: str, rows: int) -> dict[str, Any]:
        """Return the column as the profile shows it; a row without the key counts as null."""
        verdict = self.verdict()
        numbers = self.numbers if verdict.type == "number" else None
        (low, low_length), (high, high_length) = self._extremes(verdict)
        samples = self.samples()
        missing = max(0, rows - self.values - self.empty - self.nulls)
        return {
            "name": name,
            "type": verdict.type,
            "subtype": verdict.subtype,
            "format": verdict.format,
            "readings": verdict.readings,
            "as_number": self._as_number(),
            "reason": verdict.reason,
            "explanation": verdict.explanation,
            "counter_examples": self._counter_examples(verdict),
            "count": self.values,
            "empty": self.empty,
            "nulls": self.nulls + missing,
            "distinct": min(self.distinct.count(), self.values),  # an estimate may be too large
            "distinct_is_exact": not self.distinct.is_cut,
            "min": low,
            "max": high,
            "mean": _finite(numbers.mean) if numbers else None,
            "stddev": _stddev(numbers) if numbers else None,
            "quantiles": _quantiles(numbers) if numbers else None,
            "histogram": numbers.histogram(BARS) if numbers else None,
            "lengths": self._lengths(),
            "top": self.top.best(SHOWN_TOP),
            "examples": [sample.text for sample in samples],
            "truncated": _truncated(low_length, high_length, samples),
            "classes": dict(sorted(self.classes.items(), key=lambda item: -item[1])),
            "personal_data": self.personal(name),
        }

    def _as_number(self) -> dict[str, str | None] | None:
        marked = decide_marks(self.classes, self.marks)
        if marked is None:
            return None
        return {
            "subtype": marked.subtype,
            "decimal_mark": marked.marks.decimal,
            "thousands_mark": marked.marks.thousands or None,
        }

    def _lengths(self) -> dict[str, float] | None:
        if not self.measured:
            return None
        mean = self.characters / self.measured
        return {"min": self.shortest, "max": self.longest, "mean": mean}

    def samples(self) -> list[Shown]:
        """Return some values unchanged, the first of each class."""
        distinct: dict[tuple[str, int], Shown] = {}
        # Of equal values, show the first row instead of the last.
        for value in sorted(self._all_examples(), reverse=True):
            distinct[value.text, value.length] = value
        return list(distinct.values())[::-1][:SHOWN_AGAINST]

    def _all_examples(self) -> Iterator[Shown]:
        return itertools.chain.from_iterable(self.examples.values())

    def known(self) -> list[str]:
        """Return the known whole values: all values of a column with few."""
        ends = [text for text, length in self._extremes(self.verdict()) if text and not length]
        kept = itertools.chain(self.top.counts.values(), self._all_examples())
        return sorted({*ends, *(value.text for value in kept if not value.length)})

    @property
    def is_known(self) -> bool:
        """Return whether `known` has all values."""
        return not self.distinct.is_cut and self.distinct.count() == len(self.known())

    def personal(self, name: str) -> list[str]:
        verdict = self.verdict()
        kinds = flags(name, self.signs, self.looked_at, is_date=verdict.type == "date")
        return [kind for kind in KINDS if kind in kinds]

    def _counter_examples(self, verdict: Verdict) -> list[dict[str, Any]]:
        against = [
            {"row": value.number, "value": value.text, "why": why(name), **value.omission()}
            for name in verdict.against
            for value in self.examples.get(name, ())
        ]
        return against[:SHOWN_AGAINST]

    def _extremes(self, verdict: Verdict) -> tuple[End, End]:
        """Return the least and the greatest value in the order of the type."""
        if verdict.type == "number" and self.numbers.minimum and self.numbers.maximum:
            return (self.numbers.minimum[1], 0), (self.numbers.maximum[1], 0)
        if verdict.type == "date":
            (date,) = formats([name for name, count in self.classes.items() if count])
            in_order = f">{date.order}"
            texts: list[str] = []
            for name, ends in self.dates.items():
                if name.endswith(in_order):
                    texts += ends
            low, high = _first_and_last(texts, date.order)
            return (low, 0), (high, 0)
        return (self.first, self.first_length), (self.last, self.last_length)


def _truncated(low: int, high: int, samples: Sequence[Shown]) -> list[dict[str, Any]]:
    """Return which of the shown values are cut, and their whole lengths."""
    shown: list[tuple[str, int | None, int]] = [("min", None, low), ("max", None, high)]
    shown += [("examples", index, sample.length) for index, sample in enumerate(samples)]
    return [
        {"member": member, "index": index, "length": length}
        for member, index, length in shown
        if length
    ]


End = tuple[str | None, int]
"""(beginning of a value, number of characters of the whole value if it was cut, else 0)."""

Once = tuple[pa.StringArray, Hashes, Places, Places]
"""(distinct values in the order of the rows, their hashes, their counts, index of the first of
each).
"""


def _once(cells: pa.StringArray) -> Once:
    probe = cells.slice(0, PROBED)
    few_alike = len(probe.dictionary_encode().dictionary) > ALIKE * len(probe)
    return (_by_hash(cells) if few_alike else None) or _by_number(cells)


def _by_number(cells: pa.StringArray) -> Once:
    coded = cells.dictionary_encode()
    places = coded.indices.to_numpy(zero_copy_only=False)
    counts = np.bincount(places, minlength=len(coded.dictionary))
    # Values are numbered in the order of the rows, so a new value has a number higher than all
    # before.
    first = np.flatnonzero(np.diff(np.maximum.accumulate(places), prepend=-1))
    return coded.dictionary, hash_texts(coded.dictionary), counts, first


def _by_hash(cells: pa.StringArray) -> Once | None:
    """Return the distinct values of a chunk with few equal values: comparing hashes takes half as
    long as numbering the values. None if two different values have equal hashes, or if more are
    equal than expected.
    """
    hashes = hash_texts(cells)
    shared = _that_share_a_bucket(hashes)
    if len(shared) > MOSTLY_SHARED * len(cells):
        return None
    # The low bits of a hash hold the place of its value, so one sort shows which values are equal
    # and where they are, in the order of the rows.
    low = np.uint64(len(shared).bit_length())
    ordered = hashes[shared] >> low
    ordered <<= low
    ordered |= np.arange(len(shared), dtype=np.uint64)
    ordered.sort()
    order = shared[(ordered & ((np.uint64(1) << low) - np.uint64(1))).astype(np.int64)]
    ordered >>= low
    is_first = np.ones(len(shared), bool)
    np.not_equal(ordered[1:], ordered[:-1], out=is_first[1:])
    if is_first.all():
        return cells, hashes, np.ones(len(cells), np.int64), np.arange(len(cells))
    starts = np.flatnonzero(is_first)
    counts_by_hash = np.diff(starts, append=len(shared))
    first_by_hash = order[starts]
    again = np.flatnonzero(~is_first)
    firsts = first_by_hash[np.cumsum(is_first)[again] - 1]
    if not _are_equal(cells, hashes, order[again], firsts):
        return None
    counts = np.ones(len(cells), np.int64)
    counts[shared] = 0
    counts[first_by_hash] = counts_by_hash
    first = np.flatnonzero(counts)
    return taken(cells, first), hashes[first], counts[first], first


def _that_share_a_bucket(hashes: Hashes) -> Places:
    """Return the indexes of values that may be equal to another: they share a bucket, of a few
    times as many buckets as values. So the others are known to be unique without a sort.
    """
    bits = (BUCKETS_PER_VALUE * len(hashes)).bit_length()
    buckets = (hashes >> np.uint64(64 - bits)).astype(np.int64)
    sizes = np.bincount(buckets)
    return np.flatnonzero(sizes[buckets] > 1)


def _are_equal(cells: pa.StringArray, hashes: Hashes, some: Places, others: Places) -> bool:
    """Return whether the texts at some indexes equal those at the others."""
    _, offsets = layout(cells)
    lengths = np.diff(offsets)
    longest = max(lengths[some].max(initial=0), lengths[others].max(initial=0))
    if longest > WORD_BYTES:
        return bool(taken(cells, some).equals(taken(cells, others)))
    # Texts of one length, and no longer than a word, never share a hash.
    return bool((hashes[some] == hashes[others]).all() and (lengths[some] == lengths[others]).all())


def _of_json(name: str, json: str) -> str:
    if json == "string" and name in STRINGS_ALIKE:
        return "string"
    if json == "native" and name == JSON_EXPONENT:
        return "decimal"
    return name


def _summed(mine: dict[str, int], theirs: dict[str, int]) -> dict[str, int]:
    return {name: mine.get(name, 0) + theirs.get(name, 0) for name in {**mine, **theirs}}


def _first_examples(
    mine: dict[str, list[Shown]],
    theirs: dict[str, list[Shown]],
) -> dict[str, list[Shown]]:
    examples = {}
    for name in {**mine, **theirs}:
        both = [*mine.get(name, ()), *theirs.get(name, ())]
        examples[name] = sorted(both)[:EXAMPLES]
    return examples


Ends = dict[str, tuple[str, str]]
"""(earliest, latest) by date class and order."""


def _ends(mine: Ends, theirs: Ends) -> Ends:
    merged = dict(mine)
    for name, ends in theirs.items():
        order = name.rpartition(">")[2]
        merged[name] = _first_and_last([*merged.get(name, ()), *ends], order)
    return merged


def _first_and_last(dates: Sequence[str], order: str) -> tuple[str, str]:
    """Return the earliest and the latest date; of equal ones the first."""

    def key(text: str) -> tuple[int, int, int, str]:
        return sort_key(text, order)

    return min(dates, key=key), max(dates, key=key)


def _quantiles(numbers: Numbers) -> dict[str, float]:
    return {str(rank): numbers.quantile(rank) for rank in QUANTILES}


def _stddev(numbers: Numbers) -> float | None:
    if numbers.count < 2:
        return None
    return _finite(float((numbers.squares / (numbers.count - 1)) ** 0.5))


def _finite(number: float) -> float | None:
    """Return the number, or None if it is not finite, which JSON cannot write."""
    return number if math.isfinite(number) else None
