"""/api/upload, /api/imports, /api/records: the documented commands, and the faults of the first
implementation.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import numpy as np
import pytest
from sqlalchemy import event, text

from app.config import load_settings
from app.db.engine import Database
from app.embeddings.model import Embedder
from app.features.imports import halfvecs
from app.features.imports.neighbours import Neighbours
from app.features.imports.queries import Filters
from app.features.imports.service import list_imports
from tests.conftest import Databases
from tests.forks import Server
from tests.harness import ROOT, Parameter, Postgres, query, wait_until

SAMPLE_CSV = b"""name,email,age,department
John Doe,john@example.com,30,Engineering
Jane Smith,jane@example.com,25,Marketing
Bob Wilson,bob@example.com,35,Sales
"""
SAMPLE_JSON = b"""[
  {"name": "Alice Johnson", "email": "alice@example.com", "age": 28, "department": "HR"},
  {"name": "Charlie Brown", "email": "charlie@example.com", "age": 32, "department": "Finance"}
]
"""
DEPARTMENTS = (
    "Engineering",
    "Marketing",
    "Sales",
    "Finance",
    "Legal",
    "Nursing",
    "Gardening",
    "Astronomy",
)
TABLES = (
    "files",
    "jobs",
    "chunks",
    "result_pages",
    "rejects",
    "records",
    "vector_tasks",
    "record_vectors",
    "record_words",
)


def people(count: int, mark: str = "Person") -> bytes:
    rows = (f"{mark} {i},p{i}@example.com,{i % 100},{DEPARTMENTS[i % 8]}\n" for i in range(count))
    return ("name,email,age,department\n" + "".join(rows)).encode()


class Client:
    """Calls of these endpoints."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def post(
        self, data: bytes, name: str = "sample_data.csv", **params: Parameter
    ) -> httpx.Response:
        return self.http.post("/api/upload", params=params, files={"file": (name, data)})

    def upload(self, data: bytes, name: str = "sample_data.csv", **params: Parameter) -> int:
        answer = self.post(data, name, **params)
        assert answer.status_code in (200, 201), answer.text
        return int(answer.json()["id"])

    def get(self, number: int, **params: Parameter) -> dict[str, Any]:
        answer = self.http.get(f"/api/imports/{number}", params=params)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def finished(self, number: int) -> dict[str, Any]:
        """Return the import when its records are stored."""

        def final() -> dict[str, Any] | None:
            found = self.get(number)
            return found if found["status"] not in ("pending", "processing") else None

        return wait_until(final, 60, f"end of import {number}") or {}

    def searchable(self, number: int) -> dict[str, Any]:
        """Return the import when its vectors are stored too."""

        def ready() -> dict[str, Any] | None:
            found = self.finished(number)
            return found if found["vectors"]["status"] != "pending" else None

        return wait_until(ready, 60, f"vectors of import {number}") or {}

    def search(self, **body: object) -> list[dict[str, Any]]:
        answer = self.http.post("/api/records/search", json=body)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["records"])


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Client]:
    with server.client() as http:
        yield Client(http)


# ---------------------------------------------------------------------- the commands


def test_the_two_samples_are_imported_searched_listed_counted_and_deleted(client: Client) -> None:
    answer = client.post(SAMPLE_CSV)
    assert answer.status_code == 201
    body = answer.json()
    assert body["status"] in ("pending", "processing")
    number, other = body["id"], client.upload(SAMPLE_JSON, "sample_data.json")
    found = client.searchable(number)
    assert (found["status"], found["total_records"], found["failed_records"]) == ("completed", 3, 0)
    assert found["records"][0]["data"] == {
        "name": "John Doe",
        "email": "john@example.com",
        "age": 30,
        "department": "Engineering",
    }
    assert list(found["records"][0]["data"]) == ["name", "email", "age", "department"]
    assert [r["data"]["name"] for r in client.searchable(other)["records"]] == [
        "Alice Johnson",
        "Charlie Brown",
    ]

    assert [i["id"] for i in client.http.get("/api/imports").json()["imports"]][:2] == [
        other,
        number,
    ]
    assert [r["import_id"] for r in client.search(status="valid", limit=10)].count(number) == 3
    assert [r["data"]["name"] for r in client.search(import_id=number, fields={"age": 25})] == [
        "Jane Smith"
    ]
    assert [r["data"]["name"] for r in client.search(import_id=number, text="WILSON")] == [
        "Bob Wilson"
    ]
    (best,) = client.search(import_id=number, query="writes software", limit=1)
    assert best["data"]["name"] == "John Doe"
    assert 0.1 < best["score"] <= 1
    stats = client.http.get("/api/stats").json()
    assert stats["total_imports"] == 2
    assert (stats["total_records"], stats["valid_records"], stats["vectors"]) == (
        5,
        5,
        {"total": 5, "ready": 5},
    )

    for gone in (number, other):
        assert client.http.delete(f"/api/imports/{gone}").json() == {
            "message": f"Import {gone} deleted"
        }
        assert client.http.get(f"/api/imports/{gone}").status_code == 404
        assert client.http.delete(f"/api/imports/{gone}").json()["code"] == "import_not_found"


