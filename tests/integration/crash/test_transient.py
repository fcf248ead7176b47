"""Transient is not failed: waiting costs no attempt, holds no worker, and ends without an
operator.
"""

from __future__ import annotations

from tests.crash.service import RECOVERY_SECONDS, Input, assert_exact
from tests.engine import Engine

WAITING = "tests.crash.processors:WaitingProcessor"


def test_a_waiting_processor_costs_no_attempt_and_holds_no_worker(
    engine: Engine,
) -> None:
    waiting, other = Input.clean(500), Input.clean(800, "other")
    engine.start(PROCESSORS=WAITING, MAX_CONCURRENCY=1, MAX_RETRIES=0)
    with engine.api() as api:
        upload = api.upload(waiting.data, chunk_size=100, processor="waiting", priority=10)
        engine.wait_until(lambda: len(engine.calls()) >= 10, what="each chunk tried twice")
        other_id = api.upload(other.data, chunk_size=100)["file_id"]
        engine.wait_until(lambda: api.status(other_id)["status"] == "completed", what="the other")
        assert_exact(engine, api, other_id, other)
        chunks = engine.chunks(upload["job_id"])
        assert {c["status"] for c in chunks} <= {"pending", "processing"}
        assert max(c["attempt"] for c in chunks) <= 1

        engine.raise_flag("up")
        api.finished(upload["file_id"], RECOVERY_SECONDS)
        assert assert_exact(engine, api, upload["file_id"], waiting)["status"] == "completed"
        assert {(c["attempt"], c["deaths"]) for c in engine.chunks(upload["job_id"])} == {(1, 0)}


def test_waiting_work_continues_when_the_clock_is_set_back(engine: Engine) -> None:
    """Make all stored waits and leases an hour longer."""
    source = Input.clean(500)
    engine.start(PROCESSORS=WAITING, MAX_CONCURRENCY=1, MAX_BACKOFF=2)
    with engine.api() as api:
        upload = api.upload(source.data, chunk_size=100, processor="waiting")
        engine.wait_until(lambda: len(engine.calls()) >= 5, what="each chunk tried")
        hour_ahead = "available_at + interval '1 hour'"
        if engine.is_sqlite:
            hour_ahead = "strftime('%Y-%m-%d %H:%M:%f', available_at, '+1 hour')"
        engine.raise_flag("up")
        engine.change(f"UPDATE chunks SET available_at = {hour_ahead} WHERE status = 'pending'")
        api.finished(upload["file_id"], RECOVERY_SECONDS)
        assert assert_exact(engine, api, upload["file_id"], source)["status"] == "completed"
