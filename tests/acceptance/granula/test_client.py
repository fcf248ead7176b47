"""granula.Client and AsyncClient against a service, over a network with planned faults."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest

from granula import (
    AsyncClient,
    Client,
    Incomplete,
    Job,
    JobFailed,
    RequestRefused,
    Status,
    Unreachable,
    WaitTimeout,
)
from tests.harness import Server

pytestmark = pytest.mark.one_database

ORDERS = b"id,name,total\n1,Ada,120.50\n2,Alan,Turing,89.00\n3,Grace,310.00\n"
CLEAN = b"id,name\n1,Ada\n2,\n"
LOADED = [
    {"id": "1", "name": "Ada", "total": "120.50"},
    {"id": "2", "name": "Alan Turing", "total": "89.00"},
    {"id": "3", "name": "Grace", "total": "310.00"},
]


@pytest.fixture
def url(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}"


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url) as client:
        yield client


def load(client: Client, data: bytes = ORDERS, **options: Any) -> Job:
    """A finished job with content of its own, whatever other tests have loaded."""
    job = client.load(data, filename="orders.csv", on_duplicate="new", **options)
    client.wait(job, timeout=30)
    return job


def test_a_job_of_any_type_is_started_over_a_file(url: str) -> None:
    with Client(url) as client:
        job = client.load(CLEAN, filename="clean.csv")
        analysis = client.start("analyze", job.file_id, priority=3)
        assert analysis.file_id == job.file_id
        status = client.wait(analysis, timeout=30)
        assert (status.status, status.raw["priority"]) == ("completed", 3)
        with pytest.raises(RequestRefused) as refused:
            client.start("rows", "file:///etc/passwd")
        assert refused.value.code == "not_configured"


def test_a_client_finds_fixes_and_proves_a_bad_row(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_bytes(ORDERS)
    seen: list[Status] = []
    job = client.load(path, priority=7, on_duplicate="new")
    status = client.wait(job, timeout=30, progress=seen.append)
    assert (status.status, status.counts.loaded, status.counts.rejected) == (
        "completed_with_errors", 2, 1,
    )  # fmt: skip
    assert seen[-1] == status
    assert status.raw["priority"] == 7
    (reject,) = client.rejects(job)
    assert (reject.row_number, reject.line, reject.code) == (2, 3, "column_count")
    assert reject.raw == "2,Alan,Turing,89.00"
    correction = client.fix(job, {2: {"name": "Alan Turing", "total": "89.00"}})
    client.wait(correction, timeout=30)
    assert client.rows(job).list() == LOADED
    proof = client.prove(job)
    assert (proof.closes, proof.counts.total, proof.problems) == (True, 3, [])


async def test_an_async_client_finds_fixes_and_proves_a_bad_row(url: str, tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_bytes(ORDERS)
    async with AsyncClient(url) as client:
        job = await client.load(path, on_duplicate="new")
        status = await client.wait(job, timeout=30)
        assert status.counts.rejected == 1
        rejects = [reject async for reject in client.rejects(job)]
        assert [reject.row_number for reject in rejects] == [2]
        correction = await client.fix(job, {2: {"name": "Alan Turing", "total": "89.00"}})
        await client.wait(correction, timeout=30)
        assert await client.rows(job).list() == LOADED
        assert (await client.rows(job).arrow()).to_pylist() == LOADED
        await client.download(job, tmp_path / "results.csv")
        text = (tmp_path / "results.csv").read_text()
        assert list(csv.DictReader(io.StringIO(text))) == LOADED
        assert (await client.prove(job)).closes
        await client.delete(job)
        with pytest.raises(RequestRefused) as refused:
            await client.status(job)
        assert refused.value.code == "not_found"


def test_a_file_fixes_rejects(client: Client, tmp_path: Path) -> None:
    job = load(client)
    path = tmp_path / "rejects.csv"
    client.download(job, path, what="rejects")
    (row,) = csv.DictReader(io.StringIO(path.read_text()))
    row |= {"name": "Alan Turing", "total": "89.00"}
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, row)
        writer.writeheader()
        writer.writerow(row)
    client.wait(client.fix(job, path), timeout=30)
    assert client.rows(job).list() == LOADED


def test_rows_convert_to_arrow_tables(client: Client) -> None:
    job = load(client, CLEAN)
    table = client.rows(job).arrow()
    assert table.schema == pa.schema([("id", pa.string()), ("name", pa.string())])
    assert table.to_pylist() == [{"id": "1", "name": "Ada"}, {"id": "2", "name": ""}]
    rejects = client.rejects(load(client)).arrow()
    assert rejects.select(["line", "code"]).to_pylist() == [{"line": 3, "code": "column_count"}]
    assert client.rejects(job).arrow().num_rows == 0


def test_values_of_json_keep_their_types_in_tables(client: Client) -> None:
    job = load(client, b'{"a": 1, "b": "x"}\n{"a": 2.5, "b": [1]}\n{"a": null, "b": null}\n')
    table = client.rows(job).arrow()
    assert table.column("a").to_pylist() == [1.0, 2.5, None]
    assert table.column("b").to_pylist() == ['"x"', "[1]", None]


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_rows_convert_to_data_frames_if_the_package_is_installed(
    client: Client, package: str
) -> None:
    frame = getattr(client.rows(load(client, CLEAN)), package)()
    assert list(frame.columns) == ["id", "name"]
    assert frame.shape == (2, 2)
    assert list(frame["name"]) == ["Ada", ""]


def test_many_rows_are_read_page_by_page(client: Client) -> None:
    data = b"id\n" + b"".join(b"%d\n" % number for number in range(25_000))
    job = load(client, data)
    assert [int(row["id"]) for row in client.rows(job)] == list(range(25_000))


def test_rows_are_filtered_and_sorted(client: Client) -> None:
    data = b"id,a b\n" + b"".join(b"%d,%d\n" % (n, n * 7 % 11) for n in range(15_000))
    job = load(client, data)
    rows = client.rows(job, where='"a b" >= 10', columns=["a b", "id"]).list()
    expected = [n for n in range(15_000) if n * 7 % 11 == 10]
    assert rows == [{"a b": "10", "id": str(n)} for n in expected]
    first = client.rows(job, search="12", sort="-a b").list()
    assert len(first) == 1_000
    assert [row["id"] for row in first[:2]] == [
        str(n) for n in range(15_000) if n * 7 % 11 == 10 and "12" in str(n)
    ][:2]


def test_options_of_the_file_and_the_processor_are_sent(client: Client) -> None:
    job = load(
        client, "é;ü\nça va;bien\n".encode("cp1252"), encoding="cp1252", delimiter=";",
        columns=["a", "b"], header_rows=1,
    )  # fmt: skip
    assert client.rows(job).list() == [{"a": "ça va", "b": "bien"}]
    scored = load(
        client,
        b"id,words\n1,I love it\n",
        processor="sentiment",
        option={"text_column": "words"},
    )
    assert [row["sentiment"] for row in client.rows(scored)] == ["positive"]


def test_an_open_file_is_read_to_its_end_and_stays_open(client: Client) -> None:
    file = io.BytesIO(CLEAN)
    job = client.load(file, filename="a.csv", on_duplicate="new")
    client.wait(job, timeout=30)
    assert len(client.rows(job).list()) == 2
    assert not file.closed


def test_equal_bytes_return_the_same_job(client: Client) -> None:
    first = client.load(b"a\nonly once\n", on_duplicate="existing")
    second = client.load(b"a\nonly once\n", on_duplicate="existing")
    assert (first.is_duplicate, second.is_duplicate) == (False, True)
    assert second.job_id == first.job_id


# ---------------------------------------------------------------------- faults


class Faulty(httpx.BaseTransport):
    """The network to the service. `fault` gets the number of each request and its response; it may
    raise, or return another response.
    """

    def __init__(self, fault: Callable[[int, httpx.Response], httpx.Response]) -> None:
        self._network = httpx.HTTPTransport()
        self._fault = fault
        self.requests: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self._fault(len(self.requests), self._network.handle_request(request))

    def close(self) -> None:
        self._network.close()


def lose_first_answer(number: int, answer: httpx.Response) -> httpx.Response:
    """The service has handled it, and the client does not get the response."""
    if number == 1:
        answer.read()
        raise httpx.ReadError("connection reset")
    return answer


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Records the pauses between attempts, without waiting."""
    pauses: list[float] = []
    monkeypatch.setattr("granula.client.time.sleep", pauses.append)
    return pauses


