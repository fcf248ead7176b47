"""Summaries of many values in little memory, which merge: of two
chunks, or of two halves of one, they say the same."""

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
"""Smallest hashes kept: a distinct count is exact below it, and has a
standard error of 3 % above."""

TOP_KEPT = 64
"""Candidates for the most frequent values."""

SHOWN_CHARACTERS = 200
"""Of a value that is shown; the rest is in the file."""


class Shown(msgspec.Struct, array_like=True, order=True, frozen=True):
    """The beginning of a value, with a number that says which it is."""

    number: int
    """Its row, or how often it is there at least."""
    text: str
    length: int = 0
    """Characters of the whole value, if it was cut; else 0."""

    @classmethod
    def of(cls, number: int, text: str) -> Shown:
        return cls(number, text[:SHOWN_CHARACTERS], length_if_cut(text))

    def told(self) -> dict[str, Any]:
        """Members that say what is left out of a value."""
        return {"truncated": True, "length": self.length} if self.length else {}


def length_if_cut(text: str) -> int:
    return len(text) if len(text) > SHOWN_CHARACTERS else 0


QUANTILES_KEPT = 256
"""Of a KLL sketch: the rank of a quantile is off by 1.1 % at most, in 99 of 100
cases. It draws by lot, so two runs may differ by that. (The t-digest of the
same library, which would not, was off by 3 %.)"""

STEPS = 65_535
WORD_BYTES, WORDS = 8, 4
_ODD = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def layout(values: pa.StringArray) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """(bytes, n + 1 offsets into them) of n texts without nulls."""
    _, offsets, data = values.buffers()
    whole = np.frombuffer(offsets, np.int32)
    places = whole[values.offset : values.offset + len(values) + 1].astype(np.int64)
    if not len(places):
        places = np.zeros(1, np.int64)
    if data is None:
        return np.zeros(0, np.uint8), places
    return np.frombuffer(data, np.uint8)[places[0] : places[-1]], places - places[0]


def characters(values: pa.StringArray) -> npt.NDArray[np.int64]:
    """How many each text has."""
    data, offsets = layout(values)
    if data.tobytes().isascii():
        return np.diff(offsets)
    lengths = pc.utf8_length(values)
    return lengths.to_numpy(zero_copy_only=False).astype(np.int64)  # type: ignore[no-any-return]


def hash_texts(values: pa.StringArray) -> Hashes:
    """64 bits of each text. A fixed function of its bytes: equal on
    every machine and in every version."""
    data, offsets = layout(values)
    starts, lengths = offsets[:-1], np.diff(offsets)
    padded = np.concatenate([data, np.zeros(WORD_BYTES, np.uint8)])
    words = np.ndarray((len(padded) - WORD_BYTES + 1,), "<u8", padded, strides=(1,))
    hashes = _mixed(lengths.astype(np.uint64))
    for place in range(0, WORDS * WORD_BYTES, WORD_BYTES):
        active: Any = lengths > place
        if active.all():
            active = slice(None)  # a view of all is had for nothing
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
    """The finaliser of SplitMix64: each bit of the outcome depends on each bit given."""
    value = value + _ODD[0]
    value ^= value >> np.uint64(30)
    value *= _ODD[1]
    value ^= value >> np.uint64(27)
    value *= _ODD[2]
    value ^= value >> np.uint64(31)
    return value


FEW_HASHES = 8 * DISTINCT_KEPT
"""So many are sorted all."""
SPARE = 1.5
"""Hashes looked at for each that is kept."""


def _ascending(hashes: Hashes) -> Hashes:
    """Each once."""
    ordered = np.sort(hashes)  # np.unique would hash, which is slower here
    fresh = np.ones(len(ordered), bool)
    fresh[1:] = ordered[1:] != ordered[:-1]
    return ordered[fresh]


class Distinct(msgspec.Struct):
    """The smallest hashes (k minimum values): counts distinct values,
    and compares sets of values of two columns."""

    hashes: bytes = b""
    """Ascending, little-endian, 8 bytes each."""
    is_cut: bool = False
    """Whether there were more."""

    @classmethod
    def of(cls, hashes: Hashes) -> Distinct:
        if len(hashes) > FEW_HASHES:
            # They are spread evenly, so most that are kept are below a limit that can be told.
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
        # Above the lower limit one of the two knows nothing.
        kept = both.values[both.values <= min(limits)]
        return Distinct(kept.astype("<u8").tobytes(), True)

    def count(self) -> int:
        """How many distinct values; exact if `is_cut` is false."""
        values = self.values
        if not self.is_cut:
            return len(values)
        return round((len(values) - 1) / (float(values[-1]) / 2.0**64))

    def containment(self, other: Distinct) -> float:
        """Share of the values here that are there too, 0 to 1."""
        mine, theirs = self.values, other.values
        limits = [sketch.values[-1] for sketch in (self, other) if sketch.is_cut]
        if limits:
            mine, theirs = mine[mine <= min(limits)], theirs[theirs <= min(limits)]
        return float(np.isin(mine, theirs).mean()) if len(mine) else 0.0


class Top(msgspec.Struct):
    """The most frequent values (Misra-Gries): a count is at most
    `error` too low, and 0 means exact."""

    counts: dict[int, Shown] = {}
    """By hash of the whole value: how often it is there at least."""
    error: int = 0

    @classmethod
    def of(cls, values: pa.StringArray, hashes: Hashes, counts: npt.NDArray[np.int64]) -> Top:
        """Of distinct values."""
        error = 0
        if len(counts) > TOP_KEPT:
            # The count of the first that is not kept. `most`: how many are there at most so often.
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
        """`value`, `count` (at least) and `count_at_most`, the most frequent first."""
        ordered = sorted(
            self.counts.values(),
            key=lambda value: (-value.number, value.text, value.length),
        )
        return [
            {
                "value": value.text,
                "count": value.number,
                "count_at_most": value.number + self.error,
                **value.told(),
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
    """The values, which are the distinct ones as often as each is there, so that most ascend: a
    sketch takes these in half the time."""
    if len(distinct) * 4 <= len(values):
        order = np.argsort(distinct)
        return np.repeat(distinct[order], counts[order])
    low = float(values.min())
    span = float(values.max()) - low
    if not 0 < span < math.inf:
        return values
    # A radix sort by 16 bits, which takes a sixth of the time of a sort by all of them.
    steps = ((values - low) * (STEPS / span)).astype(np.uint16)
    return values[np.argsort(steps, kind="stable")]


class Numbers(msgspec.Struct):
    """Count, mean, spread, quantiles and the ends of numbers."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    """Sum of the squared differences from the mean."""
    minimum: tuple[float, str] | None = None
    """As a number, and as it was written."""
    maximum: tuple[float, str] | None = None
    digest: bytes = b""
    """A KLL sketch."""

    @classmethod
    def of(
        cls, distinct: npt.NDArray[np.float64], texts: pa.StringArray, counts: npt.NDArray[np.int64]
    ) -> Numbers:
        """`distinct` are the numbers that `texts` say, `counts` how often each is there."""
        if not len(distinct):
            return cls()
        values = np.repeat(distinct, counts)
        digest = kll_doubles_sketch(QUANTILES_KEPT)
        digest.update(_nearly_in_order(distinct, counts, values))
        lowest, highest = int(distinct.argmin()), int(distinct.argmax())
        minimum = (float(distinct[lowest]), str(texts[lowest]))
        maximum = (float(distinct[highest]), str(texts[highest]))
        # Beyond any double they are not finite, and not reported.
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
        """`edges` from the least to the greatest, evenly apart, and the share (0 to 1) of the
        values between them; None if they are all alike."""
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
