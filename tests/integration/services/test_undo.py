"""The service of undos."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from app.errors import NotFound, NothingToUndo
from app.features.undo.service import Undos
from app.jobs.users import LOCAL_OWNER
from tests.engine import Engine
from tests.integration.services.loading import loaded

LEDGER = "tests.undo.processors:Ledger"


def written(engine: Engine, **accounts: str) -> UUID:
    """Run a job that writes these accounts by transaction."""
    rows = "".join(f"{key},{account}\n" for key, account in accounts.items())
    data = f"transaction_id,account_id\n{rows}".encode()
    return loaded(engine, data, processor="ledger")[1]


def accounts(engine: Engine) -> dict[str, str]:
    return dict(engine.sql("SELECT transaction_id, account_id FROM transactions"))


def undone(engine: Engine, job_id: UUID, owner: str = LOCAL_OWNER) -> dict[str, Any]:
    return engine.run(engine.services.of(Undos).undo(job_id, owner))


def test_an_undo_removes_the_rows_of_a_job_and_restores_the_replaced_ones(engine: Engine) -> None:
    engine.start(PROCESSORS=LEDGER)
    written(engine, a="first", b="first")
    second = written(engine, b="second", c="second")
    assert accounts(engine) == {"a": "first", "b": "second", "c": "second"}
    answer = undone(engine, second)
    assert answer == {"job_id": str(second), "status": "undone", "removed": 1, "restored": 1}
    assert accounts(engine) == {"a": "first", "b": "first"}
    assert undone(engine, second) == answer, "to ask twice is no error"
    assert accounts(engine) == {"a": "first", "b": "first"}


def test_a_job_without_rows_or_an_unknown_job_is_not_undone(engine: Engine) -> None:
    engine.start(PROCESSORS=LEDGER)
    job_id = written(engine, a="first")
    _, plain = loaded(engine, b"id\n1\n")
    with pytest.raises(NothingToUndo):
        undone(engine, plain)
    for identifier, owner in ((job_id, "somebody else"), (uuid4(), LOCAL_OWNER)):
        with pytest.raises(NotFound):
            undone(engine, identifier, owner)
    assert accounts(engine) == {"a": "first"}
