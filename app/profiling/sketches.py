"""Sketches: summaries of many values in little memory. They merge: those of two chunks say the same
as one of both.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from datasketches import kll_doubles_sketch

Hashes = npt.NDArray[np.uint64]

DISTINCT_KEPT = 1024
"""Number of smallest hashes kept: a distinct count is exact below it, and has a standard error of 3
% above.
"""

TOP_KEPT = 64
"""Number of candidates for the most frequent values."""

SHOWN_CHARACTERS = 200
"""Most characters of a value that is shown; the rest is in the file."""


class Shown(msgspec.Struct, array_like=True, order=True, frozen=True):
    """Beginning of a value, with a number that identifies it."""

    number: int
    """Number of its row, or its least count."""
    text: str
    length: int = 0
    """Number of characters of the whole value if it was cut; else 0."""

    @classmethod
    def of(cls, number: int, text: str) -> Shown:
        return cls(number, text[:SHOWN_CHARACTERS], length_if_cut(text))

    def omission(self) -> dict[str, Any]:
        """Return the members that describe the missing part of a value."""
        return {"truncated": True, "length": self.length} if self.length else {}


def length_if_cut(text: str) -> int:
    return len(text) if len(text) > SHOWN_CHARACTERS else 0


QUANTILES_KEPT = 256
"""Size of a KLL sketch: the rank of a quantile is off by 1.1 % at most, in 99 of 100 cases. The
sketch is random, so two runs may differ by that. (The t-digest of the same library is not random,
but was off by 3 %.)
"""

STEPS = 65_535
WORD_BYTES, WORDS = 8, 4
_ODD = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def layout(values: pa.StringArray) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return (bytes, n + 1 offsets into them) of n texts without nulls."""
    _, offsets, data = values.buffers()
    whole = np.frombuffer(offsets, np.int32)
    places = whole[values.offset : values.offset + len(values) + 1].astype(np.int64)
    if not len(places):
        places = np.zeros(1, np.int64)
    if data is None:
        return np.zeros(0, np.uint8), places
    return np.frombuffer(data, np.uint8)[places[0] : places[-1]], places - places[0]


def characters(values: pa.StringArray) -> npt.NDArray[np.int64]:
    """Return the number of characters of each text."""
    data, offsets = layout(values)
    if data.tobytes().isascii():
        return np.diff(offsets)
    lengths = pc.utf8_length(values)
    return lengths.to_numpy(zero_copy_only=False).astype(np.int64)  # type: ignore[no-any-return]


def hash_texts(values: pa.StringArray) -> Hashes:
    """Return a hash of 64 bits for each text. A fixed function of its bytes: equal on every machine
    and in every version.
    """
    data, offsets = layout(values)
    starts, lengths = offsets[:-1], np.diff(offsets)
    padded = np.concatenate([data, np.zeros(WORD_BYTES, np.uint8)])
    words = np.ndarray((len(padded) - WORD_BYTES + 1,), "<u8", padded, strides=(1,))
    hashes = _mixed(lengths.astype(np.uint64))
    for place in range(0, WORDS * WORD_BYTES, WORD_BYTES):
        active: Any = lengths > place
        if active.all():
            active = slice(None)  # a view of all values costs nothing
        elif not active.any():
            break
        word = words[starts[active] + place]
        unused = 8 * np.maximum(0, WORD_BYTES + place - lengths[active]).astype(np.uint64)
        word <<= unused
        word >>= unused
        word ^= hashes[active]
        hashes[active] = _mixed(word)
    for i in np.flatnonzero(lengths > WORDS * WORD_BYTES).tolist():
        hashes[i] = xxhash.xxh3_64_intdigest(data[starts[i] : offsets[i + 1]].tobytes())
    return hashes


def _mixed(value: Hashes) -> Hashes:
    """Apply the finaliser of SplitMix64: each bit of the result depends on each bit of the
    value.
    """
    value = value + _ODD[0]
    value ^= value >> np.uint64(30)
    value *= _ODD[1]
    value ^= value >> np.uint64(27)
    value *= _ODD[2]
    value ^= value >> np.uint64(31)
    return value


