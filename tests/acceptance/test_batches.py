"""/batch: the documented commands, and every limitation of the first implementation removed."""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import event
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from app.config import load_settings
from app.db.engine import Database
from app.embeddings.model import Embedder
from app.features.batches.service import list_batches
from app.features.sentiment.head import classify
from tests.conftest import Databases
from tests.forks import Server
from tests.harness import Api, Parameter, query, wait_until

SAMPLE = b"""id,text
1,This product is amazing and exceeded expectations!
2,Terrible service, would not recommend
3,Just average, nothing special
4,Love this! Best purchase ever!
5,Waste of money, very disappointed
6,Good quality but overpriced
7,Perfect for my needs
8,Absolutely horrible experience
9,Decent value for the price
10,Outstanding customer support!
"""
SCORERS = "tests.acceptance.scorers"
END = ("completed", "failed", "cancelled")


def csv_of(texts: list[str]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows([("id", "text"), *enumerate(texts, 1)])
    return out.getvalue().encode()


class Client:
    """Calls of these endpoints."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def post(self, data: Any, name: str = "test.csv", **params: Parameter) -> httpx.Response:
        return self.http.post(
            "/batch/upload", params=params, files={"file": (name, data, "text/csv")}
        )

    def upload(self, data: Any, name: str = "test.csv", **params: Parameter) -> dict[str, Any]:
        answer = self.post(data, name, **params)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def status(self, batch_id: str) -> dict[str, Any]:
        answer = self.http.get(f"/batch/{batch_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def finished(self, batch_id: str, seen: list[int] | None = None) -> dict[str, Any]:
        """Return the final status; the numbers of processed texts go to `seen`."""

        def final() -> dict[str, Any] | None:
            status = self.status(batch_id)
            if seen is not None:
                seen.append(status["processed_count"])
            return status if status["status"] in END else None

        return wait_until(final, 60, f"end of {batch_id}") or {}

    def results(self, batch_id: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            page = self.http.get(
                f"/batch/{batch_id}/results",
                params={"page": len(found) // 100 + 1, "per_page": 100},
            )
            items = page.json()["results"]
            found += items
            if len(items) < 100:
                return found


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with server.client() as http:
        yield Client(http)


class Rig(Server):
    """A server with the models of `tests.acceptance.scorers` and flags to cue them."""

    def __init__(self, url: str, storage: Path, **environment: object) -> None:
        self.flags = storage.parent / "flags"
        self.flags.mkdir()
        models = ",".join(f"{SCORERS}:{name}" for name in ("Gated", "Flaky", "Fragile"))
        super().__init__(
            url, storage, SENTIMENT_MODELS=models, SCORER_FLAGS=self.flags, **environment
        )

    def began(self) -> set[int]:
        """Return the processes in which `Gated` waits or has waited."""
        return {int(path.name.partition("-")[2]) for path in self.flags.glob("began-*")}


class Mortal(Rig):
    """A server to be killed, with compute processes of its own."""

    forks_computing = False


RIGGED = {
    "MAX_CONCURRENCY": 2, "COMPUTE_PROCESSES": 2, "BASE_BACKOFF": 0, "MAX_RETRIES": 1,
    "LEASE_SECONDS": 2, "HEARTBEAT_SECONDS": 0.3, "RECONCILE_SECONDS": 0.3,
}  # fmt: skip


@pytest.fixture(scope="module")
def rig(
    databases: Databases, model_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rig]:
    """A server for the tests that do not kill it."""
    storage = tmp_path_factory.mktemp("rig") / "storage"
    made = Rig(databases.create(storage), storage, EMBEDDING_MODEL_DIR=model_dir, **RIGGED)
    made.start()
    yield made
    assert made.stop() in (0, -15), made.tail()


@pytest.fixture
def mortal(databases: Databases, tmp_path: Path) -> Iterator[Mortal]:
    storage = tmp_path / "storage"
    made = Mortal(databases.create(storage), storage, **RIGGED)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.kill()


@contextmanager
def connected(server: Server) -> Iterator[tuple[Client, Api]]:
    with server.client() as http:
        yield Client(http), Api(http)


# ---------------------------------------------------------------------- the commands


def test_documented_commands_get_the_documented_responses(client: Client) -> None:
    upload = client.upload(SAMPLE)
    batch_id = upload["batch_id"]
    assert batch_id.removeprefix("batch-") == f"{int(batch_id[6:], 16):012x}"
    first = {name: upload[name] for name in ("status", "total_count", "processed_count")}
    assert first == {"status": "processing", "total_count": 10, "processed_count": 0}

    status = client.finished(batch_id)
    times = [status.pop(name) for name in ("created_at", "completed_at")]
    assert times == sorted(times)
    links = {name: upload[name] for name in ("file_id", "job_id")}
    assert status == {
        "batch_id": batch_id,
        "status": "completed",
        "total_count": 10,
        "processed_count": 10,
        "progress_percent": 100.0,
        "summary": {"positive": 6, "neutral": 0, "negative": 4},
        "error_message": None,
        "counts": {"loaded": 10, "rejected": 0, "failed": 0, "not_processed": 0},
        "rejected_count": 0,
        "failed_count": 0,
        "rejects_url": f"/api/v1/rejects/{upload['file_id']}",
        **links,
    }

    page = client.http.get(f"/batch/{batch_id}/results?page=1&per_page=5").json()
    texts = [line.partition(",")[2] for line in SAMPLE.decode().splitlines()[1:]]
    library = SentimentIntensityAnalyzer()
    scores = [library.polarity_scores(text)["compound"] for text in texts]
    expected = [
        {
            "row_id": str(i),
            "text": text,
            "sentiment": "positive" if score > 0 else "negative",
            "score": score,
        }
        for i, (text, score) in enumerate(zip(texts, scores, strict=True), 1)
    ]
    head = {"batch_id": batch_id, "page": 1, "per_page": 5, "total_results": 10, "total_pages": 2}
    assert page == {**head, "results": expected[:5]}
    assert client.results(batch_id) == expected

    assert client.http.get("/batches").json()[0]["batch_id"] == batch_id
    assert Api(client.http).proof(upload["file_id"])["closes"]
    deleted = client.http.delete(f"/batch/{batch_id}")
    assert deleted.json() == {"message": f"Batch {batch_id} deleted"}
    for gone in (client.http.get(f"/batch/{batch_id}"), client.http.delete(f"/batch/{batch_id}")):
        assert (gone.status_code, gone.json()["detail"]) == (404, "Batch not found")
    assert batch_id not in client.http.get("/batches").text


MEGABYTES = b"id,text\n" + b"1,fine\n" * 400_000
REFUSED: dict[str, tuple[str, bytes, str]] = {
    "name": ("test.txt", SAMPLE, "File must be a CSV"),
    "no_bytes": ("test.csv", b"", "CSV file is empty"),
    "header_alone": ("test.csv", b"id,text\n", "CSV file is empty"),
    "blank_lines": ("test.csv", b"\n\r\n\n", "CSV file is empty"),
    "no_text_column": ("test.csv", b"id,body\n1,a\n", "CSV must have 'text' column"),
    "no_text_column_long": (
        "test.csv",
        b"id,Text\n" + b"1,a\n" * 200_000,
        "CSV must have 'text' column",
    ),
    "latin_1": (
        "test.csv",
        "id,text\n1,café\n".encode("latin-1"),
        "Invalid file encoding. Use UTF-8.",
    ),
    "utf_16": ("test.csv", "id,text\n1,a\n".encode("utf-16"), "Invalid file encoding. Use UTF-8."),
    "last_byte": ("test.csv", MEGABYTES + b"2,caf\xc3", "Invalid file encoding. Use UTF-8."),
    "last_byte_gzip": (
        "test.csv.gz",
        gzip.compress(MEGABYTES + b"\xff", 1),
        "Invalid file encoding. Use UTF-8.",
    ),
    "binary": ("test.csv", b"\x7fELF\x02\x01\x01" + bytes(100), "Invalid CSV format: "),
    "nul": ("test.csv", b"id,text\n" + b"\0\0\0\n" * 9, "Invalid CSV format: "),
    "gzip": ("test.csv", gzip.compress(SAMPLE)[:-9], "Invalid CSV format: "),
}


@pytest.mark.one_database
@pytest.mark.parametrize("case", REFUSED)
def test_an_invalid_batch_is_refused_and_not_kept(
    client: Client, server: Server, case: str
) -> None:
    name, data, detail = REFUSED[case]
    uploads = server.storage / "uploads"
    batches, files = client.http.get("/batches").json(), set(os.listdir(uploads))
    answer = client.post(data, name)
    assert answer.status_code == 400, answer.text
    assert answer.json()["detail"] == detail or (
        detail.endswith(": ") and answer.json()["detail"].startswith(detail)
    )
    assert [batch["batch_id"] for batch in client.http.get("/batches").json()] == [
        batch["batch_id"] for batch in batches
    ]
    assert set(os.listdir(uploads)) <= files, "files of deleted batches may still be going"


def test_malformed_requests_are_refused_without_harm(client: Client) -> None:
    batch_id = client.upload(SAMPLE)["batch_id"]
    client.finished(batch_id)
    pages = {
        "page=0&per_page=0": (1, 50), "page=-7&per_page=-1": (1, 50), "per_page=101": (1, 50), "per_page=100": (1, 100),
        "page=2&per_page=3": (2, 3), "page=9223372036854775807": (9223372036854775807, 50),
    }  # fmt: skip
    for parameters, (page, per_page) in pages.items():
        body = client.http.get(f"/batch/{batch_id}/results?{parameters}").json()
        assert (body["page"], body["per_page"], body["total_results"]) == (
            page,
            per_page,
            10,
        ), parameters
        first = (page - 1) * per_page + 1
        assert [r["row_id"] for r in body["results"]] == [
            str(i) for i in range(first, min(first + per_page, 11))
        ]
    for path, status in {
        f"/batch/{batch_id}/results?page=99999999999999999999": 422,
        f"/batch/{batch_id}/results?page=1.5": 422,
        f"/batch/{batch_id}/results?page=%00": 422,
        f"/batch/{batch_id}/results?page=1&page=2": 422,
        "/batches?skip=-1": 422, "/batches?skip=9223372036854775807": 422, "/batches?limit=1000000": 422,
        "/batches?limit=%00": 422, "/batches?skip=4611686018427387904": 200, "/batches?limit=0": 200,
        "/batch/%00": 404, "/batch/batch-%00aaaaaaaaaa": 404, f"/batch/{'x' * 5000}": 404, "/batch/batch-000000000000": 404,
        "/batch/%ed%a0%80": 404, "/batch/%00/results": 404, "/batch/1/results?page=1": 404,
    }.items():  # fmt: skip
        assert client.http.get(path).status_code == status, path
    for parameters in (
        "priority=11",
        "chunk_size=1",
        "chunk_size=1e3",
        "model=os:system",
        "model=%00",
        "colour=red",
    ):
        answer = client.http.post(
            f"/batch/upload?{parameters}", files={"file": ("test.csv", SAMPLE)}
        )
        assert answer.status_code == 422, parameters
    assert "vader" in client.post(SAMPLE, model="best").json()["detail"]
    late: dict[str, tuple[str | None, bytes | str]] = {
        "file": ("test.csv", SAMPLE),
        "priority": (None, "11"),
    }
    assert client.http.post("/batch/upload", files=late).status_code == 422
    assert client.http.post("/batch/upload", content=SAMPLE).json()["code"] == "missing_file_part"
    assert client.http.post("/batch/upload", files={"f": ("a.csv", SAMPLE)}).status_code == 422


def test_data_of_other_owners_and_other_endpoints_is_invisible(
    client: Client, server: Server
) -> None:
    upload = client.upload(SAMPLE)
    client.finished(upload["batch_id"])
    other = Api(client.http).run(b"id,text\n1,a\n", processor="sentiment")
    assert other["job_id"] not in client.http.get("/batches").text
    assert client.http.get(f"/batch/{other['job_id']}").status_code == 404

    query(
        server.url, f"UPDATE jobs SET owner = 'somebody' WHERE public_id = '{upload['batch_id']}'"
    )
    assert upload["batch_id"] not in client.http.get("/batches").text
    for method, path in (("GET", ""), ("GET", "/results"), ("DELETE", "")):
        assert client.http.request(method, f"/batch/{upload['batch_id']}{path}").status_code == 404


def test_the_list_is_newest_first_and_costs_two_statements_for_any_length(
    client: Client, server: Server
) -> None:
    made = [client.upload(SAMPLE)["batch_id"] for _ in range(4)]
    for batch_id in made:
        client.finished(batch_id)
    listed = client.http.get("/batches?skip=1&limit=2").json()
    assert [batch["batch_id"] for batch in listed] == made[2:0:-1]
    assert listed[0] == client.status(made[2])

    async def statements(limit: int) -> int:
        database = Database(load_settings(database_url=server.url, storage_dir=server.storage))
        seen: list[str] = []

        @event.listens_for(database.engine.sync_engine, "before_cursor_execute")
        def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
            seen.extend(
                [statement]
                if statement.startswith("SELECT jobs") or "FROM chunks" in statement
                else []
            )

        found = await list_batches(database, "local", skip=0, limit=limit)
        await database.close()
        assert len(found) == limit
        return len(seen)

    assert [asyncio.run(statements(limit)) for limit in (1, 4)] == [2, 2]


def test_texts_of_any_shape_become_results_or_rejects_and_the_count_is_right_immediately(
    client: Client,
) -> None:
    data = (
        b'id,text\r\na,"two\nlines, ""quoted"""\r\n\r\n,no id\r\nb\r\nc,\r\nd,5" disk,'
        b' fine\r\n\x00,x\r\ne,"open'
    )
    upload = client.upload(gzip.compress(data), "test.csv.gz")
    status = client.finished(upload["batch_id"])
    assert upload["total_count"] == status["total_count"] == status["processed_count"] == 7
    assert (status["status"], status["rejected_count"]) == ("completed", 2)
    results = client.results(upload["batch_id"])
    assert [(r["row_id"], r["text"]) for r in results] == [
        ("a", 'two\nlines, "quoted"'),
        ("2", "no id"),
        ("c", ""),
        ("d", '5" disk, fine'),
        ("e", '"open'),
    ]
    assert results[2]["score"] == 0.0
    rejects = client.http.get(status["rejects_url"]).json()["items"]
    assert [(r["row_number"], r["line"], r["code"], r["raw"]) for r in rejects] == [
        (3, 6, "missing_text", "b"),
        (6, 9, "nul_character", "\0,x"),
    ]
    assert Api(client.http).proof(upload["file_id"])["closes"]


