"""Each request costs the service a bounded buffer, and /health responds meanwhile. Memory is that
of the process, as the kernel counts it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from app.formats.base import MAX_COLUMNS
from tests.conftest import Databases
from tests.harness import Api, Server, query

MIB = 1 << 20
HEALTH_SECONDS = 10
"""/health may take this long on a machine that is busy with other things; a blocked event loop
takes longer.
"""


@pytest.fixture(scope="module")
def server(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A process of its own, which shares no memory with others."""
    storage = tmp_path_factory.mktemp("service") / "storage"
    running = Server(databases.create(storage), storage, MAX_CONCURRENCY=2).start()
    yield running
    assert running.stop() in (0, -15), running.tail()


def memory(server: Server, name: str) -> int:
    """VmRSS or VmHWM in MiB."""
    assert server.process is not None
    text = Path(f"/proc/{server.process.pid}/status").read_text()
    return (
        int(next(line for line in text.splitlines() if line.startswith(f"{name}:")).split()[1])
        >> 10
    )


@contextmanager
def at_most(server: Server, mib: int) -> Iterator[None]:
    """Assert that the process takes no more than this in addition, and answers /health all the
    time.
    """
    assert server.process is not None
    # reset the maximum to the present size
    Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")
    before = memory(server, "VmRSS")
    done, failures, asked = threading.Event(), [], []

    def ask() -> None:
        with server.client() as client:
            while not done.is_set():
                try:
                    asked.append(client.get("/health", timeout=HEALTH_SECONDS).status_code)
                except httpx.HTTPError as error:
                    failures.append(error)
                done.wait(0.02)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        done.set()
        asking.join()
    more = memory(server, "VmHWM") - before
    assert not failures
    assert set(asked) == {200}
    assert more <= mib, f"{more} MiB more than before"


def read_all(server: Server, path: str) -> int:
    """Return the number of bytes of a response, without keeping it."""
    with server.client() as client, client.stream("GET", path, timeout=120) as answer:
        assert answer.status_code == 200
        return sum(map(len, answer.iter_raw()))