def test_a_single_json_object_is_one_record(client: Client) -> None:
    number = client.upload(b'{"name": "Solo", "email": "solo@example.com", "age": 1}', "one.json")
    assert [r["data"] for r in client.finished(number)["records"]] == [
        {"name": "Solo", "email": "solo@example.com", "age": 1}
    ]


# ---------------------------------------------------------------------- faults of the first
# implementation


def test_no_synchronous_embedding_records_are_readable_before_their_vectors(client: Client) -> None:
    number = client.upload(people(3_000), "many.csv")
    found = client.finished(number)
    assert found["valid_records"] == found["vectors"]["total"] == 3_000
    assert found["vectors"]["ready"] < 3_000
    assert found["vectors"]["status"] == "pending"
    assert len(client.search(import_id=number, text="person 29", limit=1_000)) == 111
    client.http.delete(f"/api/imports/{number}")  # in the midst of it


def test_no_synchronous_processing_other_requests_are_served_meanwhile(
    client: Client, server: Server
) -> None:
    number = client.upload(people(2_000, "Busy"), "busy.csv")
    answers = 0
    while client.get(number, limit=1)["status"] in ("pending", "processing"):
        assert client.http.get("/health").status_code == 200
        answers += 1
    assert answers
    client.http.delete(f"/api/imports/{number}")


def test_no_single_inserts_records_and_vectors_are_written_in_batches(
    client: Client, server: Server
) -> None:
    rows = b"".join(
        b"Same Name,p%d@example.com,30,%s\n" % (i, DEPARTMENTS[i % 8].encode())
        for i in range(1_000)
    )
    number = client.upload(b"name,email,age,department\n" + rows, "batch.csv", chunk_size=500)
    client.searchable(number)
    mine = f"job_id = (SELECT id FROM jobs WHERE number = {number})"
    for table in ("chunks", "vector_tasks"):
        assert query(server.url, f"SELECT count(*) FROM {table} WHERE {mine}") == [(2,)], (
            "each is one transaction"
        )
    if not server.url.startswith("sqlite"):
        for table in ("records", "record_vectors"):
            ((rows_of, transactions),) = query(
                server.url, f"SELECT count(*), count(DISTINCT xmin::text) FROM {table} WHERE {mine}"
            )
            assert (rows_of, transactions) <= (1_000, 2)


def test_no_connection_per_request_connections_are_reused(client: Client, server: Server) -> None:
    async def connections() -> int:
        database = Database(load_settings(database_url=server.url))
        made: list[object] = []
        event.listen(database.engine.sync_engine, "connect", lambda *a: made.append(a))
        for _ in range(20):
            await list_imports(database, "local", limit=1, offset=0)
        await asyncio.gather(
            *(list_imports(database, "local", limit=1, offset=0) for _ in range(60))
        )
        await database.close()
        return len(made)

    assert asyncio.run(connections()) <= 16


def test_no_memory_leak_the_cache_of_searched_imports_is_bounded(
    client: Client, server: Server
) -> None:
    numbers = [client.upload(people(20, f"Leak {i}"), f"leak{i}.csv") for i in range(4)]
    for number in numbers:
        client.searchable(number)
    most = 50 * 384 * 4

    async def held() -> list[int]:
        database = Database(load_settings(database_url=server.url))
        neighbours = Neighbours(database, most, Embedder.model_id, "fp32")
        seen = []
        for number in numbers * 2:
            found = await neighbours.nearest(
                np.ones(384, np.float32), Filters("local", number), None, limit=20, offset=0
            )
            assert len(found) == 20
            seen.append(neighbours.held_bytes)
        await database.close()
        return seen

    seen = asyncio.run(held())
    assert 0 < max(seen) <= most
    for number in numbers:
        client.http.delete(f"/api/imports/{number}")