def test_json_is_scored_through_the_upload_of_files(client: Client) -> None:
    api = Api(client.http)
    data = (
        b'[{"id": 7, "text": "I love it", "n": 1},\n{"txt": "x"},\n{"text": 5}, {"text": null},'
        b' {"text": "\\u0000 bad"}]'
    )
    status = api.run(data, name="a.json", type="application/json", processor="sentiment")
    assert status["columns"] == ["row_id", "text", "sentiment", "score"]
    assert status["summary"] == {"positive": 1, "neutral": 0, "negative": 1}
    assert api.rows(status["file_id"]) == [
        (1, ["7", "I love it", "positive", 0.6369]),
        (5, ["5", "\0 bad", "negative", -0.5423]),
    ]
    rejects = [
        (r["row_number"], r["line"], r["code"], r["raw"]) for r in api.rejects(status["file_id"])
    ]
    assert rejects == [
        (2, 2, "missing_text", '{"txt": "x"}'),
        (3, 3, "text_not_string", '{"text": 5}'),
        (4, 3, "missing_text", '{"text": null}'),
    ]
    assert "Did you mean `txt`?" in api.rejects(status["file_id"])[0]["message"]
    assert api.proof(status["file_id"])["closes"]
    lacking = client.http.post(
        "/api/v1/upload?processor=sentiment", files={"file": ("a.csv", b"id,Texts\n1,a\n")}
    )
    assert (lacking.status_code, lacking.json()["code"]) == (422, "missing_column")
    assert "Did you mean `Texts`?" in lacking.json()["detail"]


