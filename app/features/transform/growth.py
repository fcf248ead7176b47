"""Growth of texts: the lengths of the results of a step, known before the step, so that it never
takes more memory than allowed.

A result longer than MAX_VALUE_BYTES is never computed, and its row is rejected. If the results of
many rows together take more than MAX_HELD_BYTES, TooMuch is raised, and the caller takes fewer rows
at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Mask = npt.NDArray[np.bool_]
Lengths = npt.NDArray[np.int64]

MAX_VALUE_BYTES = 16 << 20
"""Limit of one value, and of all values of a row together, in bytes: the limit of a record of a
file.
"""

MAX_HELD_BYTES = 64 << 20
"""Limit of all values held while rows are transformed, in bytes. MAX_HELD_OF_ONE is the limit for a
row alone.
"""
MAX_HELD_OF_ONE = 16 * MAX_VALUE_BYTES

SURELY_FINE = MAX_VALUE_BYTES // 2
"""Results of so few bytes together need no measuring."""

CASE_GROWTH = 2
"""Most growth of a text in the other case. Some letters take more bytes, as `ɐ` and `Ɐ`, but never
twice as many.
"""

VALUE_TOO_LONG = "value_too_long"
LONGER = f"The value would be longer than {MAX_VALUE_BYTES} bytes."
MORE_TO_HOLD = f"Calculating the value would take more than {MAX_HELD_OF_ONE} bytes of memory."
ROW_TOO_LARGE = "row_too_large"
ROW_LONGER = f"Together the values of the row would be longer than {MAX_VALUE_BYTES} bytes."
NO_TEXT = pa.scalar(None, pa.string())
Note = Callable[[Mask], None]
"""Function that marks the rows whose results would be too long."""

_REFERENCE = re.compile(r"\\(.)")


class TooMuch(Exception):
    """These rows take too much memory together. About `rows` of them would fit."""

    def __init__(self, rows: int) -> None:
        super().__init__(rows)
        self.rows = rows


@dataclass(slots=True)
class Memory:
    """Bytes held of the values of some rows."""

    rows: int
    kept: int = 0
    """Bytes of finished columns of the output."""
    taken: int = 0
    """Bytes of the current column."""
    column: str = ""
    """Name of the current column."""

    def begin(self, column: str) -> None:
        """Begin another column or another step: intermediate values are released."""
        self.column, self.taken = column, 0

    def take(self, size: int) -> None:
        """Reserve bytes for values about to be computed. Raises TooMuch."""
        self.taken += size
        held = self.kept + self.taken
        most = MAX_HELD_BYTES if self.rows > 1 else MAX_HELD_OF_ONE
        if held > most:
            raise TooMuch(self.rows * most // held)

    def keep(self, size: int) -> None:
        """Reserve this many bytes of the budget. Raises TooMuch."""
        self.taken = 0
        self.take(size)
        self.kept += size
        self.taken = 0


def size_of(texts: pa.StringArray) -> int:
    """Return the bytes of all texts together."""
    if not len(texts) or texts.buffers()[1] is None:
        return 0
    offsets = np.frombuffer(texts.buffers()[1], np.int32)
    return int(offsets[texts.offset + len(texts)]) - int(offsets[texts.offset])


def lengths_of(texts: pa.StringArray) -> Lengths:
    """Return the length of each text in bytes; 0 for a null."""
    return _counts(pc.binary_length(texts))


def _counts(of_texts: pa.Array) -> Lengths:
    """Return the counts; 0 for a null."""
    counts: Lengths = pc.fill_null(of_texts, 0).to_numpy(zero_copy_only=False).astype(np.int64)
    return counts


def of_replaced(texts: pa.StringArray, find: str, by: str) -> Lengths | None:
    """Return the lengths with each `find` replaced; None if they need not be measured."""
    more = len(by.encode()) - len(find.encode())
    size = size_of(texts)
    if more <= 0 or size + size * more // len(find.encode()) <= SURELY_FINE:
        return None
    lengths: Lengths = lengths_of(texts) + _counts(pc.count_substring(texts, find)) * more
    return lengths


def of_replaced_matches(texts: pa.StringArray, pattern: str, by: str) -> Lengths | None:
    """Return the lengths with each match of a regular expression replaced, whose `by` may hold
    groups; None if they need not be measured. They are measured by replacements that make no text
    longer than twice: without the matches, with one character for each match, with one group alone.
    """
    groups = [sign for sign in _REFERENCE.findall(by) if sign.isdigit()]
    literal = len(_REFERENCE.sub(_without_groups, by).encode())
    size = size_of(texts)
    if (1 + len(groups)) * size + (size + len(texts)) * literal <= SURELY_FINE:
        return None
    without = lengths_of(pc.replace_substring_regex(texts, pattern, ""))
    lengths = without.copy()
    if literal:
        with_sign = lengths_of(pc.replace_substring_regex(texts, pattern, "x"))
        lengths += literal * (with_sign - without)
    for group in set(groups):
        alone = lengths_of(pc.replace_substring_regex(texts, pattern, "\\" + group))
        lengths += groups.count(group) * (alone - without)
    return lengths


def of_exchanged(texts: pa.StringArray) -> Lengths | None:
    """Return no lengths: exchanging one ASCII character for another changes none."""
    if 2 * size_of(texts) + len(texts) <= SURELY_FINE:
        return None
    return lengths_of(texts)


def _without_groups(reference: re.Match[str]) -> str:
    return "" if reference[1].isdigit() else reference[1]


def of_joined(parts: Sequence[pa.StringArray], separator: str) -> Lengths | None:
    """Return the lengths of texts joined by the separator; None if they need not be measured."""
    between = len(separator.encode()) * (len(parts) - 1)
    if sum(map(size_of, parts)) + between * len(parts[0]) <= SURELY_FINE:
        return None
    lengths: Lengths = np.sum([lengths_of(part) for part in parts], axis=0) + between
    return lengths


def bounded(
    lengths: Lengths | None,
    texts: Sequence[pa.StringArray],
    make: Callable[..., pa.StringArray],
    memory: Memory,
    note: Note,
) -> pa.StringArray:
    """Return `make(*texts)`, whose results have these lengths, without those that are too long.

    Raises TooMuch.
    """
    if lengths is None:
        results = make(*texts)
        memory.take(size_of(results))
        return results
    long = lengths > MAX_VALUE_BYTES
    memory.take(int(lengths[~long].sum()))
    return make(*cleared(texts, long, note))


def of_other_case(
    texts: pa.StringArray,
    make: Callable[[pa.StringArray], pa.StringArray],
    memory: Memory,
    note: Note,
) -> pa.StringArray:
    """Return `make(texts)`, whose results may be CASE_GROWTH times as long, without those that are
    too long. Raises TooMuch.
    """
    most = CASE_GROWTH * size_of(texts)
    memory.take(most)
    results = make(texts)
    if most <= SURELY_FINE:
        return results
    return cleared([results], lengths_of(results) > MAX_VALUE_BYTES, note)[0]


def cleared(texts: Sequence[pa.StringArray], long: Mask, note: Note) -> Sequence[pa.StringArray]:
    """Return the texts with nulls in the rows that are too long."""
    if not long.any():
        return texts
    note(long)
    return [pc.if_else(pa.array(long), NO_TEXT, part) for part in texts]