def test_no_blocked_event_loop_requests_are_answered_while_vectors_are_computed(
    client: Client, server: Server
) -> None:
    number = client.upload(people(400, "Loop"), "loop.csv", chunk_size=200)

    async def ask() -> list[tuple[int, int]]:
        async with httpx.AsyncClient(
            base_url=str(client.http.base_url), trust_env=False, timeout=60
        ) as http:

            async def look() -> tuple[int, int]:
                health, found = await asyncio.gather(
                    http.get("/health"), http.get(f"/api/imports/{number}?limit=1")
                )
                return health.status_code, found.json()["vectors"]["ready"]

            seen = [await look()]
            while seen[-1][1] < 400 and len(seen) < 20_000:
                seen += await asyncio.gather(*(look() for _ in range(5)))
            return seen

    seen = asyncio.run(ask())
    assert {status for status, _ in seen} == {200}
    assert sum(ready < 400 for _, ready in seen) > 5
    assert seen[-1][1] == 400


def test_no_n_plus_1_queries_the_list_costs_the_same_for_any_length(
    client: Client, server: Server
) -> None:
    numbers = [client.upload(people(3, f"N{i}"), f"n{i}.csv") for i in range(4)]
    for number in numbers:
        client.finished(number)

    async def statements(limit: int) -> int:
        database = Database(load_settings(database_url=server.url))
        seen: list[str] = []
        event.listen(
            database.engine.sync_engine, "before_cursor_execute", lambda *a: seen.append(a[2])
        )
        page = await list_imports(database, "local", limit=limit, offset=0)
        await database.close()
        assert len(page["imports"]) == limit
        return len(
            [statement for statement in seen if not statement.startswith(("PRAGMA", "BEGIN"))]
        )

    assert asyncio.run(statements(1)) == asyncio.run(statements(4)) <= 4


def test_no_sql_injection_search_terms_are_bound_values(client: Client, server: Server) -> None:
    evil = "x'; DROP TABLE records; --"
    assert client.http.post("/api/records/search", json={"limit": f"10; {evil}"}).status_code == 422
    assert (
        client.search(text=evil)
        == client.search(fields={"name": evil})
        == client.search(fields={evil: 1})
        == []
    )
    for name in ('a"b', "a\\b", "a\0b", ""):
        answer = client.http.post("/api/records/search", json={"fields": {name: 1}})
        assert answer.status_code == 422, answer.text
    assert client.http.post("/api/records/search", json={"text": "a\0"}).status_code == 422
    for number in (10**29, -(2**63), 2**63, 1e308):
        assert client.search(fields={"age": number}) == []
    for value in ("NaN", "Infinity", "-Infinity", "1" + "0" * 400):
        answer = client.http.post(
            "/api/records/search", content=f'{{"fields": {{"age": {value}}}}}'
        )
        assert answer.status_code == 422, value
    number = client.upload(
        b"name,email\n100%_sure!,a@example.com\n100 percent,b@example.com\n", "wild.csv"
    )
    client.finished(number)
    assert [r["row_number"] for r in client.search(import_id=number, text="0%_S")] == [1]


def test_letters_of_all_languages_match_in_upper_and_lower_case(client: Client) -> None:
    number = client.upload(
        "name,email,column_4\nÖmer,o@example.com,Real,Extra\n".encode(),
        "BÜCHER.csv",
        on_bad_row="keep",
    )
    (record,) = client.finished(number)["records"]
    assert record["data"]["column_4"] == "Real"
    assert record["data"]["column_4_2"] == "Extra"
    for part in ("ömer", "ÖMER", "mER"):
        assert [r["row_number"] for r in client.search(import_id=number, text=part)] == [1]
    found = client.http.get("/api/v1/jobs", params={"search": "bücher"}).json()["items"]
    assert [job["filename"] for job in found] == ["BÜCHER.csv"]


