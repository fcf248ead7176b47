"""Several processes on one database: every row once, whichever dies or freezes."""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx
import pytest

from app.formats.base import MAX_COLUMNS
from tests.acceptance.scale.conftest import MakeCluster
from tests.api.checks import RawConnection, assert_problem
from tests.crash.service import Input, Service, Worker, assert_exact
from tests.harness import FINAL, Api, OwnPostgres, migrate, wait_until
from tests.storage.buckets import OurBucket
from tests.uploads.tus import create, send


def test_every_api_process_accepts_and_reports_jobs_and_workers_share_their_chunks(
    make_cluster: MakeCluster,
) -> None:
    cluster = make_cluster()
    one, other = cluster.add(Service, 2)
    workers = cluster.add(Worker, 2)
    source = Input.clean(6_000)
    with one.api() as api, other.api() as elsewhere:
        upload = api.upload(source.data, chunk_size=100, processor="gated")

        wait_until(
            lambda: len(claimants(one, upload["job_id"])) == 2,
            what="chunks in work at both workers",
        )
        assert_all_at_work(workers, claimants(one, upload["job_id"]))
        one.raise_flag("open")
        elsewhere.finished(upload["file_id"])
        assert assert_exact(other, elsewhere, upload["file_id"], source)["status"] == "completed"

        (one.flags / "open").unlink()
        later = api.upload(Input.clean(6_000, "later").data, chunk_size=100, processor="gated")
        wait_until(
            lambda: any(c["status"] == "processing" for c in one.chunks(later["job_id"])),
            what="a chunk of it in work",
        )
        assert elsewhere.client.post(f"/api/v1/jobs/{later['job_id']}/cancel").status_code == 200
        one.raise_flag("open")
        assert api.finished(later["file_id"])["status"] == "cancelled"
    wait_until(
        lambda: one.sql("SELECT count(*) FROM procrastinate_jobs") == [(0,)], what="an empty queue"
    )


def test_workers_share_the_column_limit_of_a_job(make_cluster: MakeCluster) -> None:
    """None knows what the other has just written."""
    cluster = make_cluster()
    (service,) = cluster.add(Service)
    workers = cluster.add(Worker, 2, MAX_CONCURRENCY=1)  # otherwise one may take both chunks
    keys, rows = 200, 200
    data = "".join(
        json.dumps({f"k{row}_{key}": 1 for key in range(keys)}) + "\n" for row in range(rows)
    ).encode()
    with service.api() as api:
        upload = api.upload(
            data, name="wide.jsonl", type="application/x-ndjson", chunk_size=100, processor="gated"
        )

        wait_until(
            lambda: len(claimants(service, upload["job_id"])) == 2,
            what="a chunk in work at each worker",
        )
        assert_all_at_work(workers, claimants(service, upload["job_id"]))
        service.raise_flag("open")
        status = api.finished(upload["file_id"])
        room = MAX_COLUMNS // keys
        assert status["rows"] == {
            "total": rows,
            "ok": room,
            "invalid": rows - room,
            "failed": 0,
            "unprocessed": 0,
        }
        assert len(status["columns"]) == room * keys
        assert api.proof(upload["file_id"])["closes"]


def test_the_metrics_port_of_a_worker_has_the_limits_of_the_service(
    make_cluster: MakeCluster,
) -> None:
    """Limits on its descriptors protect those of the files that it works on."""
    cluster = make_cluster(HEADER_SECONDS=0.5, MAX_CONNECTIONS=4)
    cluster.add(Service)
    (worker,) = cluster.add(Worker)
    half = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Half"
    with ExitStack() as stack:
        silent = [stack.enter_context(RawConnection(worker)) for _ in range(40)]
        assert silent[0].status_if_any() is None
        with worker.client() as client:
            for path in ("/health", "/ready", "/metrics"):
                answer = client.head(path)
                assert (answer.status_code, answer.content) == (200, b"")
                assert "server" not in answer.headers
            assert client.post("/health").headers["allow"] == "GET, HEAD"
        with RawConnection(worker) as connection:
            assert_problem(connection.send(half).answer(), 408, "headers_timeout")