def test_the_text_column_may_be_named_before_or_after_the_file(client: Client) -> None:
    long = b"id,body,note\n" + b"1,I love it,\n2,I hate it,x\n" * 6_000
    short = b"id,body\n1,I love it\n2,I hate it\n"
    for data, count in ((short, 1), (long, 6_000)):
        file = ("file", ("test.csv", data, "text/csv"))
        name = ("text_column", (None, b"body"))
        asked = [
            {"files": [file, name]},
            {"files": [name, file]},
            {"files": [file], "params": {"text_column": "body"}},
        ]
        for given in asked if count == 1 else asked[:1]:
            body = client.http.post("/batch/upload", **given).json()  # type: ignore[arg-type]
            summary = client.finished(body["batch_id"])["summary"]
            assert summary == {"positive": count, "neutral": 0, "negative": count}
    assert client.results(body["batch_id"])[0]["text"] == "I love it"
    for data in (short, long):
        answer = client.post(data, text_column="Body")
        assert (answer.status_code, answer.json()["detail"]) == (400, "CSV must have 'Body' column")
    for bad in ("", "\0", "x" * 101):
        assert client.post(short, text_column=bad).status_code == 422
    api = Api(client.http)
    status = api.run(
        b'[{"body": "I love it"}, {"text": "I love it"}]', processor="sentiment", text_column="body"
    )
    assert status["summary"]["positive"] == 1
    assert [(r["code"], r["column"]) for r in api.rejects(status["file_id"])] == [
        ("missing_text", "body")
    ]
    assert (
        client.http.post(
            "/api/v1/upload?text_column=a", files={"file": ("a.csv", short)}
        ).status_code
        == 422
    )