def test_no_endless_answers_pages_by_cursor_and_by_offset_show_each_record_once(
    client: Client,
) -> None:
    number = client.upload(
        people(230, "Page").replace(b"p7@example.com", b"nobody"), "pages.csv", chunk_size=100
    )
    assert client.finished(number)["status"] == "completed_with_errors"
    pages: list[list[int]] = []
    after: int | None = 0
    while after is not None:
        page = client.get(number, limit=100, after=after)
        pages.append([r["row_number"] for r in page["records"]])
        after = page["next_after"]
    assert [len(page) for page in pages] == [100, 100, 30]
    assert [row for page in pages for row in page] == list(range(1, 231))
    assert [r["row_number"] for r in client.get(number, limit=5, offset=228)["records"]] == [
        229,
        230,
    ]
    ids = [r["id"] for r in client.search(import_id=number, limit=1_000)]
    assert len(ids) == 230
    assert [r["id"] for r in client.search(import_id=number, after=ids[99], limit=100)] == ids[
        100:200
    ]
    for params in ({"limit": 0}, {"limit": 10_001}, {"offset": -1}, {"after": "x"}):
        assert client.http.get(f"/api/imports/{number}", params=params).status_code == 422


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        ("Ann,ann@example.com,30,HR", {}),
        ("Ann,ann@example.com,,", {}),
        ("Ann,ann@example.com,0,HR", {}),
        ("Ann,ann@example.com,150,HR", {}),
        ("Ann,ann+tag@sub.example.co.uk,30,HR", {}),
        (",ann@example.com,30,HR", {"name": "missing"}),
        ('"  ",ann@example.com,30,HR', {"name": "blank"}),
        ("Ann,,30,HR", {"email": "missing"}),
        ("Ann,ann@,30,HR", {"email": "email"}),
        ("Ann,ann,30,HR", {"email": "email"}),
        ("Ann,a nn@example.com,30,HR", {"email": "email"}),
        ("Ann, ann@example.com,30,HR", {"email": "email"}),
        ("Ann,ann@example,30,HR", {"email": "email"}),
        ("Ann,ann..b@example.com,30,HR", {"email": "email"}),
        ("Ann,ann@example.com,151,HR", {"age": "less_than_equal"}),
        ("Ann,ann@example.com,-1,HR", {"age": "greater_than_equal"}),
        ("Ann,ann@example.com,thirty,HR", {"age": "whole_number"}),
        ("Ann,ann@example.com,30.0,HR", {"age": "whole_number"}),
        ("Ann,ann@example.com,030,HR", {"age": "whole_number"}),
        ("Ann,ann@example.com, 30,HR", {"age": "whole_number"}),
        ("Ann,ann@example.com,3e1,HR", {"age": "whole_number"}),
        ("Ann,ann@example.com,1_0,HR", {"age": "whole_number"}),
        ("Ann,ann@example.com,\u0663\u0660,HR", {"age": "whole_number"}),
        ("Ann,bad,151,HR", {"email": "email", "age": "less_than_equal"}),
    ],
)
def test_no_weak_validation_each_value_is_valid_or_reported(
    row: str, wrong: dict[str, str]
) -> None:
    from app.features.imports.checking import check_cells

    cells = next(iter(__import__("csv").reader([row])))
    ((result, _, errors),) = check_cells(
        "app.schemas.people:People", ["name", "email", "age", "department"], [cells]
    )
    assert (result is None) == bool(wrong)
    assert {e["field"]: e["code"] for e in errors or []} == wrong
    assert all(
        e["value"] == cells["name email age".split().index(e["field"])] for e in errors or []
    )


@pytest.mark.parametrize(
    ("record", "wrong"),
    [
        (b'{"name":"Ann","email":"ann@example.com","age":30}', {}),
        (b'{"name":"Ann","email":"ann@example.com","age":null}', {}),
        (b'{"name":"Ann","email":"ann@example.com","note":1.10}', {}),
        (b'{"name":"Ann","email":"ann@example.com","age":"30"}', {"age": "int_type"}),
        (b'{"name":"Ann","email":"ann@example.com","age":30.0}', {"age": "int_type"}),
        (b'{"name":"Ann","email":"ann@example.com","age":true}', {"age": "int_type"}),
        (b'{"name":7,"email":"ann@example.com"}', {"name": "string_type"}),
        (b'{"name":null,"email":"ann@example.com"}', {"name": "missing"}),
        (b'{"email":["ann@example.com"]}', {"name": "missing", "email": "string_type"}),
        (b'{"name":"A\\u0000","email":"ann@example.com"}', {"name": "nul_character"}),
        (b'{"name":"A","email":"ann@example.com","x":{"y":["\\u0000"]}}', {"x": "nul_character"}),
    ],
)
def test_no_silent_coercion_a_json_value_has_its_type_and_keeps_its_bytes(
    record: bytes, wrong: dict[str, str]
) -> None:
    from app.features.imports.checking import check_objects

    ((result, _, errors),) = check_objects("app.schemas.people:People", [record])
    assert result == (None if wrong else record)
    assert {e["field"]: e["code"] for e in errors or []} == wrong


