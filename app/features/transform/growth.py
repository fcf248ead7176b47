"""How long the results of a step will be, known before they are made,
so that no step takes more memory than it may.

A result longer than MAX_VALUE_BYTES is never made, and its row is rejected.
If the results of many rows together take more than MAX_HELD_BYTES, TooMuch
says so, and the caller takes fewer rows at once.
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
"""Of a value, and of all values of a row together: what a record of a file may have."""

MAX_HELD_BYTES = 64 << 20
"""Of all values that are held while rows are worked on, and
MAX_HELD_OF_ONE for a row that is alone."""
MAX_HELD_OF_ONE = 16 * MAX_VALUE_BYTES

SURELY_FINE = MAX_VALUE_BYTES // 2
"""If all results together have at most so many bytes, none of them need be measured."""

CASE_GROWTH = 2
"""A letter of the other case may take more bytes, as `\u0250` and `\u2c6f`; never twice as many."""

VALUE_TOO_LONG = "value_too_long"
LONGER = f"The value would be longer than {MAX_VALUE_BYTES} bytes."
MORE_TO_HOLD = f"To calculate the value, more than {MAX_HELD_OF_ONE} bytes would have to be held."
ROW_TOO_LARGE = "row_too_large"
ROW_LONGER = f"The values of the row would be longer than {MAX_VALUE_BYTES} bytes together."
NO_TEXT = pa.scalar(None, pa.string())
Note = Callable[[Mask], None]
"""Is told of the rows whose results would be too long."""

_REFERENCE = re.compile(r"\\(.)")


class TooMuch(Exception):
    """These rows take too much memory at once; about `rows` of them would do."""

    def __init__(self, rows: int) -> None:
        super().__init__(rows)
        self.rows = rows


@dataclass(slots=True)
class Memory:
    """What is held of the values of some rows."""

    rows: int
    kept: int = 0
    """Columns of the output that are made."""
    taken: int = 0
    """By the column that is being made."""
    column: str = ""
    """Which that is."""

    def begin(self, column: str) -> None:
        """Another column, or another step: what was made on the way is not needed any more."""
        self.column, self.taken = column, 0

    def take(self, size: int) -> None:
        """So many bytes are about to be made. Raises TooMuch."""
        self.taken += size
        held = self.kept + self.taken
        most = MAX_HELD_BYTES if self.rows > 1 else MAX_HELD_OF_ONE
        if held > most:
            raise TooMuch(self.rows * most // held)

    def keep(self, size: int) -> None:
        """Of what was taken, so many bytes stay. Raises TooMuch."""
        self.taken = 0
        self.take(size)
        self.kept += size
        self.taken = 0


def size_of(texts: pa.StringArray) -> int:
    """Bytes of all of them together."""
    if not len(texts) or texts.buffers()[1] is None:
        return 0
    offsets = np.frombuffer(texts.buffers()[1], np.int32)
    return int(offsets[texts.offset + len(texts)]) - int(offsets[texts.offset])


def lengths_of(texts: pa.StringArray) -> Lengths:
    """In bytes; 0 where there is none."""
    return _counts(pc.binary_length(texts))


def _counts(of_texts: pa.Array) -> Lengths:
    """0 where there is none."""
    counts: Lengths = pc.fill_null(of_texts, 0).to_numpy(zero_copy_only=False).astype(np.int64)
    return counts


def of_replaced(texts: pa.StringArray, find: str, by: str) -> Lengths | None:
    """Lengths with each `find` replaced; None if they need not be measured."""
    more = len(by.encode()) - len(find.encode())
    size = size_of(texts)
    if more <= 0 or size + size * more // len(find.encode()) <= SURELY_FINE:
        return None
    lengths: Lengths = lengths_of(texts) + _counts(pc.count_substring(texts, find)) * more
    return lengths


def of_replaced_matches(texts: pa.StringArray, pattern: str, by: str) -> Lengths | None:
    """The same for a regular expression, whose `by` may hold groups. Measured by
    replacements that make no text longer than twice: without what matches, with one
    sign for each match, with one group alone."""
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
    """The same where one sign of ASCII takes the place of another: no length changes."""
    if 2 * size_of(texts) + len(texts) <= SURELY_FINE:
        return None
    return lengths_of(texts)


def _without_groups(reference: re.Match[str]) -> str:
    return "" if reference[1].isdigit() else reference[1]


def of_joined(parts: Sequence[pa.StringArray], separator: str) -> Lengths | None:
    """Lengths put together with the separator between; None if they need not be measured."""
    between = len(separator.encode()) * (len(parts) - 1)
    if sum(map(size_of, parts)) + between * len(parts[0]) <= SURELY_FINE:
        return None
    lengths: Lengths = np.sum([lengths_of(part) for part in parts], axis=0) + between
    return lengths


def made(
    lengths: Lengths | None,
    texts: Sequence[pa.StringArray],
    make: Callable[..., pa.StringArray],
    memory: Memory,
    note: Note,
) -> pa.StringArray:
    """`make(*texts)`, whose results have these lengths, without those that are too long.

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
    """`make(texts)`, whose results may be CASE_GROWTH times as long,
    without those that are too long. Raises TooMuch."""
    most = CASE_GROWTH * size_of(texts)
    memory.take(most)
    results = make(texts)
    if most <= SURELY_FINE:
        return results
    return cleared([results], lengths_of(results) > MAX_VALUE_BYTES, note)[0]


def cleared(texts: Sequence[pa.StringArray], long: Mask, note: Note) -> Sequence[pa.StringArray]:
    """With no text in the rows that are too long."""
    if not long.any():
        return texts
    note(long)
    return [pc.if_else(pa.array(long), NO_TEXT, part) for part in texts]