FEW_HASHES = 8 * DISTINCT_KEPT
"""Number of hashes up to which all of them are sorted."""
SPARE = 1.5
"""Number of hashes to sort for each hash that is kept."""


def _ascending(hashes: Hashes) -> Hashes:
    """Return the hashes ascending, without repeats."""
    ordered = np.sort(hashes)  # np.unique would hash, which is slower here
    fresh = np.ones(len(ordered), bool)
    fresh[1:] = ordered[1:] != ordered[:-1]
    return ordered[fresh]


class Distinct(msgspec.Struct):
    """Smallest hashes of a column (k minimum values). They count its distinct values, and compare
    the sets of values of two columns.
    """

    hashes: bytes = b""
    """Hashes of 8 bytes, little-endian, ascending."""
    is_cut: bool = False
    """Whether there were more hashes than are kept."""

    @classmethod
    def of(cls, hashes: Hashes) -> Distinct:
        if len(hashes) > FEW_HASHES:
            # Hashes are spread evenly, so the limit below which most kept hashes are can be
            # computed.
            limit = np.uint64(DISTINCT_KEPT * SPARE * 2.0**64 / len(hashes))
            small = _ascending(hashes[hashes < limit])
            if len(small) > DISTINCT_KEPT:
                return cls(small[:DISTINCT_KEPT].astype("<u8").tobytes(), True)
        smallest = _ascending(hashes)
        return cls(smallest[:DISTINCT_KEPT].astype("<u8").tobytes(), len(smallest) > DISTINCT_KEPT)

    @property
    def values(self) -> Hashes:
        return np.frombuffer(self.hashes, "<u8").astype(np.uint64)

    def merged(self, other: Distinct) -> Distinct:
        both = Distinct.of(np.concatenate([self.values, other.values]))
        limits = [sketch.values[-1] for sketch in (self, other) if sketch.is_cut]
        if not limits:
            return both
        # Above the lower limit one of the two sketches has no hashes.
        kept = both.values[both.values <= min(limits)]
        return Distinct(kept.astype("<u8").tobytes(), True)

    def count(self) -> int:
        """Return the number of distinct values; exact if `is_cut` is false."""
        values = self.values
        if not self.is_cut:
            return len(values)
        return round((len(values) - 1) / (float(values[-1]) / 2.0**64))

    def containment(self, other: Distinct) -> float:
        """Return the share, 0 to 1, of the values here that are also in the other column."""
        mine, theirs = self.values, other.values
        limits = [sketch.values[-1] for sketch in (self, other) if sketch.is_cut]
        if limits:
            mine, theirs = mine[mine <= min(limits)], theirs[theirs <= min(limits)]
        return float(np.isin(mine, theirs).mean()) if len(mine) else 0.0


class Top(msgspec.Struct):
    """Most frequent values (Misra-Gries): a count is at most `error` too low, and 0 means exact."""

    counts: dict[int, Shown] = {}
    """Beginning of each value with its least count, by the hash of the whole value."""
    error: int = 0

    @classmethod
    def of(cls, values: pa.StringArray, hashes: Hashes, counts: npt.NDArray[np.int64]) -> Top:
        """Return the sketch of distinct values with their hashes and counts."""
        error = 0
        if len(counts) > TOP_KEPT:
            # The error is the count of the first value that is not kept. `most` holds, by count,
            # the number of values with at most that count.
            most = np.cumsum(np.bincount(counts))
            error = int(np.searchsorted(most, len(counts) - TOP_KEPT))
        kept = np.flatnonzero(counts > error)
        texts = values.take(pa.array(kept)).to_pylist()
        entries = zip(hashes[kept].tolist(), counts[kept].tolist(), texts, strict=True)
        return cls({key: Shown.of(count - error, text) for key, count, text in entries}, error)

    def merged(self, other: Top) -> Top:
        both = dict(self.counts)
        for key, value in other.counts.items():
            both[key] = _counted(value, both[key].number) if key in both else value
        error = self.error + other.error
        if len(both) > TOP_KEPT:
            surplus = sorted((value.number for value in both.values()), reverse=True)[TOP_KEPT]
            both = {
                key: _counted(value, -surplus)
                for key, value in both.items()
                if value.number > surplus
            }
            error += surplus
        return Top(both, error)

    def best(self, limit: int) -> list[dict[str, Any]]:
        """Return `value`, `count` (at least) and `count_at_most`, the most frequent first."""
        ordered = sorted(
            self.counts.values(),
            key=lambda value: (-value.number, value.text, value.length),
        )
        return [
            {
                "value": value.text,
                "count": value.number,
                "count_at_most": value.number + self.error,
                **value.omission(),
            }
            for value in ordered[:limit]
        ]


