"""Death in the middle of an undo: it resumes at the next start."""

from __future__ import annotations

import httpx
import pytest

from tests.engine import Engine
from tests.harness import Api

PROCESSORS = "tests.undo.processors:Ledger"


def ledger(api: Api, **accounts: str) -> str:
    """Return the id of a job that writes these accounts by transaction."""
    rows = "".join(f"{key},{account}\n" for key, account in accounts.items())
    status = api.run(f"transaction_id,account_id\n{rows}".encode(), processor="ledger")
    return str(status["job_id"])


def test_an_interrupted_undo_resumes_at_the_next_start(engine: Engine) -> None:
    """One step of 1,000 rows is done and the next is not."""
    engine.environment["PROCESSORS"] = PROCESSORS
    engine.start(GRANULA_FAIL="undo.before_commit=kill@2")
    with engine.api() as api:
        ledger(api, t0="old", t1999="old", t2499="old")
        job_id = ledger(api, **{f"t{n}": "new" for n in range(2_500)})
        with pytest.raises(httpx.TransportError):
            api.client.post(f"/api/v1/undo/{job_id}")
    engine.wait_for_death()
    assert len(accounts(engine)) == 1_500 + 1  # a step was committed; t0 is restored
    engine.start()
    with engine.api() as api:
        engine.wait_until(lambda: api.status(job_id)["undo"]["state"] == "undone", 30, "the undo")
        assert accounts(engine) == {"t0": "old", "t1999": "old", "t2499": "old"}
        answer = api.client.post(f"/api/v1/undo/{job_id}").json()
        assert answer == {"job_id": job_id, "status": "undone", "removed": 2_497, "restored": 3}


def accounts(engine: Engine) -> dict[str, str]:
    return dict(engine.sql("SELECT transaction_id, account_id FROM transactions"))
