"""The simulated death is a death: uncommitted changes are gone, a dead life changes nothing, and
another life continues.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app import failpoints
from tests.engine import Died, Engine, Gone

KILL = "split.begin=kill"
ADD = "INSERT INTO users (id, is_admin, created_at) VALUES ('{}', false, '2026-01-01')"
NAMES = "SELECT id FROM users WHERE id IN ('ann', 'bob')"


def test_an_open_transaction_is_rolled_back_and_its_locks_released(engine: Engine) -> None:
    engine.start()

    async def die_within(connection: AsyncConnection) -> None:
        await connection.execute(text(ADD.format("ann")))
        failpoints.arm(KILL)
        failpoints.hit("split.begin")

    with pytest.raises(Died):
        engine.run(engine.services.database.transact(die_within))
    assert engine.sql(NAMES) == []

    engine.start()

    async def add(connection: AsyncConnection) -> None:
        await connection.execute(text(ADD.format("bob")))

    engine.run(engine.services.database.transact(add))
    assert engine.sql(NAMES) == [("bob",)]


@pytest.mark.parametrize("where", ["loop", "thread"])
def test_code_that_unwinds_after_a_simulated_death_changes_no_file(
    engine: Engine, tmp_path: Path, where: str
) -> None:
    engine.start(GRANULA_FAIL=KILL)
    kept = tmp_path / "kept"
    kept.touch()
    refused: list[str] = []

    def work() -> None:
        try:
            failpoints.hit("split.begin")
        finally:
            for change in (
                kept.unlink,
                (tmp_path / "new").touch,
                lambda: kept.rename(tmp_path / "renamed"),
            ):
                try:
                    change()
                except Gone:
                    refused.append("refused")

    async def in_loop() -> None:
        work()

    with pytest.raises(Died):
        engine.run(in_loop() if where == "loop" else asyncio.to_thread(work))
    assert refused == ["refused"] * 3
    assert kept.exists()
    assert not (tmp_path / "new").exists()


def test_no_other_task_continues_after_a_simulated_death(engine: Engine) -> None:
    engine.start(GRANULA_FAIL=KILL)
    steps: list[str] = []

    async def neighbour() -> None:
        while True:
            steps.append("step")
            await asyncio.sleep(0)

    async def die() -> None:
        tasks = [asyncio.create_task(neighbour()) for _ in range(3)]
        await asyncio.sleep(0)
        steps.clear()
        try:
            failpoints.hit("split.begin")
        finally:
            await asyncio.gather(*tasks)  # code that awaits in a `finally` lets others run

    with pytest.raises(Died):
        engine.run(die())
    assert steps == []