def _counted(value: Shown, more: int) -> Shown:
    return Shown(value.number + more, value.text, value.length)


def _nearly_in_order(
    distinct: npt.NDArray[np.float64],
    counts: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Return the values in an order in which most of them ascend: a sketch takes these in half the
    time. `distinct` and `counts` describe the same values.
    """
    if len(distinct) * 4 <= len(values):
        order = np.argsort(distinct)
        return np.repeat(distinct[order], counts[order])
    low = float(values.min())
    span = float(values.max()) - low
    if not 0 < span < math.inf:
        return values
    # A radix sort by 16 bits takes a sixth of the time of a full sort.
    steps = ((values - low) * (STEPS / span)).astype(np.uint16)
    return values[np.argsort(steps, kind="stable")]


class Numbers(msgspec.Struct):
    """Count, mean, spread, quantiles and extremes of numbers."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    """Sum of the squared differences from the mean."""
    minimum: tuple[float, str] | None = None
    """Least value as a number, and as it was written."""
    maximum: tuple[float, str] | None = None
    digest: bytes = b""
    """KLL sketch in bytes."""

    @classmethod
    def of(
        cls, distinct: npt.NDArray[np.float64], texts: pa.StringArray, counts: npt.NDArray[np.int64]
    ) -> Numbers:
        """Return the sketch of the numbers `distinct`, written as `texts`, with their counts."""
        if not len(distinct):
            return cls()
        values = np.repeat(distinct, counts)
        digest = kll_doubles_sketch(QUANTILES_KEPT)
        digest.update(_nearly_in_order(distinct, counts, values))
        lowest, highest = int(distinct.argmin()), int(distinct.argmax())
        minimum = (float(distinct[lowest]), str(texts[lowest]))
        maximum = (float(distinct[highest]), str(texts[highest]))
        # Numbers beyond any double are not finite, and not reported.
        with np.errstate(over="ignore", invalid="ignore"):
            mean = float(values.mean())
            squares = float(np.square(values - mean).sum())
        return cls(len(values), mean, squares, minimum, maximum, digest.serialize())

    def merged(self, other: Numbers) -> Numbers:
        if not (self.count and other.count):
            return self if self.count else other
        digest = kll_doubles_sketch.deserialize(self.digest)
        digest.merge(kll_doubles_sketch.deserialize(other.digest))
        count = self.count + other.count
        apart = other.mean - self.mean
        between = apart * apart * self.count * other.count / count
        return Numbers(
            count,
            self.mean + apart * other.count / count,
            self.squares + other.squares + between,
            min(end for end in (self.minimum, other.minimum) if end),
            max(end for end in (self.maximum, other.maximum) if end),
            digest.serialize(),
        )

    def histogram(self, bars: int) -> dict[str, list[float]] | None:
        """Return `edges` from the least to the greatest, evenly apart, and the share (0 to 1) of
        the values between them; None if all values are equal.
        """
        if self.minimum is None or self.maximum is None:
            return None
        low, high = self.minimum[0], self.maximum[0]
        with np.errstate(over="ignore", invalid="ignore"):
            edges = np.linspace(low, high, bars + 1)
            if not np.isfinite(edges).all() or not (np.diff(edges) > 0).all():
                return None
        shares = kll_doubles_sketch.deserialize(self.digest).get_pmf(edges[1:-1])
        return {"edges": edges.tolist(), "shares": [float(share) for share in shares]}

    def quantile(self, rank: float) -> float:
        return float(kll_doubles_sketch.deserialize(self.digest).get_quantile(rank))