@pytest.mark.one_database
def test_the_sentiment_head_on_embeddings_scores_if_selected(rig: Rig, model_dir: Path) -> None:
    texts = [
        "A warm, funny film.",
        "Dull, badly acted and far too long.",
        "",
        "A warm, funny film.",
    ]
    with connected(rig) as (client, api):
        upload = client.upload(csv_of(texts), model="minilm")
        status = client.finished(upload["batch_id"])
        assert status["summary"] == {"positive": 2, "neutral": 1, "negative": 1}
        found = [(r["sentiment"], r["score"]) for r in client.results(upload["batch_id"])]
        assert found == classify(texts, Embedder(model_dir))
        assert api.proof(upload["file_id"])["closes"]


# ---------------------------------------------------------------------- removed limitations


@pytest.mark.one_database
def test_limitation_data_is_loaded_into_memory(
    server: Server, client: Client, tmp_path: Path
) -> None:
    row = b"1,nice,%s\n" % (b"x" * 10_000)

    def peak_with(rows: int) -> float:
        big = tmp_path / f"{rows}.csv"
        with big.open("wb") as file:
            file.write(b"id,text,note\n")
            file.writelines([row] * rows)
        with big.open("rb") as file:
            upload = client.upload(file)
        assert upload["total_count"] == rows
        assert client.finished(upload["batch_id"])["summary"]["positive"] == rows
        return peak_megabytes(server)

    # Two files, so that memory held per file is not mistaken for memory held once: buffers for some
    # chunks at a time.
    small = peak_with(2_500)
    assert peak_with(10_000) - small < 40, "the second file has 75 MB more"