def test_numbers_come_back_with_the_digits_that_they_were_written_with(client: Client) -> None:
    """On the page of an import, in every kind of search, and in the errors of invalid records."""
    numbers = [
        "12345678901234567.89",
        "0.1000000000000000055",
        "1.10",
        "-0.30",
        "12345678901234567890123",
        "3.0",
        "7",
    ]
    name = "Exact Numbers"
    good = (
        f'{{"name": "{name}", "email": "n@example.org", "x": [{", ".join(numbers)}], "y":'
        f" {numbers[0]}}}"
    )
    bad = good.replace('"n@example.org"', numbers[0])
    number = client.upload(f"[{good},\n{bad}]".encode(), "exact.json")
    client.searchable(number)
    searches: list[dict[str, object]] = [
        {}, {"text": name}, {"fields": {"name": name}}, {"query": name}, {"query": name, "text": name}, {"status": "invalid"},
    ]  # fmt: skip
    answers = [client.http.get(f"/api/imports/{number}")]
    answers += [
        client.http.post("/api/records/search", json={"import_id": number, **searche})
        for searche in searches
    ]
    for answer in answers:
        assert answer.headers["content-type"] == "application/json"
        records = json.loads(answer.content, parse_float=str, parse_int=str)["records"]
        assert records
        for record in records:
            assert list(record["data"]) == ["name", "email", "x", "y"]
            assert (record["data"]["x"], record["data"]["y"]) == (numbers, numbers[0])
    (error,) = client.search(import_id=number, status="invalid")[0]["errors"]
    assert (error["field"], error["value"]) == ("email", numbers[0])


def test_no_lost_records_invalid_records_are_stored_with_their_errors_and_lines(
    client: Client,
) -> None:
    data = (
        SAMPLE_CSV
        + b",broken,abc,Sales\nZoe,zoe@example.com,41,Ops\nshort\n"
        + b'Nul\0,nul@example.com,1,"a\nb"\n'
    )
    number = client.upload(data, "dirty.csv")
    found = client.finished(number)
    assert (found["status"], found["valid_records"], found["failed_records"]) == (
        "completed_with_errors",
        4,
        3,
    )
    (bad,) = [r for r in client.search(import_id=number, status="invalid") if r["row_number"] == 4]
    assert bad["data"] == {"name": "", "email": "broken", "age": "abc", "department": "Sales"}
    assert [(e["field"], e["code"], e["value"]) for e in bad["errors"]] == [
        ("name", "missing", ""),
        ("email", "email", "broken"),
        ("age", "whole_number", "abc"),
    ]
    rejects = client.http.get(f"/api/v1/rejects/{found['file_id']}").json()["items"]
    assert [(r["row_number"], r["line"]) for r in rejects] == [(4, 5), (6, 7), (7, 8)]
    assert rejects[0]["raw"] == ",broken,abc,Sales"
    assert client.http.get(f"/api/v1/jobs/{found['job_id']}/proof").json()["closes"]


def test_an_import_with_only_invalid_records_completes_with_errors(
    client: Client,
) -> None:
    number = client.upload(b"name,email\nA,x\nB,y\n", "all_bad.csv")
    found = client.searchable(number)
    assert (found["status"], found["valid_records"], found["failed_records"]) == (
        "completed_with_errors",
        0,
        2,
    )
    assert found["vectors"] == {"status": "ready", "total": 0, "ready": 0, "error": None}


def test_no_race_fifty_uploads_of_the_same_bytes_create_one_import(
    client: Client, server: Server
) -> None:
    data = people(20, "Race")
    before = client.http.get("/api/stats").json()["total_imports"]

    def send(_: int) -> tuple[int, int, bool]:
        with server.client() as http:
            answer = Client(http).post(data, "race.csv")
            return answer.status_code, answer.json()["id"], answer.json()["duplicate"]

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(send, range(50)))
    assert len({number for _, number, _ in answers}) == 1
    assert sorted((status, duplicate) for status, _, duplicate in answers) == [(200, True)] * 49 + [
        (201, False)
    ]
    assert client.http.get("/api/stats").json()["total_imports"] == before + 1
    assert client.post(data, "race.csv", on_duplicate="reject").status_code == 409
    assert client.post(data, "race.csv", on_duplicate="new").status_code == 201


def test_no_orphans_a_deleted_import_leaves_nothing_behind(
    databases: Databases, tmp_path: Path
) -> None:
    storage = tmp_path / "storage"
    server = Server(databases.create(storage), storage).start()
    try:
        with server.client() as http:
            client = Client(http)
            number = client.upload(people(250), "gone.csv", chunk_size=100)
            client.searchable(number)
            assert http.delete(f"/api/imports/{number}").status_code == 200
            assert client.search(text="person") == []
            counts = " + ".join(f"(SELECT count(*) FROM {table})" for table in TABLES)
            wait_until(lambda: query(server.url, f"SELECT {counts}") == [(0,)], what="empty tables")
            assert list((storage / "uploads").iterdir()) == []
    finally:
        server.stop()