@pytest.mark.one_database  # the file is the same for both databases
def test_a_file_with_new_keys_in_every_row_takes_bounded_memory(api: Api, server: Server) -> None:
    """25 new keys in each of 4 000 rows."""
    data = "".join(
        json.dumps({f"k{row}_{key}": key for key in range(25)}) + "\n" for row in range(4_000)
    ).encode()
    with at_most(server, 250):
        status = api.run(data, name="keys.jsonl", type="application/x-ndjson")
        assert status["rows"]["ok"] == MAX_COLUMNS // 25
        file_id = status["file_id"]
        for path in (
            "results/{}?limit=10000",
            "results/{}?limit=10000&format=object",
            "rejects/{}?limit=10000",
        ):
            assert read_all(server, f"/api/v1/{path.format(file_id)}") < 20 * MIB
        for form in ("csv", "jsonl"):
            read_all(server, f"/api/v1/results/{file_id}/download?format={form}")
    rows = dict(api.rows(file_id))
    assert len(rows) == MAX_COLUMNS // 25
    assert {len(cells) for cells in rows.values()} == {MAX_COLUMNS // 25 * 25}


def test_long_rows_read_by_ten_clients_take_bounded_memory(api: Api, server: Server) -> None:
    """Rows of 15 MiB: a page has one of them, since it has at least one row."""
    long, count = 15 * MIB, 6
    data = b"id,text\n" + b"".join(b"%d,%s\n" % (i, b"x" * long) for i in range(count))
    file_id = api.run(data)["file_id"]
    with at_most(server, 500), ThreadPoolExecutor(10) as pool:
        sizes = list(
            pool.map(
                lambda _: read_all(server, f"/api/v1/results/{file_id}?limit=10000"), range(10)
            )
        )
    assert all(long < size < 2 * long for size in sizes)
    with at_most(server, 320):  # some copies of a row: 150 to 251 were measured
        assert read_all(server, f"/api/v1/results/{file_id}/download?format=csv") > count * long
        read_all(server, f"/api/v1/jobs/{file_id}/proof")
    numbers: list[int] = []
    after: int | None = 0
    while after is not None:
        page = api.client.get(
            f"/api/v1/results/{file_id}", params={"limit": 10, "after": after}
        ).json()
        numbers += [item["row_number"] for item in page["items"]]
        after = page["next_after"]
    assert numbers == list(range(1, count + 1))
    page = api.client.get(f"/api/v1/results/{file_id}", params={"limit": 10, "offset": 3}).json()
    assert ([item["row_number"] for item in page["items"]], page["next_offset"]) == ([4], 4)


def test_records_and_rejects_with_long_values_take_bounded_memory(api: Api, server: Server) -> None:
    text = "x" * (2 * MIB)
    rows = (
        {"name": "Ada", "age": 30, "email": f"a{i}@example.org", "text": text} for i in range(30)
    )
    response = api.client.post(
        "/api/upload",
        files={"file": ("r.json", json.dumps(list(rows)).encode(), "application/json")},
    )
    assert response.status_code == 201, response.text
    number = response.json()["id"]
    api.finished(response.json()["file_id"])
    with at_most(server, 250):
        assert read_all(server, f"/api/imports/{number}?limit=10000") < 12 * MIB
        answer = api.client.post("/api/records/search", json={"import_id": number, "limit": 1000})
        assert len(answer.content) < 12 * MIB
    seen: list[int] = []
    after: int | None = 0
    while after is not None:
        page = api.client.get(
            f"/api/imports/{number}", params={"limit": 100, "after": after}
        ).json()
        seen += [record["row_number"] for record in page["records"]]
        after = page["next_after"]
    assert seen == list(range(1, 31))
    seen = []
    after = 0
    while after is not None:
        page = api.client.post(
            "/api/records/search", json={"import_id": number, "limit": 100, "after": after}
        ).json()
        seen += [record["row_number"] for record in page["records"]]
        after = page["next_after"]
    assert sorted(seen) == list(range(1, 31))


@pytest.mark.one_database  # the file is the same for both databases
def test_20_000_columns_are_refused_or_rejected(api: Api, server: Server) -> None:
    with at_most(server, 150):
        header = ",".join(f"c{i}" for i in range(20_000))
        data = f"{header}\n{',' * 19_999}\n".encode()
        answer = api.client.post("/api/v1/upload", files={"file": ("wide.csv", data, "text/csv")})
        assert (answer.status_code, answer.json()["code"]) == (422, "too_many_columns")
        data = (json.dumps({f"c{i}": i for i in range(20_000)}) + "\n").encode() * 20
        status = api.run(data, name="wide.jsonl", type="application/x-ndjson")
        assert status["rows"]["invalid"] == 20
        assert status["columns"] == []


@pytest.mark.one_database  # the file is the same for both databases
def test_a_file_that_is_one_open_quote_takes_bounded_memory(api: Api, server: Server) -> None:
    """Longer than a row may be. It costs its own row, and the others are read."""
    count = 200_000
    line = b"x," + b"y" * 100 + b"\n"
    data = b'id,text\n1,"' + line + line * count
    with at_most(server, 250):
        status = api.run(data, quote='"')
        assert status["rows"]["total"] == count + 1
        for path in (
            "rejects/{}",
            "rejects/{}/download",
            "results/{}?limit=10000",
            "results/{}/download",
        ):
            read_all(server, f"/api/v1/{path.format(status['file_id'])}")
    assert api.proof(status["file_id"])["closes"]


def test_a_page_of_rejects_costs_the_same_for_any_number(api: Api, server: Server) -> None:
    count = 100_000
    file_id = api.run(b"a,b\n" + b"1,2,3\n" * count)["file_id"]
    with at_most(server, 100):
        page = api.client.get(f"/api/v1/rejects/{file_id}", params={"after": count - 10}).json()
        assert [item["row_number"] for item in page["items"]] == list(range(count - 9, count + 1))
        assert (page["total"], page["codes"]) == (count, {"column_count": count})
        assert read_all(server, f"/api/v1/rejects/{file_id}/download") > 10 * count
    # The counts are not computed again: the rows of the tables may be gone.
    query(server.url, "DELETE FROM rejects WHERE row_number < 99000", "SELECT 1")
    page = api.client.get(f"/api/v1/rejects/{file_id}", params={"after": count - 10}).json()
    assert (page["total"], page["codes"]) == (count, {"column_count": count})
