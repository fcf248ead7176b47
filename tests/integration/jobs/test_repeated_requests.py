"""POST /api/v1/jobs with an Idempotency-Key: a repeated or concurrent request creates one job."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from uuid import UUID

import httpx
import pytest

from app.errors import IdempotencyKeyReused
from app.features.job_types.requests import NewJob
from app.features.job_types.service import JobStarter
from app.jobs.file_jobs import SubmittedJob
from app.jobs.users import LOCAL_OWNER
from tests.api.checks import assert_problem
from tests.engine import Engine, EngineApi
from tests.scoring.services import Bucket

ROWS = b"id,name\n1,Ann\n"
AT_ONCE = 6


@pytest.fixture
def api(engine: Engine, bucket: Bucket) -> Iterator[EngineApi]:
    engine.start(**bucket.environment)
    with engine.api() as api:
        yield api


def posted(api: EngineApi, key: str, **job: object) -> httpx.Response:
    headers = {"Idempotency-Key": key}
    return api.client.post("/api/v1/jobs", json=job, headers=headers)


def job_count(engine: Engine) -> int:
    return int(engine.sql("SELECT count(*) FROM jobs")[0][0])


def test_a_repeated_request_gets_the_same_response(engine: Engine, api: EngineApi) -> None:
    file_id = api.run(ROWS)["file_id"]
    first = posted(api, "k", type="rows", file_id=file_id, priority=0)
    again = posted(api, "k", file_id=file_id, type="rows")  # written otherwise
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert job_count(engine) == 2  # with that of the upload
    other = posted(api, "another", type="rows", file_id=file_id)
    assert other.json()["job_id"] != first.json()["job_id"]


def test_another_request_with_the_same_key_is_refused(engine: Engine, api: EngineApi) -> None:
    file_id = api.run(ROWS)["file_id"]
    assert posted(api, "k", type="rows", file_id=file_id).status_code == 202
    for changed in ({"type": "analyze"}, {"priority": 3}, {"chunk_size": 100}):
        answer = posted(api, "k", **{"type": "rows", "file_id": file_id, **changed})
        assert_problem(answer, 422, "idempotency_key_reused")
    anew = api.client.post(
        "/api/v1/jobs",
        json={"type": "rows", "file_id": file_id},
        params={"fresh": True},
        headers={"Idempotency-Key": "k"},
    )
    assert_problem(anew, 422, "idempotency_key_reused")
    assert_problem(posted(api, " ", type="rows", file_id=file_id), 400, "bad_idempotency_key")
    assert job_count(engine) == 2


def test_one_of_several_concurrent_requests_creates_the_job(engine: Engine, api: EngineApi) -> None:
    file_id = UUID(api.run(ROWS)["file_id"])
    starter = engine.services.of(JobStarter)
    job = NewJob(type="rows", file_id=file_id)

    async def all_at_once() -> list[tuple[SubmittedJob, bool]]:
        starts = [starter.start_once(LOCAL_OWNER, job, "k") for _ in range(AT_ONCE)]
        return await asyncio.gather(*starts)

    answers = engine.run(all_at_once())
    assert len({made for made, _ in answers}) == 1
    assert [is_new for _, is_new in answers].count(True) == 1
    assert job_count(engine) == 2
    other = NewJob(type="analyze", file_id=file_id)
    with pytest.raises(IdempotencyKeyReused):
        engine.run(starter.start_once(LOCAL_OWNER, other, "k"))


def test_different_concurrent_requests_with_one_key_create_one_job(
    engine: Engine, api: EngineApi
) -> None:
    file_id = UUID(api.run(ROWS)["file_id"])
    starter = engine.services.of(JobStarter)
    jobs = [NewJob(type="rows", file_id=file_id, priority=number) for number in range(AT_ONCE)]

    async def all_at_once() -> list[tuple[SubmittedJob, bool] | BaseException]:
        starts = [starter.start_once(LOCAL_OWNER, job, "k") for job in jobs]
        return await asyncio.gather(*starts, return_exceptions=True)

    answers = engine.run(all_at_once())
    refused = [answer for answer in answers if isinstance(answer, IdempotencyKeyReused)]
    assert len(refused) == AT_ONCE - 1
    assert job_count(engine) == 2


def test_an_earlier_job_is_remembered_as_the_response(engine: Engine, api: EngineApi) -> None:
    file_id = api.run(ROWS)["file_id"]
    earlier = posted(api, "first", type="analyze", file_id=file_id).json()["job_id"]
    api.finished(earlier)
    answer = posted(api, "k", type="analyze", file_id=file_id)
    assert (answer.json()["job_id"], answer.json()["cached"]) == (earlier, True)
    assert posted(api, "k", type="analyze", file_id=file_id).json() == answer.json()


def test_a_refused_request_does_not_use_up_its_key(api: EngineApi) -> None:
    unknown = "00000000-0000-4000-8000-000000000000"
    assert_problem(posted(api, "k", type="rows", file_id=unknown), 404, "not_found")
    file_id = api.run(ROWS)["file_id"]
    assert posted(api, "k", type="rows", file_id=file_id).status_code == 202


def test_the_key_of_a_job_over_an_object_is_deleted_with_its_file(
    engine: Engine, api: EngineApi, bucket: Bucket
) -> None:
    bucket.put("rows.csv", ROWS)
    source = f"s3://{bucket.name}/rows.csv"
    first = posted(api, "k", type="rows", source=source).json()
    assert posted(api, "k", type="rows", source=source).json() == first
    assert job_count(engine) == 1
    file_id = api.finished(first["job_id"])["file_id"]
    assert api.client.delete(f"/api/v1/files/{file_id}").status_code == 204
    assert posted(api, "k", type="rows", source=source).json()["job_id"] != first["job_id"]
