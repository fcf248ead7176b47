"""An urgent file overtakes a huge one at the next chunk; equal priorities share; a change of
priority applies immediately.
"""

from __future__ import annotations

from tests.harness import Api

BIG = b"id,v\n" + b"".join(b"%d,x\n" % i for i in range(400_000))
MIDDLE = b"id,v\n" + b"".join(b"%d,z\n" % i for i in range(40_000))
SMALL = b"id,v\n" + b"".join(b"%d,y\n" % i for i in range(1_000))


def test_an_urgent_file_completes_while_a_huge_one_runs(api: Api) -> None:
    rows = 100_000
    lines = BIG.splitlines(keepends=True)[: rows + 1]
    big = api.upload(b"".join(lines), priority=0, chunk_size=100)["file_id"]
    assert api.run(SMALL, priority=10)["status"] == "completed"
    assert api.status(big)["status"] in ("queued", "processing")
    assert api.finished(big, 120)["rows"]["ok"] == rows


def test_equals_take_turns(api: Api) -> None:
    first = api.upload(BIG, priority=3, chunk_size=100)["file_id"]
    second = api.upload(SMALL * 10, priority=3, chunk_size=100, header_rows=1)["file_id"]
    api.finished(second)
    assert api.status(first)["status"] in ("queued", "processing"), (
        "the later, smaller equal waited for all of the first"
    )
    api.client.post(f"/api/v1/jobs/{api.status(first)['job_id']}/cancel")


def test_a_raised_priority_lets_a_waiting_job_overtake(api: Api) -> None:
    running = api.upload(BIG, priority=5, chunk_size=100)["file_id"]
    waiting = api.upload(MIDDLE, priority=0, chunk_size=100)["file_id"]
    answer = api.client.patch(
        f"/api/v1/jobs/{api.status(waiting)['job_id']}", json={"priority": 10}
    )
    assert answer.status_code == 200
    assert answer.json()["priority"] == 10
    api.finished(waiting)
    assert api.status(running)["status"] in ("queued", "processing")
    api.client.post(f"/api/v1/jobs/{api.status(running)['job_id']}/cancel")
