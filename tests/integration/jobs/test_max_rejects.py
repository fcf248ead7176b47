"""A job with too many rejects fails, whatever its processor."""

from __future__ import annotations

import pytest

from tests.engine import Engine
from tests.integration.crash.test_load import stages

DATA = b"id,price\n1,1\nx,2\n3,3\n4,4,4\n5,5\n"


@pytest.mark.parametrize(
    ("limit", "status"),
    [
        ("2", "completed_with_errors"),
        ("1", "failed"),
        ("40%", "completed_with_errors"),
        ("39%", "failed"),
    ],
)
def test_a_load_with_too_many_rejects_loads_nothing(
    engine: Engine, limit: str, status: str
) -> None:
    """One row cannot be read, and one cannot be cast."""
    engine.sql("CREATE TABLE prices (id INTEGER PRIMARY KEY, price INTEGER)")
    engine.start()
    with engine.api() as api:
        file_id = api.upload(DATA)["file_id"]
        api.finished(file_id)
        body = {
            "type": "load",
            "file_id": file_id,
            "options": {"table": "prices"},
            "max_rejects": limit,
        }
        job = api.finished(api.client.post("/api/v1/jobs", json=body).json()["job_id"])
        assert job["status"] == status
        assert len(api.rejects(job["job_id"])) == 2
        loaded = engine.sql("SELECT id FROM prices ORDER BY id")
        assert loaded == ([] if status == "failed" else [(1,), (3,), (5,)])
        assert not stages(engine)
        if status == "failed":
            assert job["error"] == {
                "code": "too_many_rejects",
                "message": f"2 of 5 rows were rejected, and max_rejects allows {limit}.",
            }


def test_an_upload_with_too_many_rejects_fails(engine: Engine) -> None:
    engine.start()
    with engine.api() as api:
        job = api.run(DATA, max_rejects=0)
        assert (job["status"], job["error"]["code"]) == ("failed", "too_many_rejects")
        assert api.run(DATA, max_rejects="20%")["status"] == "completed_with_errors"
        assert api.client.post("/api/v1/upload?max_rejects=many", content=DATA).status_code == 422
