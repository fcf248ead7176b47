"""Columns of a job whose rows bring their own names (JSON), bounded whatever the rows bring."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from app.errors import TransientError
from app.formats.base import MAX_COLUMNS, ObjectRows, PagedRows, Reject, Results, Rows
from app.processors.base import ChunkOutcome

MAX_NAME_BYTES = 1 << 20
"""Limit of all names of a job together, in bytes: they are part of every status and every page."""


class ColumnsTaken(TransientError):
    """Other chunks brought columns first, so the number of free columns must be read again."""

    def __init__(self, known: Columns) -> None:
        super().__init__(retry_after=0.01)
        self.known = known


class Columns:
    """Names of columns, in the order in which they came. Immutable, since chunks in several threads
    read the same object.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = dict.fromkeys(names)
        self._bytes = _size(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def new(self, names: Iterable[str]) -> list[str]:
        """Return the names that are not here, without repeats."""
        return list(dict.fromkeys(name for name in names if name not in self._names))

    def have_room_for(self, new: Sequence[str]) -> bool:
        return not new or (
            len(self._names) + len(new) <= MAX_COLUMNS
            and self._bytes + _size(new) <= MAX_NAME_BYTES
        )

    def and_also(self, names: Iterable[str]) -> Columns:
        return Columns([*self._names, *names])

    def divided(self, results: Results) -> tuple[list[str], dict[int, str]]:
        """Return (new names of the rows that fit, the first name of each row that does not fit),
        taking the rows in their order. The cost is that of parsing them.
        """
        taken: dict[str, None] = {}
        count, size = len(self._names), self._bytes
        refused: dict[int, str] = {}
        for page in results.pages():
            numbers = page.numbers or range(page.first_row, page.first_row + page.row_count)
            rows = msgspec.json.decode(page.data, type=list[dict[str, msgspec.Raw]])
            for number, row in zip(numbers, rows, strict=True):
                new = [name for name in row if name not in self._names and name not in taken]
                more = _size(new)
                if new and (count + len(new) > MAX_COLUMNS or size + more > MAX_NAME_BYTES):
                    refused[number] = new[0]
                    continue
                taken |= dict.fromkeys(new)
                count, size = count + len(new), size + more
        return list(taken), refused


def _size(names: Iterable[str]) -> int:
    return sum(len(name.encode("utf-8", "surrogatepass")) for name in names)


@dataclass(slots=True)
class Fitting:
    """Rows of a chunk on their way through a processor, until the remaining ones fit into the
    columns of the job. The others are rejected, and the processor runs again without them: its
    outcome may be more than results.
    """

    known: Columns
    rows: Rows
    rejects: list[Reject] = field(default_factory=list)

    def take(self, outcome: ChunkOutcome) -> ChunkOutcome | None:
        """Return the outcome of `rows`; None if the processor must be called again for the `rows`
        that are left.
        """
        results = outcome.results
        if results.are_objects and not self.known.have_room_for(self.known.new(results.columns)):
            names, refused = self.known.divided(results)
            if refused:
                self.rejects += [_too_many(number, name) for number, name in refused.items()]
                self.rows = self.rows.select(
                    [i for i, n in enumerate(self.rows.numbers) if n not in refused]
                )
                if len(self.rows):
                    return None
                outcome = ChunkOutcome(ObjectRows([], [], []))
            else:  # names that only rejected rows brought are left out
                outcome.results = PagedRows(names, True, list(results.pages()), results.hash_sum())
        outcome.rejects = [*outcome.rejects, *self.rejects]
        return outcome


def _too_many(number: int, name: str) -> Reject:
    shown = name[:60].encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
    message = (
        f"The key `{shown}` exceeds the limit: earlier rows have used all the keys that a job "
        f"may have, {MAX_COLUMNS} or {MAX_NAME_BYTES} bytes of names."
    )
    return Reject(number, 0, 0, 0, b"", "too_many_columns", message)
