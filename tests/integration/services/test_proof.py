"""The proof, computed by the function of the route: valid over intact rows, and naming what is
wrong.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
import xxhash

from app.errors import NotFound
from app.features.jobs.proof import prove
from app.jobs.users import LOCAL_OWNER
from tests.engine import Engine
from tests.integration.services.loading import loaded

ROWS = b"id,name\n1,Ann\n2\n3,Eve\n4,Zo\xc3\xab\n"


def proof(engine: Engine, identifier: UUID, owner: str = LOCAL_OWNER) -> dict[str, Any]:
    services = engine.services
    return engine.run(prove(services.database, services.destinations, identifier, owner))


def test_the_proof_sums_the_hashes_of_the_rows_of_the_file(engine: Engine) -> None:
    """Each row is hashed as docs/decisions/0004 says: XXH3-64 of its cells, seeded with its
    number.
    """
    engine.start()
    file_id, job_id = loaded(engine, ROWS)
    cells = {1: ("1", "Ann"), 3: ("3", "Eve"), 4: ("4", "Zoë")}
    total = sum(
        xxhash.xxh3_64_intdigest(b"\xff".join(cell.encode() for cell in row), seed=number)
        for number, row in cells.items()
    )
    found = proof(engine, file_id)
    assert found["hash"]["read"] == found["hash"]["stored"] == f"{total % 2**64:016x}"
    assert (found["closes"], found["verdict"], found["problems"]) == (True, "closes", [])
    rows = {"total": 4, "ok": 3, "invalid": 1, "failed": 0, "unprocessed": 0}
    assert found["rows"] == rows
    assert found["stored"] == {"results": 3, "rejects": 1, "invalid": 1}
    assert proof(engine, job_id) == found
    for identifier, owner in ((file_id, "somebody else"), (uuid4(), LOCAL_OWNER)):
        with pytest.raises(NotFound):
            proof(engine, identifier, owner)


def test_a_changed_or_missing_row_breaks_the_proof(engine: Engine) -> None:
    engine.start()
    file_id, job_id = loaded(engine, ROWS)
    mine = f"WHERE job_id = {engine.key(str(job_id))}"
    engine.sql(f"UPDATE result_pages SET data = replace(data, 'Eve', 'Eva') {mine}")
    changed = proof(engine, file_id)
    assert (changed["closes"], changed["problem_count"]) == (False, 1)
    assert "chunk 0" in changed["problems"][0]
    assert changed["hash"]["read"] != changed["hash"]["stored"]
    engine.sql(f"DELETE FROM rejects {mine}")
    assert proof(engine, file_id)["problem_count"] == 2