def test_an_upload_with_a_lost_response_is_stored_once(
    url: str, client: Client, at_once: list[float]
) -> None:
    network = Faulty(lose_first_answer)
    with Client(url, transport=network) as faulty:
        job = faulty.load(b"a\nlost answer\n", filename="lost.csv", on_duplicate="new")
    first, second = network.requests
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert not job.is_duplicate
    jobs = httpx.get(f"{url}/api/v1/jobs", params={"search": "lost.csv"}).json()["items"]
    assert [job["job_id"] for job in jobs] == [job.job_id]


def test_a_correction_with_a_lost_response_runs_once(
    url: str, client: Client, at_once: list[float]
) -> None:
    job = load(client)
    with Client(url, transport=Faulty(lose_first_answer)) as faulty:
        correction = faulty.fix(job, {2: {"name": "Alan Turing", "total": "89.00"}})
    client.wait(correction, timeout=30)
    assert client.status(job).raw["corrections"] == {"accepted": 1, "rows": 1}


def test_a_busy_service_is_retried_after_the_time_that_it_names(
    url: str, at_once: list[float]
) -> None:
    def busy(number: int, answer: httpx.Response) -> httpx.Response:
        return answer if number > 2 else httpx.Response(503, headers={"Retry-After": "7"})

    with Client(url, transport=Faulty(busy)) as faulty:
        faulty.load(CLEAN, filename="a.csv")
    assert at_once == [7.0, 7.0]