def peak_megabytes(server: Server) -> float:
    assert server.process is not None
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def test_limitation_a_restart_loses_jobs_in_progress(mortal: Mortal) -> None:
    texts = [f"good number {i}" for i in range(2_000)]
    texts[1_234] = "gate"
    mortal.start()
    with connected(mortal) as (client, _):
        upload = client.upload(csv_of(texts), chunk_size=100, model=f"{SCORERS}:Gated")
        batch_id, seen = upload["batch_id"], [0]

        def in_the_middle() -> bool:
            seen.append(client.status(batch_id)["processed_count"])
            return bool(mortal.began()) and seen[-1] > 0

        wait_until(in_the_middle, 30, "middle of the batch")
        assert client.status(batch_id)["status"] == "processing"
        assert client.status(batch_id)["total_count"] == upload["total_count"] == 2_000
    workers = children(mortal)
    assert mortal.began() <= workers
    mortal.kill()
    # Also the process in the middle of an endless text.
    wait_until(
        lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), 30, "end of the orphans"
    )
    (mortal.flags / "open").touch()
    mortal.start()
    with connected(mortal) as (client, api):
        status = client.finished(batch_id, seen)
        assert (status["status"], status["processed_count"], status["rejected_count"]) == (
            "completed",
            2_000,
            0,
        )
        assert [(r["row_id"], r["text"]) for r in client.results(batch_id)] == [
            (str(i), text) for i, text in enumerate(texts, 1)
        ]
        assert api.proof(upload["file_id"])["closes"]
    assert seen == sorted(seen)


