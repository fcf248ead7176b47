"""The heartbeat of chunks in work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.db import chunks
from app.pipeline.pool import WorkerPool


async def test_a_chunk_claimed_while_leases_are_renewed_is_no_stray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Renewing waits for the rows of chunks that are being written. What is claimed meanwhile was taken from its worker,
    and all its calls to a model service were made again."""

    class Database:
        async def transact(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
            return await work(None)

    nobody: Any = None
    database: Any = Database()
    pool = WorkerPool(
        worker_id="w", slots=1, lease_seconds=15, database=database, queue=nobody, processors=nobody, splitter=nobody,
        runner=nobody, finisher=nobody,
    )  # fmt: skip
    claimed, known = uuid4(), set[UUID]()

    async def renew(*_: object) -> None:
        pool._tokens.add(claimed)

    async def release_strays(_: object, worker: str, tokens: Sequence[UUID], seconds: float) -> list[UUID]:
        known.update(tokens)
        return []

    monkeypatch.setattr(chunks, "renew", renew)
    monkeypatch.setattr(chunks, "release_strays", release_strays)
    await pool.renew_leases()
    assert claimed in known
