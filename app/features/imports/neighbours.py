"""Exact search by meaning over stored vectors, for databases without pgvector. It compares the
query with every vector.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from uuid import UUID

import numpy as np
import numpy.typing as npt

from app.db.engine import Database
from app.features.imports import queries as records
from app.features.imports.queries import Filters, Key
from app.features.imports.words import RowsOfJobs

Block = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]
"""(row numbers, vectors as rows)."""


_NO_ROWS = np.zeros(0, np.int64)


class Neighbours:
    """Search with a cache of `cache_bytes` of vectors at most, in the blocks in which they were
    computed. Vectors that do not fit are read for each search.
    """

    def __init__(self, database: Database, cache_bytes: int, model: str, precision: str) -> None:
        self._database = database
        self._cache_bytes = cache_bytes
        self._model, self._precision = model, precision
        self._blocks: OrderedDict[tuple[UUID, int, int], Block] = OrderedDict()
        self.held_bytes = 0
        """Bytes of the vectors in memory."""

    async def nearest(
        self,
        vector: npt.NDArray[np.float32],
        filters: Filters,
        among: RowsOfJobs | None,
        *,
        limit: int,
        offset: int,
    ) -> list[tuple[Key, float]]:
        """Return (record, cosine), the best first: `limit` of them after the first `offset`, and
        only those in `among` unless it is None.

        The cost is that of every vector of the owner or import, in blocks, off the loop.
        """
        async with self._database.reading() as connection:
            tasks = await records.done_tasks(connection, filters.owner, filters.import_number)
        best: list[tuple[float, Key]] = []
        for start in range(0, len(tasks), 64):
            some = tasks[start : start + 64]
            blocks = [(task[0], await self._block(*task)) for task in some]
            best = await asyncio.to_thread(_better, best, blocks, vector, among, limit + offset)
        return [(key, score) for score, key in best[offset : offset + limit]]

    async def _block(self, job_id: UUID, first: int, last: int, count: int) -> Block:
        key = (job_id, first, count)  # a correction adds records to a block
        if (block := self._blocks.get(key)) is not None:
            self._blocks.move_to_end(key)
            return block
        async with self._database.reading() as connection:
            rows = await records.vectors_between(
                connection, job_id, first, last, self._model, self._precision
            )
        numbers = np.array([row for row, _ in rows], np.int64)
        data = b"".join(vector for _, vector in rows)
        matrix = np.frombuffer(data, "<f4").reshape(len(rows), -1 if rows else 1)
        if matrix.nbytes <= self._cache_bytes and key not in self._blocks:
            self._blocks[key] = numbers, matrix
            self.held_bytes += matrix.nbytes
            while self.held_bytes > self._cache_bytes:  # this also drops vectors of deleted imports
                _, (_, old) = self._blocks.popitem(last=False)
                self.held_bytes -= old.nbytes
        return numbers, matrix


def _are_among(
    numbers: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Return which of these numbers are in `rows`; both are in ascending order."""
    if not len(rows):
        return np.zeros(len(numbers), bool)
    places = np.searchsorted(rows, numbers)
    are_among: npt.NDArray[np.bool_] = rows[np.minimum(places, len(rows) - 1)] == numbers
    return are_among


def _better(
    best: list[tuple[float, Key]],
    blocks: Sequence[tuple[UUID, Block]],
    vector: npt.NDArray[np.float32],
    among: RowsOfJobs | None,
    count: int,
) -> list[tuple[float, Key]]:
    """Return the best `count` of `best` and of these blocks; of equal ones the first in the
    file.
    """
    better = list(best)
    for job_id, (numbers, matrix) in blocks:
        if among is not None:
            kept = _are_among(numbers, among.get(job_id, _NO_ROWS))
            numbers = numbers[kept]
            # for few rows the copy is cheaper than the work that it saves
            matrix = matrix[kept] if len(numbers) < len(kept) // 4 else matrix
        if not len(numbers):
            continue
        scores = matrix @ vector
        if len(scores) > len(numbers):
            scores = scores[kept]
        if len(scores) > count:
            top = np.argpartition(-scores, count - 1)[:count]
            numbers, scores = numbers[top], scores[top]
        for score, row in zip(scores, numbers, strict=True):
            better.append((float(score), (job_id, int(row))))
    better.sort(key=lambda item: (-item[0], item[1][0].int, item[1][1]))
    return better[:count]