def test_an_unreachable_service_is_given_up_after_the_retries(at_once: list[float]) -> None:
    with Client("http://127.0.0.1:9", retries=2) as client, pytest.raises(Unreachable):
        client.status("00000000-0000-0000-0000-000000000000")
    assert len(at_once) == 2


def test_a_refused_request_is_not_retried(client: Client, at_once: list[float]) -> None:
    with pytest.raises(RequestRefused) as refused:
        client.load(CLEAN, processor="nonesuch")
    assert (refused.value.status_code, refused.value.code) == (422, "unknown_processor")
    assert "nonesuch" in str(refused.value)
    assert at_once == []


def test_a_missing_file_raises_an_os_error(client: Client) -> None:
    with pytest.raises(FileNotFoundError):
        client.load("/nonesuch/orders.csv")


def test_a_cancelled_or_slow_job_raises(client: Client) -> None:
    rows = b"".join(b"%d,x\n" % number for number in range(400_000))
    job = client.load(b"id,name\n" + rows, filename="big.csv", on_duplicate="new", chunk_size=100)
    with pytest.raises(WaitTimeout, match=r"after 0 s"):
        client.wait(job, timeout=0)
    client.cancel(job)
    with pytest.raises(JobFailed) as failed:
        client.wait(job, timeout=30)
    assert failed.value.status.status == "cancelled"


def test_a_download_is_complete_or_absent(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    client.download(load(client), path)
    assert path.read_text().splitlines() == ["id,name,total", "1,Ada,120.50", "3,Grace,310.00"]
    rows = b"".join(b"%d,x\n" % number for number in range(400_000))
    job = client.load(b"id,name\n" + rows, filename="big.csv", on_duplicate="new", chunk_size=100)
    client.cancel(job)
    with pytest.raises(Incomplete):
        client.download(job, tmp_path / "cancelled.csv")
    assert [each.name for each in tmp_path.iterdir()] == ["results.csv"]


def test_url_and_key_come_from_the_environment(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRANULA_URL", url)
    monkeypatch.setenv("GRANULA_KEY", "grn_nonesuch")
    network = Faulty(lambda number, answer: answer)
    with Client(transport=network) as client:
        client.load(CLEAN)
    (request,) = network.requests
    assert str(request.url).startswith(url)
    assert request.headers["authorization"] == "Bearer grn_nonesuch"