def test_processes_share_only_the_database_and_the_bucket(
    make_cluster: MakeCluster, bucket: OurBucket
) -> None:
    cluster = make_cluster(**bucket.settings(bucket.url()))
    one, other = cluster.add(Service, 2)
    cluster.add(Worker, 2)
    source = Input.clean(3_000)
    middle = len(source.data) // 2
    with one.api() as api, other.api() as elsewhere:
        url = create(api.client, len(source.data), query={"chunk_size": 100})
        assert send(elsewhere.client, url, 0, source.data[:middle]).status_code == 204
        last = send(api.client, url, middle, source.data[middle:])
        with elsewhere.client.stream(
            "GET", f"/api/v1/status/{last.headers['granula-file-id']}/events"
        ) as events:
            told = [line for line in events.iter_lines() if line.startswith("data:")]
        assert '"completed"' in told[-1]
        assert_exact(other, elsewhere, last.headers["granula-file-id"], source)

        mapping = {"columns": [{"name": "Name", "from": "name"}]}
        response = api.client.post(
            "/api/v1/jobs/transform",
            json={"input_file_id": last.headers["granula-file-id"], "mapping": mapping},
        )
        assert response.status_code == 202, response.text
        result = wait_until(
            lambda: _result(elsewhere, response.json()["job_id"]), 60, "the result of the transform"
        )
        lines = elsewhere.client.get(f"/api/v1/files/{result}/download").text.splitlines()
        assert lines == ["Name", *(cells[1] for _, cells in source.results)]


def _result(api: Api, job_id: str) -> str | None:
    """Return the file that the transform wrote, once it is done."""
    return (
        str(api.client.get(f"/api/v1/jobs/{job_id}/status").json().get("result_file_id") or "")
        or None
    )


def test_a_job_and_its_token_are_committed_together_or_not_at_all(
    make_cluster: MakeCluster,
) -> None:
    cluster = make_cluster(GRANULA_FAIL="upload.before_commit=kill@2")
    (service,) = cluster.add(Service)
    source = Input.clean(100)
    with service.api() as api:
        upload = api.upload(source.data)
        assert service.sql(
            "SELECT left(args->>'token', 36), status::text FROM procrastinate_jobs"
        ) == [(upload["job_id"], "todo")]
        with pytest.raises(httpx.TransportError):
            api.upload(source.data)
    service.wait_for_death()
    assert service.sql("SELECT count(*) FROM jobs") == [(1,)]
    assert service.sql("SELECT count(*) FROM procrastinate_jobs") == [(1,)]


