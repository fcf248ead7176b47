"""Rows that repeat a value that must be unique in the whole file. The first row in the order of the
file keeps the value, whatever the order in which chunks were done.

Each chunk writes the keys of its good rows, sorted; when all are done, the keys are compared in
ranges that fit into memory. A key is a 128-bit BLAKE2b of the values: the probability that two
different values of a file of 10^9 rows share a key is 10^-21.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from app.features.transform import values
from app.features.transform.values import Value

KEY = np.dtype([("high", "<u8"), ("low", "<u8"), ("row", "<i8")])
ORDER = ["high", "low", "row"]
KEYS_AT_ONCE = 1_000_000


def keys(
    columns: dict[str, Value], rows: npt.NDArray[np.int64], uniques: Sequence[Sequence[str]]
) -> tuple[bytes, list[int]]:
    """Return the keys of each rule one after the other, and their counts. A row with a missing
    value has no key.
    """
    parts, counts = [], []
    for names in uniques:
        is_complete = np.ones(len(rows), bool)
        for name in names:
            is_complete &= ~values.is_missing(columns[name])
        texts = [
            pc.filter(values.canonical(columns[name]), is_complete).to_pylist() for name in names
        ]
        keys_of_rule = np.empty(int(is_complete.sum()), KEY)
        digests = b"".join([_digest(row) for row in zip(*texts, strict=True)])
        keys_of_rule["high"], keys_of_rule["low"] = np.frombuffer(digests, "<u8").reshape(-1, 2).T
        keys_of_rule["row"] = rows[is_complete]
        parts.append(np.sort(keys_of_rule, order=ORDER).tobytes())
        counts.append(len(keys_of_rule))
    return b"".join(parts), counts


def _digest(row: tuple[str, ...]) -> bytes:
    text = row[0] if len(row) == 1 else "".join(f"{len(value)}:{value}" for value in row)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def find_repeated(
    folder: str, parts: Sequence[tuple[str, Sequence[Sequence[int]]]], total_rows: int
) -> int:
    """Write, for each row of the file that repeats a value, the row that has it first (`first`) and
    the number of the rule (`rule`): sparse files of int64 and uint8 by row number, 0 where nothing
    is repeated. Return the number of these rows.

    `parts` are the names of the key files of the chunks, and for each piece of a file the number of
    keys for each rule.
    """
    root = Path(folder)
    pieces = [piece for name, counts in parts for piece in _pieces(root / name, counts)]
    firsts = _sparse(root / "first", "<i8", total_rows + 1)
    rules = _sparse(root / "rule", "u1", total_rows + 1)
    repeated_rows = 0
    for rule in range(len(pieces[0].counts) if pieces else 0):
        total = sum(piece.counts[rule] for piece in pieces)
        ranges = max(1, -(-total // KEYS_AT_ONCE))
        for index in range(ranges):
            low, high = (1 << 64) * index // ranges, (1 << 64) * (index + 1) // ranges
            keys_here = np.concatenate([piece.keys(rule, low, high) for piece in pieces])
            keys_here.sort(order=ORDER)
            same = _is_like_the_one_before(keys_here)
            starts = np.maximum.accumulate(np.where(same, 0, np.arange(len(same))))
            repeated = keys_here["row"][same]
            new = rules[repeated] == 0
            repeated_rows += int(new.sum())
            firsts[repeated[new]] = keys_here["row"][starts[same]][new]
            rules[repeated[new]] = rule + 1
    firsts.flush()
    rules.flush()
    return repeated_rows


def _is_like_the_one_before(keys_: npt.NDArray[np.void]) -> npt.NDArray[np.bool_]:
    same = np.zeros(len(keys_), bool)
    same[1:] = keys_["high"][1:] == keys_["high"][:-1]
    same[1:] &= keys_["low"][1:] == keys_["low"][:-1]
    return same


def _sparse(path: Path, kind: str, count: int) -> np.memmap[tuple[int], np.dtype[np.generic]]:
    path.unlink(missing_ok=True)
    return np.memmap(path, kind, "w+", shape=(count,))


@dataclass(frozen=True, slots=True)
class _Piece:
    """Keys that were written together: those of each rule sorted, one rule after the other."""

    path: Path
    first: int
    counts: Sequence[int]

    def keys(self, rule: int, low: int, high: int) -> npt.NDArray[np.void]:
        """Return the keys of a rule from `low` up to but not `high`."""
        if not self.counts[rule]:
            return np.empty(0, KEY)
        before = self.first + sum(self.counts[:rule])
        mine = np.memmap(self.path, KEY, "r", before * KEY.itemsize, shape=(self.counts[rule],))
        start = np.searchsorted(mine["high"], np.uint64(low), "left")
        end = len(mine)
        if high < 1 << 64:
            end = int(np.searchsorted(mine["high"], np.uint64(high), "left"))
        return np.array(mine[start:end])


def _pieces(path: Path, counts: Sequence[Sequence[int]]) -> list[_Piece]:
    pieces = []
    first = 0
    for of_piece in counts:
        pieces.append(_Piece(path, first, of_piece))
        first += sum(of_piece)
    return pieces
