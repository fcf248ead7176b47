"""Named connections that are not as one wishes: a pooler in between, one that is cut, a server that is
down or full, a role without rights.
"""

from __future__ import annotations

import json

import pytest

from tests.harness import query
from tests.pooler import Pooler
from tests.remote import AFTER, BEFORE, REPEATED, Remote

pytestmark = pytest.mark.parametrize("databases", ["postgresql"], indirect=True)


def connect(remote: Remote, url: str) -> None:
    remote.engine.environment["CONNECTIONS"] = json.dumps({"warehouse": url})


def load_of_strings(remote: Remote) -> str:
    """Load into a table whose constraints only an attempt can tell."""
    query(remote.url, "ALTER TABLE prices ADD EXCLUDE USING btree (id WITH =)")
    return remote.begin(mode="append")


@pytest.mark.parametrize("visibility", ["atomic", "progressive"])
def test_loads_work_through_a_pooler_in_transaction_mode(remote: Remote, visibility: str) -> None:
    """Rows are refused, so that the attempt with its function of the session runs, too."""
    with Pooler(remote.url) as pooler:
        connect(remote, pooler.url)
        remote.engine.start()
        job_id = (
            load_of_strings(remote)
            if visibility == "atomic"
            else remote.begin(mode="upsert", visibility=visibility)
        )
        remote.ended(job_id)
        assert remote.prices() == AFTER
        with remote.engine.api() as api:
            assert [reject["row_number"] for reject in api.rejects(job_id)] == list(REPEATED)
            proof = api.proof(job_id)
            assert proof["closes"], proof["problems"]
            assert api.client.post(f"/api/v1/undo/{job_id}").json()["removed"] == len(AFTER) - 1
        assert remote.prices() == BEFORE
        assert pooler.transactions > 10
        remote.engine.stop()
    assert remote.tables("granula_") == ["granula_ledger"]


def test_a_connection_that_is_cut_is_made_again(remote: Remote) -> None:
    """In each of many transactions of a load, once."""
    with Pooler(remote.url) as pooler:
        connect(remote, pooler.url)
        remote.engine.start()
        pooler.cut_after = pooler.transactions + 8
        job_id = remote.begin()
        remote.ended(job_id)
        assert pooler.was_cut
        assert remote.prices() == AFTER
        with remote.engine.api() as api:
            assert api.proof(job_id)["closes"]
        remote.engine.stop()
    assert remote.tables("granula_load_") == []