def test_other_workers_take_over_the_work_of_killed_ones(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    (service,) = cluster.add(Service)
    cluster.add(Worker, 3)
    source = Input.clean(20_000)
    dice = random.Random(6)
    with service.api() as api:
        upload = api.upload(source.data, chunk_size=100)

        def count_completed() -> int:
            return sum(c["status"] == "completed" for c in service.chunks(upload["job_id"]))

        def has_moved(before: int) -> bool:
            is_done = bool(api.status(upload["file_id"])["status"] == "completed")
            return count_completed() > before or is_done

        for _ in range(3):
            before = count_completed()
            victim = dice.choice(
                [
                    member
                    for member in cluster.members
                    if isinstance(member, Worker) and member.is_alive
                ]
            )
            victim.kill()
            cluster.add(Worker)
            wait_until(partial(has_moved, before), 15, "work that moves")
        api.finished(upload["file_id"])
        assert assert_exact(service, api, upload["file_id"], source)["status"] == "completed"


def test_a_worker_frozen_past_its_lease_writes_nothing(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    (service,) = cluster.add(Service)
    (sleeper,) = cluster.add(Worker)
    source = Input.clean(2_000)
    with service.api() as api:
        upload = api.upload(source.data, chunk_size=100, processor="gated")
        wait_until(lambda: service.flagged("began"), what="a chunk in work")
        assert sleeper.process is not None
        sleeper.process.send_signal(signal.SIGSTOP)
        try:
            cluster.add(Worker)
            service.raise_flag("open")
            api.finished(upload["file_id"])
            assert assert_exact(service, api, upload["file_id"], source)["status"] == "completed"
        finally:
            sleeper.process.send_signal(signal.SIGCONT)
        wait_until(lambda: "Lost the lease of chunk" in sleeper.log.read_text(), what="a refusal")
        assert_exact(service, api, upload["file_id"], source)
        later = api.run(source.data, chunk_size=100)  # it continues to work
        assert_exact(service, api, later["file_id"], source)


def test_an_urgent_file_overtakes_a_queue_of_chunks(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(MAX_CONCURRENCY=1)
    (service,) = cluster.add(Service)
    cluster.add(Worker)
    huge, urgent = Input.clean(200_000), Input.clean(100, "urgent")
    with service.api() as api:
        slow = api.upload(huge.data, chunk_size=100)
        wait_until(lambda: len(service.chunks(slow["job_id"])) > 500, what="a queue")
        done = api.run(urgent.data, priority=10)
        assert_exact(service, api, done["file_id"], urgent)
        assert api.status(slow["file_id"])["status"] == "processing"
        api.client.delete(f"/api/v1/files/{slow['file_id']}")


def test_many_waiting_conclusions_leave_connections_to_a_worker(
    make_cluster: MakeCluster,
) -> None:
    """Each holds one connection for its lock: twelve would take all of the eight."""
    cluster = make_cluster(PROCESSORS="tests.crash.processors:PatientProcessor")
    (door,) = cluster.add(Service)
    (worker,) = cluster.add(Worker, LEASE_SECONDS=30)
    with door.api() as api:
        patient = [
            api.upload(f"id\n{i}\n".encode(), processor="patient")["file_id"] for i in range(12)
        ]
        wait_until(
            lambda: all(api.status(each)["rows"]["ok"] for each in patient), 30, "all rows done"
        )
        wait_until(
            lambda: len(door.sql("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'")) >= 4,
            30,
            "conclusions",
        )
        assert api.run(b"id\n1\n", priority=10)["status"] == "completed"
        worker.raise_flag("open")
        assert {api.finished(each)["status"] for each in patient} == {"completed"}


def test_a_worker_finishes_its_chunks_on_sigterm_and_exits_on_a_second_one(
    make_cluster: MakeCluster,
) -> None:
    cluster = make_cluster()
    (service,) = cluster.add(Service)
    first, second = cluster.add(Worker, 2)
    source = Input.clean(400)
    with service.api() as api:
        upload = api.upload(source.data, chunk_size=100, processor="gated")
        wait_until(
            lambda: sum(c["status"] == "processing" for c in service.chunks(upload["job_id"])) == 4
        )
        assert first.process is not None
        assert second.process is not None
        for worker, process in ((first, first.process), (second, second.process)):
            process.terminate()
            wait_until(partial(drains, worker), what="a worker that drains")
        assert first.is_alive
        second.process.terminate()
        assert second.process.wait(10) == 1
        service.raise_flag("open")
        assert first.process.wait(20) == 0
        by_first = [c for c in service.chunks(upload["job_id"]) if c["status"] == "completed"]
        assert len(by_first) == 2
        cluster.add(Worker)
        api.finished(upload["file_id"])
        assert assert_exact(service, api, upload["file_id"], source)["status"] == "completed"


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_minute_of_kills_and_two_postgresql_restarts_lose_nothing(
    own_postgres: OwnPostgres, make_cluster: MakeCluster, tmp_path: Path
) -> None:
    """A random one of three workers dies every two seconds, and the database is restarted twice."""
    url = own_postgres.url(own_postgres.create())
    migrate(url)
    cluster = make_cluster(url, LEASE_SECONDS=6, HEARTBEAT_SECONDS=1, RECONCILE_SECONDS=2)
    (service,) = cluster.add(Service)
    cluster.add(Worker, 3)
    source = Input.clean(60_000)
    dice = random.Random(60)
    uploads: list[str] = []
    kills = 0
    begun = time.monotonic()
    restarts = [begun + 20, begun + 40]
    with service.api() as api:

        def has_moved(before: int) -> bool:
            is_final = api.status(uploads[-1])["status"] in FINAL
            return _moved(service) > before or is_final

        while (now := time.monotonic()) < begun + 60:
            if not uploads or api.status(uploads[-1])["status"] in FINAL:
                uploads.append(api.upload(source.data, chunk_size=100)["file_id"])
            if restarts and now > restarts[0]:
                restarts.pop(0)
                own_postgres.stop_with("immediate")
                own_postgres.start_again()
                wait_until(lambda: service.is_ready(), 30, "a service that is ready again")
            dice.choice(
                [
                    member
                    for member in cluster.members
                    if isinstance(member, Worker) and member.is_alive
                ]
            ).kill()
            kills += 1
            cluster.add(Worker)
            wait_until(partial(has_moved, _moved(service)), 15, "work that moves")
            # the interval of the kills, not a wait for something
            time.sleep(max(0.0, now + 2 - time.monotonic()))
        for upload in uploads:
            api.finished(upload, 120)
            assert_exact(service, api, upload, source)
    assert kills >= 15


def claimants(service: Service, job_id: str) -> set[str]:
    """Return the workers that have a running chunk of the job."""
    at_work = (c for c in service.chunks(job_id) if c["status"] == "processing")
    return {c["claimed_by"] for c in at_work}


def assert_all_at_work(workers: Sequence[Worker], claimed_by: set[str]) -> None:
    names = " ".join(claimed_by)
    for worker in workers:
        if worker.process:
            assert f":{worker.process.pid}:" in names


def drains(worker: Worker) -> bool:
    return "finishing current chunks" in worker.log.read_text()


def _moved(service: Service) -> int:
    """Return the number of completed chunks of all jobs."""
    return int(service.sql("SELECT count(*) FROM chunks WHERE status = 'completed'")[0][0])
