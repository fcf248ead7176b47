"""A worker that has lost its chunk writes nothing, however late it comes."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from app.config import load_settings
from app.db import chunks
from app.db.engine import Database
from app.db.rows import ChunkCompletion
from app.errors import LeaseLost
from tests.crash.service import RECOVERY_SECONDS, Input, assert_exact, post
from tests.engine import Engine

GATED = "tests.crash.processors:GatedProcessor"


def test_a_write_after_the_chunk_was_taken_over_is_refused(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    source = Input.clean(1_200)
    engine.start(PROCESSORS=GATED, MAX_CONCURRENCY=4, RECONCILE_SECONDS=0.2)
    with engine.api() as api:
        upload = api.upload(source.data, chunk_size=100, processor="gated")
        job_id, job_key = upload["job_id"], engine.key(upload["job_id"])
        engine.wait_until(lambda: engine.flagged("began"), what="a chunk in work")
        stolen = engine.change(
            f"UPDATE chunks SET claim_token = {engine.key(str(uuid4()))}, claimed_by = 'another"
            f" worker', lease_expires_at = '2100-01-01 00:00:00.000' WHERE job_id = {job_key} AND"
            " status = 'processing' RETURNING chunk_index",
        )
        taken = {index for (index,) in stolen}
        assert taken

        engine.raise_flag("open")
        engine.wait_until(
            lambda: caplog.text.count("Lost the lease of chunk") >= len(taken),
            what="refusals",
        )
        rest = [c for c in engine.chunks(job_id) if c["chunk_index"] not in taken]
        engine.wait_until(
            lambda: all(
                c["status"] == "completed"
                for c in engine.chunks(job_id)
                if c["chunk_index"] not in taken
            )
        )
        assert len(rest) == 12 - len(taken)
        assert engine.sql(
            f"SELECT coalesce(sum(row_count), 0) FROM result_pages WHERE job_id = {job_key}"
        ) == [(100 * len(rest),)]
        assert {c["status"] for c in engine.chunks(job_id) if c["chunk_index"] in taken} == {
            "processing"
        }

        engine.change(  # the other worker dies
            "UPDATE chunks SET lease_expires_at = '2000-01-01 00:00:00.000' WHERE job_id ="
            f" {job_key} AND status = 'processing'",
        )
        api.finished(upload["file_id"], RECOVERY_SECONDS)
        assert assert_exact(engine, api, upload["file_id"], source)["status"] == "completed"


@pytest.fixture
def split_job(engine: Engine) -> UUID:
    """A job whose chunks are in the database, without a running worker."""
    engine.start(GRANULA_FAIL="split.after_commit=kill")
    with engine.api() as api:
        post(api, Input.clean(500), chunk_size=100)
    engine.wait_for_death()
    ((job_id,),) = engine.sql("SELECT id FROM jobs")
    return UUID(str(job_id))


async def test_completed_chunks_are_not_completed_again(engine: Engine, split_job: UUID) -> None:
    """The response to a commit may be lost: a second attempt must report that the chunk is done."""
    database = Database(load_settings(database_url=engine.url))
    values = ChunkCompletion(
        rows_ok=100,
        rows_invalid=0,
        rows_failed=0,
        hash_read="0" * 16,
        summary=None,
        reject_codes=None,
    )
    try:
        claims = await database.run_alone(
            lambda c: chunks.claim(c, split_job, "me", 60, token=uuid4(), limit=3)
        )
        assert [claim.index for claim in claims] == [0, 1, 2]
        await database.transact(lambda c: chunks.complete(c, claims[:2], [values] * 2))
        with pytest.raises(LeaseLost):
            await database.transact(lambda c: chunks.complete(c, claims, [values] * 3))
        with pytest.raises(LeaseLost):
            await database.transact(lambda c: chunks.complete(c, claims[:1], [values]))
        await database.transact(lambda c: chunks.complete(c, claims[2:], [values]))
    finally:
        await database.close()
