"""The samples of load: what an interval counts, that it is counted once, and when it is dropped."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from app.features.system.history import INTERVAL, History, interval_start
from tests.engine import Engine

DATA = b"id,name\n1,a\n2,b\n3\n"  # the last row is rejected


def this_interval() -> datetime:
    """Return the end of the interval that is running now."""
    return interval_start(datetime.now(UTC)) + INTERVAL


def test_a_sample_has_the_rows_of_its_interval_and_is_stored_once(engine: Engine) -> None:
    begun = this_interval()
    engine.start()
    history = engine.services.of(History)
    with engine.api() as api:
        job = api.upload(DATA)
        api.finished(job["file_id"])
        end = this_interval()
        assert engine.run(history.take(end))
        assert not engine.run(history.take(end))
        # The rows belong to the interval in which their chunk ended, and to no other.
        assert engine.run(history.take(begun - INTERVAL))
        if end != begun:
            engine.run(history.take(begun))
        answer = api.client.get("/api/v1/system/history", params={"hours": 1}).json()
        assert answer["interval_seconds"] == 300
        assert sum(item["rows"] for item in answer["items"]) == 3
        assert {item["failed_rows"] for item in answer["items"]} == {0}
        last = answer["items"][-1]
        assert datetime.fromisoformat(last["at"]) == end - INTERVAL
        assert last["queued_jobs"] == 0
        assert last["workers"] == 1
        assert last["disk_free_bytes"] > 0


def test_samples_are_dropped_after_eight_days(engine: Engine) -> None:
    engine.start()
    history = engine.services.of(History)
    end = this_interval()
    old = end - timedelta(days=8, minutes=5)
    assert engine.run(history.take(old))
    assert engine.run(history.take(old + INTERVAL))
    assert engine.run(history.take(end))
    kept = engine.run(history.read(old - timedelta(days=1)))
    assert [sample.at for sample in kept] == [old, end - INTERVAL]