# ---------------------------------------------------------------------- search by meaning


def test_every_page_lists_the_nearest_by_vector_distance(client: Client) -> None:
    number = client.upload(people(400, "Worker"), "near.csv", chunk_size=100)
    client.searchable(number)
    records = client.search(import_id=number, limit=1_000)
    embedder = Embedder(ROOT / "storage/models/all-MiniLM-L6-v2")
    texts = [f"{r['data']['name']}, {r['data']['department']}" for r in records]
    scores = embedder.encode(texts) @ embedder.encode(["looks at the stars"])[0]
    best = np.sort(scores)[::-1]
    first = client.search(import_id=number, query="looks at the stars", limit=30)
    second = client.search(import_id=number, query="looks at the stars", limit=30, offset=30)
    assert np.allclose([r["score"] for r in first + second], best[:60], atol=2e-3)
    assert len({r["id"] for r in first + second}) == 60
    assert {r["data"]["department"] for r in first} == {"Astronomy"}
    by_row = {r["row_number"]: score for r, score in zip(records, scores, strict=True)}
    assert all(abs(r["score"] - by_row[r["row_number"]]) < 2e-3 for r in first)
    both = client.search(
        import_id=number, query="looks at the stars", fields={"department": "Legal"}, limit=3
    )
    assert [r["data"]["department"] for r in both] == ["Legal"] * 3
    assert client.search(import_id=number, query="stars", status="invalid") == []


TEXTS = (
    "nal",
    "NALY",
    "100%",
    "a_b",
    'say "hi"',
    "back\\slash",
    "two\nlines",
    "çelik",
    "ÇELIK",
    "7",
    "e",
    "@example.com",
    "com\x1fanalyst",
    "!",
    "nobody has this",
)


def oddly_written_people() -> tuple[bytes, list[list[str]]]:
    """(a file, the values of each of its records)"""
    departments = [
        "Analyst 100% sure!",
        "a_b and aXb",
        'They say "hi"',
        "back\\slash and 10% off",
        "two\nlines",
        "Çelik works",
        "",
    ]
    records = [
        [f"Person {i}", f"p{i}@example.com", str(20 + i % 60), departments[i % len(departments)]]
        for i in range(140)
    ]
    out = io.StringIO()
    csv.writer(out).writerows([["name", "email", "age", "department"], *records])
    return out.getvalue().encode(), records


def test_a_search_by_meaning_with_a_text_returns_exactly_the_records_that_contain_it(
    client: Client,
) -> None:
    data, records = oddly_written_people()
    number = client.upload(data, "odd.csv", chunk_size=100)
    client.searchable(number)
    for part in TEXTS:
        expected = {
            row
            for row, values in enumerate(records, 1)
            if any(part.lower() in value.lower() for value in values)
        }
        for given in ({}, {"fields": {"age": 27}}):
            wanted = {row for row in expected if not given or records[row - 1][2] == "27"}
            found = client.search(
                import_id=number, query="somebody", text=part, limit=1_000, **given
            )
            assert {record["row_number"] for record in found} == wanted, part
            scores = [record["score"] for record in found]
            assert scores == sorted(scores, reverse=True)
            alone = client.search(import_id=number, text=part, limit=1_000, **given)
            assert {record["row_number"] for record in alone} == wanted, part


def test_a_hybrid_search_fuses_the_ranks_of_meaning_and_text(
    client: Client,
) -> None:
    data, _ = oddly_written_people()
    number = client.upload(data, "fused.csv")
    client.searchable(number)
    wanted: dict[str, Any] = {"import_id": number, "query": "works with metal"}
    both = wanted | {"text": "çelik"}
    points: dict[int, Fraction] = {}
    scores: dict[int, float] = {}
    for order in (client.search(**wanted, limit=100), client.search(**both, limit=100)):
        for place, record in enumerate(order, 1):
            row = record["row_number"]
            points[row] = points.get(row, Fraction(0)) + Fraction(1, 60 + place)
            scores[row] = record["score"]
    pages = [
        client.search(**both, fuse=True, limit=40, offset=start) for start in range(0, 160, 40)
    ]
    found = [record for page in pages for record in page]
    assert sorted(record["row_number"] for record in found) == sorted(points)
    ranks = [(-points[r["row_number"]], -r["score"]) for r in found]
    assert ranks == sorted(ranks)
    assert all(abs(record["score"] - scores[record["row_number"]]) < 1e-5 for record in found)
    # without one of the two there is nothing to fuse
    assert client.search(**wanted, fuse=True) == client.search(**wanted)
    assert client.search(import_id=number, text="çelik", fuse=True) == client.search(
        import_id=number, text="çelik"
    )


