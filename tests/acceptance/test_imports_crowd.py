"""Many requests at a time, and a large import: no 5xx, no memory that grows with the rows, and
nothing left behind.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import httpx
import psutil
import pytest

from scripts.generate_csv import generate
from tests.acceptance.test_imports import TABLES, Client, people
from tests.conftest import Databases
from tests.forks import Server
from tests.harness import query, wait_until


def test_twenty_uploads_two_hundred_pollers_and_twenty_searchers_are_all_served(
    server: Server,
) -> None:
    answers: Counter[int] = Counter()

    async def ask(
        http: httpx.AsyncClient, method: str, path: str, **given: object
    ) -> httpx.Response:
        answer = await http.request(method, path, **given)  # type: ignore[arg-type]
        answers[answer.status_code] += 1
        return answer

    async def crowd() -> list[int]:
        limits = httpx.Limits(max_connections=240)
        base = f"http://127.0.0.1:{server.port}"
        async with httpx.AsyncClient(
            base_url=base, timeout=120, trust_env=False, verify=False, limits=limits
        ) as http:

            async def upload(number: int) -> int:
                file = ("p.csv", people(30, f"Crowd {number}"))
                return int(
                    (await ask(http, "POST", "/api/upload", files={"file": file})).json()["id"]
                )

            async def poll(number: int) -> None:
                for path in (
                    "/api/imports?limit=5",
                    "/api/stats",
                    f"/api/imports/{number}?limit=5",
                ):
                    await ask(http, "GET", path)

            async def search(number: int) -> None:
                await ask(
                    http,
                    "POST",
                    "/api/records/search",
                    json={"query": f"somebody {number}", "limit": 5},
                )
                await ask(
                    http,
                    "POST",
                    "/api/records/search",
                    json={"text": f"crowd {number}", "limit": 5},
                )

            work = (
                [upload(n) for n in range(20)],
                [poll(n) for n in range(200)],
                [search(n) for n in range(20)],
            )
            results = await asyncio.gather(*(task for tasks in work for task in tasks))
            return [number for number in results[:20] if number is not None]

    numbers = asyncio.run(crowd())
    assert len(set(numbers)) == 20
    assert set(answers) <= {200, 201, 404}, answers  # some polls name imports that do not exist
    with server.client() as http:
        for number in numbers:
            assert Client(http).searchable(number)["vectors"]["ready"] == 30


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_hundred_thousand_people_are_imported_searched_and_deleted_in_flat_memory(
    databases: Databases, tmp_path: Path
) -> None:
    summary = generate(tmp_path / "people.csv", 100_000, kind="people", dirty=0.05, seed=3)
    storage = tmp_path / "storage"
    server = Server(databases.create(storage), storage).start()
    try:
        assert server.process is not None
        process = psutil.Process(server.process.pid)
        with server.client() as http, summary.path.open("rb") as file:
            client = Client(http)
            number = int(
                http.post("/api/upload", files={"file": ("people.csv", file)}).json()["id"]
            )
            most = 0

            def ready() -> bool:
                nonlocal most
                most = max(most, process.memory_info().rss)
                return bool(client.get(number, limit=1)["vectors"]["status"] == "ready")

            wait_until(ready, 1000, "all vectors")
            response = client.get(number, limit=1)
            assert (
                response["valid_records"] + response["failed_records"] == response["total_records"]
            )
            assert response["vectors"]["ready"] == response["valid_records"]
            for words in ("sells things", "looks after computers"):
                assert len(client.search(query=words, limit=100)) == 100
            most = max(most, process.memory_info().rss)
            print(f"{databases.kind}: {most >> 20} MiB")  # noqa: T201
            assert most < 700 << 20  # including the model (250 MiB) and the cached vectors
            http.delete(f"/api/imports/{number}")
            counts = " + ".join(f"(SELECT count(*) FROM {table})" for table in TABLES)
            wait_until(lambda: query(server.url, f"SELECT {counts}") == [(0,)], 120, "empty tables")
            assert list((storage / "uploads").iterdir()) == []
    finally:
        server.stop()
