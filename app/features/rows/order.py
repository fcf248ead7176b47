"""The first rows in the order of a column, of any number of rows in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

from app.features.rows.values import numbers_of, with_point

Keyed = tuple[Any, int]
"""(sort key, row number)"""


class FoundText(Exception):
    """A cell is no number, so the column is ordered as texts."""


class FirstRows:
    """Keeps the first rows by one column: numbers by their value, texts by their letters in either
    case, and empty cells last in both directions. Equal rows stay in the order of the file.
    """

    def __init__(
        self, most: int, *, descending: bool, as_numbers: bool, has_commas: bool = False
    ) -> None:
        """`has_commas`: numbers have a decimal comma."""
        self._most = most
        self._descending = descending
        self._as_numbers = as_numbers
        self._has_commas = has_commas
        self._kept: list[Keyed] = []
        self._empty: list[int] = []
        self._worst: Any = None
        """Key of the last row, once there are enough."""

    def add(self, cells: Sequence[str | None], numbers: Sequence[int]) -> None:
        """Add rows, which follow those before in the file. Raises FoundText if the keys are to be
        numbers, and a cell is none.
        """
        filled = [place for place, cell in enumerate(cells) if cell]
        keys = self._keys([cells[place] or "" for place in filled])
        if len(filled) < len(cells) and len(self._empty) < self._most:
            empty = [numbers[place] for place, cell in enumerate(cells) if not cell]
            self._empty += empty[: self._most - len(self._empty)]
        for key, place in zip(keys, filled, strict=True):
            if self._worst is None or self._is_before(key, self._worst):
                self._kept.append((key, numbers[place]))
        if len(self._kept) >= 2 * self._most:
            self._cut()

    def numbers(self) -> list[int]:
        """Return the row numbers in order."""
        self._cut()
        numbers = [number for _, number in self._kept]
        return [*numbers, *self._empty][: self._most]

    def _keys(self, cells: list[str]) -> Sequence[Any]:
        if not self._as_numbers:
            return [cell.casefold() for cell in cells]
        if self._has_commas:
            cells = list(map(with_point, cells))
        keys = numbers_of(cells)
        if keys is None:
            raise FoundText
        return keys

    def _is_before(self, key: Any, other: Any) -> bool:
        return bool(key > other if self._descending else key < other)

    def _cut(self) -> None:
        # A stable sort: what was added later stays behind its equals.
        self._kept.sort(key=itemgetter(0), reverse=self._descending)
        del self._kept[self._most :]
        if len(self._kept) == self._most:
            self._worst = self._kept[-1][0]
