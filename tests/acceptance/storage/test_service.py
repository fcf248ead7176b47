"""The service with its files in a bucket: real processes, a real S3 server, and only the database
on disk.
"""

from __future__ import annotations

import asyncio
import base64
import csv
import gzip
import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from app.config import load_settings
from app.db.engine import Database
from app.pipeline.finisher import Finisher
from app.pipeline.queue import JobQueue
from app.pipeline.reconciler import Reconciler
from app.plugins import make_destinations
from app.sources.base import Sources
from app.sources.bucket import PART_BYTES
from app.sources.storage import LocalStorage
from app.sources.stores import stores
from tests.api.checks import assert_problem, key_of
from tests.api.gate import GatedFile
from tests.conftest import Databases
from tests.forks import Server
from tests.harness import Api, Postgres, query, wait_until
from tests.storage.buckets import Line, OurBucket
from tests.uploads.tus import TUS, create, offset_of, send

ROWS = [["id", "name", "note"]] + [
    [str(i), f"näme {i % 700}", "x" * (i % 400)] for i in range(1, 3_001)
]
MAPPING = {
    "columns": [
        {"name": "Name", "from": "name"},
        {"name": "Id", "from": "id", "steps": [{"operation": "cast", "to": "integer"}]},
    ]
}


def as_csv(rows: list[list[str]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode()


SMALL = as_csv(ROWS)
LARGE = as_csv(
    [ROWS[0]] + [[str(i), hashlib.sha256(b"%d" % i).hexdigest(), "y" * 25_000] for i in range(700)]
)
"""More than two parts of a multipart upload, and few rows."""
assert len(LARGE) > 2 * PART_BYTES


on_one_database = pytest.mark.parametrize(
    "databases", ["postgresql"], indirect=True, scope="module"
)
"""Tests whose SQL is the same on both databases."""


@pytest.fixture(scope="module")
def place(bucket: OurBucket, databases: Databases) -> str:
    """Settings for one database: another one would be refused there."""
    assert databases.kind
    return bucket.url()


@pytest.fixture(scope="module")
def server(
    databases: Databases, bucket: OurBucket, place: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    storage = tmp_path_factory.mktemp("service") / "storage"
    temporary = tmp_path_factory.mktemp("temporary")
    running = Server(
        databases.create(storage), storage, TMPDIR=temporary, **bucket.settings(place)
    ).start()
    yield running
    assert running.stop() in (0, -15), running.tail()
    assert not list(temporary.glob("granula-*")), "the folder of the process is gone with it"
    assert {path.name.partition("-")[0] for path in storage.iterdir()} <= {"granula.db"}
    assert "Traceback" not in running.log.read_text(), running.tail()


@pytest.fixture
def sqlite(postgres: Postgres, templates: dict[str, str]) -> Databases:
    """For tests that are the same on both databases, and start services of their own."""
    return Databases("sqlite", postgres, templates)


def files(bucket: OurBucket, place: str) -> list[str]:
    """Return the contents: files, marks, pieces, parts, and aborted uploads."""
    return bucket.below(place) + [f"{key} (broken off)" for key in bucket.broken_off(place)]


@on_one_database
@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
def test_rows_and_downloads_equal_an_independent_reading(
    api: Api, bucket: OurBucket, place: str, data: bytes
) -> None:
    before = files(bucket, place)
    job = api.upload(data, chunk_size=500)
    assert api.finished(job["file_id"])["status"] == "completed"
    expected = list(csv.reader(io.StringIO(data.decode())))[1:]
    assert [row for _, row in api.rows(job["file_id"], 200)] == expected
    assert api.proof(job["file_id"])["closes"]
    assert sorted(set(files(bucket, place)) - set(before)) == [f"uploads/{job['file_id']}"]

    url = f"/api/v1/files/{job['file_id']}/download"
    whole = api.client.get(url)
    assert whole.content == data
    assert whole.headers["repr-digest"].startswith("sha-256=:")
    tag, middle = whole.headers["etag"], len(data) // 2
    ranged = api.client.get(url, headers={"Range": f"bytes={middle}-", "If-Range": tag})
    assert (ranged.status_code, ranged.content) == (206, data[middle:])
    several = api.client.get(url, headers={"Range": f"bytes=0-3,{middle}-{middle + 5}"})
    assert several.status_code == 206
    assert data[middle : middle + 6] in several.content

    assert api.client.delete(f"/api/v1/files/{job['file_id']}").status_code == 204
    wait_until(lambda: files(bucket, place) == before, 20, "removal of the object")


@on_one_database
def test_refused_uploads_leave_nothing(api: Api, bucket: OurBucket, place: str) -> None:
    before = files(bucket, place)
    # stored blocks: large when received, and cut off
    broken = gzip.compress(LARGE, 0)[: -PART_BYTES // 2]
    for body, code in ((broken, "corrupt_gzip"), (b"\x89PNG" + LARGE, "content_mismatch")):
        answer = api.client.post("/api/v1/upload", files={"file": ("data.csv", body, "text/csv")})
        assert_problem(answer, answer.status_code, code)
    digest = base64.b64encode(bytes(32)).decode()
    answer = api.client.post(
        "/api/v1/upload",
        files={"file": ("data.csv", LARGE, "text/csv")},
        headers={"Repr-Digest": f"sha-256=:{digest}:"},
    )
    assert_problem(answer, answer.status_code, "digest_mismatch")
    assert files(bucket, place) == before


@on_one_database
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_transform_reads_and_writes_the_bucket(
    api: Api, bucket: OurBucket, place: str, form: str
) -> None:
    job = api.upload(SMALL, chunk_size=500)
    api.finished(job["file_id"])
    before = files(bucket, place)
    rules = {"columns": {"Name": {"unique": True}}} if form == "parquet" else {}
    body = {
        "input_file_id": job["file_id"],
        "mapping": MAPPING,
        "output_format": form,
        "validation": rules,
    }
    response = api.client.post("/api/v1/jobs/transform", json=body)
    assert response.status_code == 202, response.text
    status: dict[str, Any] = wait_until(
        lambda: (
            (s := api.client.get(f"/api/v1/jobs/{response.json()['job_id']}/status").json())
            and not s["is_active"]
            and s
        ),
        60,
        "end of the transform",
    )
    file_id = status["result_file_id"]
    content = api.client.get(f"/api/v1/files/{file_id}/download").content
    if form == "csv":
        assert list(csv.reader(io.StringIO(content.decode())))[1:] == [
            [row[1], row[0]] for row in ROWS[1:]
        ]
    else:
        first = {row[1]: int(row[0]) for row in reversed(ROWS[1:])}
        table = pq.read_table(io.BytesIO(content)).to_pydict()
        assert dict(zip(table["Name"], table["Id"], strict=True)) == first
        assert len(table["Id"]) == len(first) == 700
    wait_until(
        lambda: sorted(set(files(bucket, place)) - set(before)) == [f"uploads/{file_id}"],
        20,
        "the parts are gone",
    )


def test_corrected_rejects_are_loaded(api: Api) -> None:
    job = api.run(b"id,name\n1,a\n2\n3,c\n")
    assert job["rows"]["invalid"] == 1
    rejects = api.client.get(f"/api/v1/rejects/{job['file_id']}/download").content
    fixed = rejects.replace(b"2,,", b"2,b,")
    assert fixed != rejects
    answer = api.client.post(
        f"/api/v1/files/{job['file_id']}/corrections",
        content=fixed,
        headers={"Content-Type": "text/csv"},
    )
    assert answer.status_code == 202, answer.text
    api.finished(answer.json()["file_id"])
    assert [row for _, row in api.rows(job["file_id"])] == [["1", "a"], ["2", "b"], ["3", "c"]]


@on_one_database
def test_a_resumable_upload_is_stored_in_pieces_until_it_is_complete(
    server: Server, api: Api, bucket: OurBucket, place: str
) -> None:
    client, before = api.client, files(bucket, place)
    url = create(client, len(LARGE), filename="large.csv", chunk_size="100")
    upload_id = url.rpartition("/")[2]
    assert send(client, url, 0, LARGE[:5_000]).status_code == 204
    assert files(bucket, place) == sorted([*before, f"partial/{upload_id}/{0:020}"])
    wrong = f"sha256 {base64.b64encode(bytes(32)).decode()}"
    assert_problem(
        send(client, url, 5_000, LARGE[5_000:9_000], Upload_Checksum=wrong),
        460,
        "checksum_mismatch",
    )
    assert offset_of(client, url) == 5_000
    right = f"sha256 {base64.b64encode(hashlib.sha256(LARGE[5_000:9_000]).digest()).decode()}"
    assert send(client, url, 5_000, LARGE[5_000:9_000], Upload_Checksum=right).status_code == 204
    # Another process has continued meanwhile; the second one is told, and no acknowledged byte is
    # lost.
    bucket.client(place).put(f"partial/{upload_id}/{9_000:020}", LARGE[9_000:10_000])
    assert offset_of(client, url) == 10_000
    assert_problem(send(client, url, 9_000, LARGE[9_000:]), 409, "offset_mismatch")
    last = send(client, url, 10_000, LARGE[10_000:])
    assert last.status_code == 204, last.text
    file_id = last.headers["granula-file-id"]
    assert api.finished(file_id)["sha256"] == hashlib.sha256(LARGE).hexdigest()
    assert client.head(url, headers=TUS).headers["upload-offset"] == str(len(LARGE))
    assert sorted(set(files(bucket, place)) - set(before)) == [f"uploads/{file_id}"]


@on_one_database
def test_an_upload_whose_last_response_was_lost_is_finished_by_another_process(
    server: Server, api: Api, bucket: OurBucket, place: str
) -> None:
    """All bytes are stored, and their process is gone. An upload that nobody resumes is removed."""
    rests = create(api.client, 100)
    assert send(api.client, rests, 0, b"id,name\n").status_code == 204
    row = key_of(server, rests.rpartition("/")[2])
    query(server.url, f"UPDATE uploads SET expires_at = '2020-01-01 00:00:00' WHERE id = {row}")
    url = create(api.client, len(SMALL), filename="left.csv")
    upload_id = url.rpartition("/")[2]
    bucket.client(place).put(f"partial/{upload_id}/{0:020}", SMALL)
    # It was touched more than a minute ago, and expires in a day.
    later = (
        "datetime('now', '+23 hours')"
        if server.url.startswith("sqlite")
        else "now() + interval '23 hours'"
    )
    query(
        server.url,
        f"UPDATE uploads SET expires_at = {later} WHERE id = {key_of(server, upload_id)}",
    )
    found = wait_until(
        lambda: api.client.head(url, headers=TUS).headers.get("granula-file-id"), 30, "a file"
    )
    assert api.finished(found)["sha256"] == hashlib.sha256(SMALL).hexdigest()
    wait_until(
        lambda: not [key for key in bucket.below(place) if key.startswith("partial/")],
        30,
        "no pieces",
    )


def test_leftovers_of_a_killed_process_are_swept_and_possible_files_are_kept(
    sqlite: Databases, bucket: OurBucket, tmp_path: Path
) -> None:
    place = bucket.url()
    service = Server(
        sqlite.create(tmp_path / "storage"), tmp_path / "storage", **bucket.settings(place)
    )
    service.start(GRANULA_FAIL="upload.before_rename=kill@2")
    with service.client() as client:
        kept = Api(client).run(SMALL)["file_id"]
    with service.client() as client, pytest.raises(httpx.TransportError):
        client.post("/api/v1/upload", files={"file": ("large.csv", LARGE, "text/csv")})
    assert service.process is not None
    service.process.wait(30)
    assert len(bucket.broken_off(place)) == 1
    service.start(GRANULA_FAIL="upload.before_commit=kill")
    with service.client() as client, pytest.raises(httpx.TransportError):
        client.post("/api/v1/upload", files={"file": ("large.csv", LARGE, "text/csv")})
    service.process.wait(30)
    assert len(bucket.below(place)) >= 2, "an object that no row knows"

    sweep(service.url, bucket, place, tmp_path, 3600)
    assert len(bucket.broken_off(place)) == 1, "it is young: somebody else may be at it"
    sweep(service.url, bucket, place, tmp_path, -60)
    left = set(files(bucket, place))
    (unknown,) = [key.rpartition("/")[2] for key in left if key.startswith("lost+found/")]
    assert left == {
        "granula.json",
        f"uploads/{kept}",
        f"uploads/{unknown}",
        f"lost+found/uploads/{unknown}",
    }


def sweep(url: str, bucket: OurBucket, place: str, folder: Path, older_than_seconds: float) -> None:
    """Sweep as the reconciler does every ten minutes, for files of any age."""
    made = stores(place, folder, bucket.credentials(), most_bytes=1 << 30)

    async def renew_leases() -> None:
        """There are no uploads."""

    async def run() -> None:
        database = Database(load_settings(database_url=url, storage_dir=folder))
        sources = Sources(made.storage, made.outputs, LocalStorage(folder / "spool"))
        destinations = make_destinations(is_sqlite=True)
        finisher = Finisher(database, sources, destinations, delete_file=False)
        reconciler = Reconciler(
            database, JobQueue(1.0), finisher, made.storage, made.outputs, renew_leases
        )
        await reconciler.sweep(older_than_seconds)
        await database.close()

    asyncio.run(run())
    made.close()


def test_a_missing_bucket_is_reported_and_the_service_recovers(
    sqlite: Databases, bucket: OurBucket, gates: Path, tmp_path: Path
) -> None:
    name = f"{bucket.name}-later"
    line = Line(bucket.endpoint)
    settings = bucket.settings(f"s3://{name}/x") | {
        "ENDPOINT_URL": line.endpoint,
        "PROCESSORS": "tests.api.gate:Gate",
        "TEST_GATES": str(gates),
    }
    service = Server(sqlite.create(tmp_path / "storage"), tmp_path / "storage", **settings)
    service.launch()
    with ended(service), service.client() as client:
        told = wait_until(lambda: ready(client), 60, "an answer")
        assert (
            told["checks"]["storage"]
            == f"There is no bucket {name}: make it, or correct STORAGE_URL."
        )
        answer = client.post("/api/v1/upload", files={"file": ("a.csv", SMALL, "text/csv")})
        assert f"There is no bucket {name}" in assert_problem(answer, 503, "unavailable")["detail"]
        assert answer.headers["retry-after"]
        later = OurBucket(name, like=bucket)
        assert Api(client).run(SMALL)["status"] == "completed"
        assert client.get("/ready").status_code == 200

        # And one that is unreachable for a while, between two chunks of a job.
        with GatedFile(gates, 6) as gated:
            file_id = Api(client).upload(gated.data, chunk_size=100, processor="gate")["file_id"]
            chunks = f"/api/v1/jobs/{file_id}/chunks"
            wait_until(
                lambda: (
                    "processing" in [item["status"] for item in client.get(chunks).json()["items"]]
                )
            )
            line.cut()
            gated.open()
            wait_until(
                lambda: Api(client).status(file_id)["waiting_on"] == "storage",
                30,
                "a job that waits",
            )
            told = assert_problem(
                client.get(f"/api/v1/files/{file_id}/download"), 503, "unavailable"
            )["detail"]
            assert told.startswith(f"s3://{name}/x/uploads/{file_id} cannot be used now")
            line.mend()
        status = Api(client).finished(file_id)
        assert (status["status"], status["rows"]["ok"]) == ("completed", 600)
        assert {item["attempt"] for item in client.get(chunks).json()["items"]} == {1}
    later.remove()
    line.close()


@contextmanager
def ended(service: Server) -> Iterator[None]:
    try:
        yield
    finally:
        code = service.stop()
    assert code in (0, -15), service.tail()


def ready(client: httpx.Client) -> dict[str, Any] | None:
    try:
        answer = client.get("/ready")
    except httpx.TransportError:
        return None
    return dict(answer.json()) if "checks" in answer.json() else None