def test_every_plan_for_the_nearest_with_a_text_returns_the_same(
    client: Client, databases: Databases, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plans: compare all records that contain it, walk the index and filter, or compare all
    records.
    """
    if databases.kind == "sqlite":
        return  # there is one plan
    data, records = oddly_written_people()
    number = client.upload(data, "ways.csv", chunk_size=100)
    client.searchable(number)
    vector = np.ones(384, np.float32)

    async def find(look: str, part: str) -> list[int]:
        database = Database(load_settings(database_url=server.url))
        filters = Filters("local", number, text=part)
        async with database.reading() as connection:
            found = await getattr(halfvecs, look)(
                connection, vector, filters, limit=1_000, offset=0
            )
        await database.close()
        rows, are_all = found if look == "_among_few" else (found, True)
        assert are_all
        return [row.row_number for row in rows]

    for part in (part for part in TEXTS if "\x1f" not in part):
        few, index, exactly = (
            asyncio.run(find(look, part)) for look in ("_among_few", "_by_index", "_exactly")
        )
        holding = {
            row
            for row, values in enumerate(records, 1)
            if any(part.lower() in value.lower() for value in values)
        }
        assert few == exactly
        assert set(few) == set(index) == holding
    monkeypatch.setattr(halfvecs, "FEW", 3)
    assert len(asyncio.run(find("nearest", "person"))) == len(records)


def test_a_search_by_meaning_returns_all_records_beyond_the_limit_of_the_index(
    client: Client, databases: Databases, server: Server
) -> None:
    number = client.upload(people(30, "Short"), "short.csv")
    client.searchable(number)
    assert len(client.search(import_id=number, query="somebody", limit=30)) == 30
    if databases.kind == "sqlite":
        return  # there is no index
    query(
        server.url,
        "CREATE INDEX short_sighted ON record_halfvecs USING hnsw (embedding halfvec_cosine_ops)",
    )

    async def find(*, exactly: bool) -> int:
        database = Database(load_settings(database_url=server.url))
        async with database.reading() as connection:
            for setting in (
                "hnsw.iterative_scan = off",
                "hnsw.ef_search = 1",
                "enable_seqscan = off",
                "enable_sort = off",
            ):
                await connection.execute(text(f"SET {setting}"))
            look = halfvecs.nearest if exactly else halfvecs._by_index
            found = await look(
                connection, np.ones(384, np.float32), Filters("local", number), limit=5, offset=0
            )
        await database.close()
        return len(found)

    assert asyncio.run(find(exactly=False)) < 5
    assert asyncio.run(find(exactly=True)) == 5
    query(server.url, "DROP INDEX short_sighted")


def test_a_shutdown_does_not_wait_for_an_index_that_is_being_built(
    postgres: Postgres, templates: dict[str, str], tmp_path: Path
) -> None:
    databases = Databases("postgresql", postgres, templates)
    server = Server(databases.create(tmp_path), tmp_path / "storage").start()
    try:
        with server.client() as http:
            Client(http).searchable(Client(http).upload(SAMPLE_CSV))
        server.stop()
        for table, columns in {
            "record_vectors": "model, precision, text_hash, vector", "record_halfvecs": "embedding"
        }.items():  # fmt: skip
            query(
                server.url,
                f"INSERT INTO {table} (job_id, row_number, {columns}) SELECT job_id, row_number +"
                f" 10 * i, {columns} FROM {table}, generate_series(1, 2000) i",
            )
        building = (
            "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'CREATE INDEX"
            " CONCURRENTLY%'"
        )
        valid = (
            "SELECT 1 FROM pg_class c JOIN pg_index ON indexrelid = c.oid WHERE relname LIKE"
            " '%hnsw' AND indisvalid"
        )
        with asyncio.Runner() as runner:
            writer = runner.run(asyncpg.connect(server.url.replace("+asyncpg", "")))
            # The index waits for it.
            runner.run(writer.execute("BEGIN; LOCK TABLE record_halfvecs IN ROW EXCLUSIVE MODE"))
            server.start()
            wait_until(lambda: query(server.url, building), what="the index")
            assert server.stop() in (0, -15), server.tail()
            assert not query(server.url, valid)
            runner.run(writer.close())
        server.start()
        wait_until(lambda: query(server.url, valid), what="the whole index")
        # Or the planner estimates few rows for an import, and bypasses the index.
        known = (
            "SELECT DISTINCT tablename FROM pg_stats WHERE tablename IN ('record_halfvecs',"
            " 'records', 'jobs', 'files')"
        )
        assert len(query(server.url, known)) == 4
    finally:
        server.stop()
    databases.close()


def test_words_are_indexed_with_pg_trgm_and_scanned_without_it(
    postgres: Postgres, templates: dict[str, str], tmp_path: Path
) -> None:
    databases = Databases("postgresql", postgres, templates)
    server = Server(databases.create(tmp_path), tmp_path / "storage").start()
    try:
        with server.client() as http:
            Client(http).searchable(Client(http).upload(SAMPLE_CSV))
        server.stop()
        query(
            server.url,
            "INSERT INTO record_words (job_id, row_number, words) SELECT job_id, row_number + 10 *"
            " i, words FROM record_words, generate_series(1, 2000) i",
        )
        server.start()
        trigrams = "SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'"
        valid = (
            "SELECT 1 FROM pg_class c JOIN pg_index ON indexrelid = c.oid WHERE relname ="
            " 'ix_record_words_trigrams' AND indisvalid"
        )
        if query(server.url, trigrams):
            wait_until(lambda: query(server.url, valid), what="the index")
        else:
            wait_until(lambda: "pg_trgm is not available" in server.tail(), what="the word of it")
        with server.client() as http:
            found = Client(http).search(query="makes programs", text="ENGINEER")
            assert [record["data"]["name"] for record in found] == ["John Doe"]
    finally:
        server.stop()
    databases.close()


def test_no_silent_failures_without_the_model_the_rest_works_and_the_reason_is_reported(
    databases: Databases, tmp_path: Path
) -> None:
    storage = tmp_path / "storage"
    server = Server(
        databases.create(storage), storage, EMBEDDING_MODEL_DIR=tmp_path / "none"
    ).start()
    try:
        with server.client() as http:
            client = Client(http)
            number = client.upload(SAMPLE_CSV)
            found = client.searchable(number)
            assert (found["status"], found["valid_records"]) == ("completed", 3)
            assert found["vectors"]["status"] == "failed"
            assert "install_model" in found["vectors"]["error"]["message"]
            assert (
                f"Could not compute vectors for the records of job {found['job_id']}"
                in server.tail()
            )
            assert len(client.search(status="valid", text="example.com")) == 3
            answer = http.post("/api/records/search", json={"query": "software"})
            assert (answer.status_code, answer.json()["code"]) == (503, "search_unavailable")
            assert "install_model" in answer.json()["detail"]
        server.stop()
        server.environment.pop("EMBEDDING_MODEL_DIR")
        server.start()  # the model was installed meanwhile
        with server.client() as http:
            wait_until(
                lambda: Client(http).get(number)["vectors"]["status"] == "ready", what="vectors"
            )
    finally:
        server.stop()


# ---------------------------------------------------------------------- a custom schema


def test_the_schema_of_the_page_works(databases: Databases, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "imports.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "products.py").write_text(block)
    (named,) = re.findall(r"`SCHEMAS=(\S+)`", page)
    storage = tmp_path / "storage"
    server = Server(databases.create(storage), storage, SCHEMAS=named, PYTHONPATH=tmp_path).start()
    try:
        with server.client() as http:
            client = Client(http)
            assert (
                client.post(b"sku,title\n1,Lamp\n", schema="nothing").json()["code"]
                == "unknown_schema"
            )
            assert (
                "`title`" in client.post(b"sku,titel\n1,Lamp\n", schema="products").json()["detail"]
            )
            data = (
                b"SKU,title,description,stock\n007,Lamp,Gives"
                b" light,12\n008,,Nothing,x\n009,Anvil,Heavy iron,3\n"
            )
            number = client.upload(data, "products.csv", schema="products")
            found = client.searchable(number)
            assert [r["data"].get("sku") for r in found["records"]] == ["007", "008", "009"]
            assert found["records"][0]["data"]["stock"] == 12
            assert [e["field"] for e in found["records"][1]["errors"]] == ["title", "stock"]
            assert (
                client.search(query="something bright for my desk", limit=1)[0]["data"]["title"]
                == "Lamp"
            )
    finally:
        server.stop()