def children(server: Server) -> set[int]:
    """Return the child processes of the server."""
    assert server.process is not None
    tasks = Path(f"/proc/{server.process.pid}/task").glob("*/children")
    return {int(pid) for path in tasks for pid in path.read_text().split()}


@pytest.mark.one_database
def test_limitation_processing_is_single_threaded(rig: Rig) -> None:
    assert rig.process is not None
    with connected(rig) as (client, _):
        batch_id = client.upload(csv_of(["gate"] * 400), chunk_size=100, model=f"{SCORERS}:Gated")[
            "batch_id"
        ]
        wait_until(lambda: len(rig.began()) == 2, 30, "two processes at work")
        # Both compute without a pause; the service still responds.
        for _ in range(20):
            assert client.http.get("/health").status_code == 200
        assert client.status(batch_id)["status"] == "processing"
        (rig.flags / "open").touch()
        client.finished(batch_id)
        used = {int(r["score"]) for r in client.results(batch_id)}
        assert used == rig.began()
        assert rig.process.pid not in used


def test_limitation_failed_chunks_are_not_retried(rig: Rig) -> None:
    with connected(rig) as (client, _):
        upload = client.upload(csv_of(["a", "b"]), model=f"{SCORERS}:Flaky")
        status = client.finished(upload["batch_id"])
        assert status["summary"] == {"positive": 2, "neutral": 0, "negative": 0}
        (chunk,) = client.http.get(f"/api/v1/jobs/{upload['job_id']}/chunks").json()["items"]
        assert chunk["attempt"] == 2


def test_limitation_a_partial_failure_fails_the_whole(rig: Rig) -> None:
    texts = [f"text {i}" for i in range(300)]
    texts[7], texts[150], texts[299] = "bad", "nan", "poison"
    with connected(rig) as (client, api):
        upload = client.upload(csv_of(texts), chunk_size=100, model=f"{SCORERS}:Fragile")
        status = client.finished(upload["batch_id"])
        assert (status["status"], status["processed_count"], status["rejected_count"]) == (
            "completed",
            300,
            3,
        )
        assert status["summary"] == {"positive": 297, "neutral": 0, "negative": 0}
        rejects = client.http.get(status["rejects_url"]).json()["items"]
        assert [(r["row_number"], r["kind"], r["code"], r["raw"]) for r in rejects] == [
            (8, "failed", "processing_failed", "8,bad"),
            (151, "failed", "processing_failed", "151,nan"),
            (300, "failed", "processing_failed", "300,poison"),
        ]
        assert ["ValueError: cannot do this", "BadScores", "WorkerDied"] == [
            said if said in r["message"] else r["message"]
            for said, r in zip(
                ["ValueError: cannot do this", "BadScores", "WorkerDied"], rejects, strict=True
            )
        ]
        assert api.proof(upload["file_id"])["closes"]


def test_the_same_request_sent_again_gets_the_same_batch(client: Client) -> None:
    def post(data: bytes) -> httpx.Response:
        files = {"file": ("test.csv", data, "text/csv")}
        return client.http.post("/batch/upload", headers={"Idempotency-Key": "once"}, files=files)

    first, again = post(SAMPLE), post(SAMPLE)
    assert (again.status_code, again.json()) == (200, first.json())
    assert post(SAMPLE + b"11,more\n").json()["code"] == "idempotency_key_reused"


def test_concurrent_uploads_are_counted_separately(client: Client) -> None:
    counts: dict[int, int] = {}

    def upload(rows: int) -> None:
        counts[rows] = client.upload(csv_of(["so so"] * rows))["total_count"]

    threads = [threading.Thread(target=upload, args=(rows,)) for rows in (1, 20, 300)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == {1: 1, 20: 20, 300: 300}
