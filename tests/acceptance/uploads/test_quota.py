"""Resumable uploads count against the limits of their owner from their creation, and once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.api.checks import assert_problem
from tests.conftest import Databases
from tests.forks import Server
from tests.harness import Api, wait_until
from tests.uploads.tus import BYTES, TUS, UPLOADS, create, metadata, offset_of, send

MAX_BYTES, MAX_UPLOADS = 1_000_000, 5
ROWS = b"id\n" + b"12345678\n" * 100_000
"""A file of 900 003 bytes."""


@pytest.fixture
def client(
    databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    storage = tmp_path_factory.mktemp("quota") / "storage"
    server = Server(
        databases.create(storage), storage, OWNER_MAX_BYTES=MAX_BYTES, OWNER_MAX_UPLOADS=MAX_UPLOADS
    ).start()
    with server.client() as client:
        yield client
    assert server.stop() in (0, -15), server.tail()


def begin(client: httpx.Client, length: int | None) -> httpx.Response:
    size = {"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": str(length)}
    return client.post(UPLOADS, headers=TUS | size | metadata(filename="a.csv"))


def used(client: httpx.Client) -> tuple[int, int]:
    limits = client.get("/api/v1/me").json()["limits"]
    assert limits["stored_bytes"]["limit"] == MAX_BYTES
    assert limits["uploads"]["limit"] == MAX_UPLOADS
    return limits["stored_bytes"]["used"], limits["uploads"]["used"]


def test_announced_bytes_count_immediately_and_stored_bytes_count_once(
    client: httpx.Client,
) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: begin(client, len(ROWS)), range(8)))
    (made,) = [answer for answer in answers if answer.status_code == 201]
    for answer in answers:
        if answer is not made:
            assert assert_problem(answer, 429, "quota_exceeded")["limit"] == "stored_bytes"
    assert used(client) == (len(ROWS), 1)
    assert_problem(
        client.post("/api/v1/upload", content=b"a\n" + b"1" * 200_000), 429, "quota_exceeded"
    )

    last = send(client, made.headers["location"], 0, ROWS)
    assert last.status_code == 204, last.text
    file_id = last.headers["granula-file-id"]
    assert Api(client).finished(file_id)["rows"]["ok"] == 100_000
    assert used(client) == (len(ROWS), 0)
    assert_problem(begin(client, 100_000), 429, "quota_exceeded")
    assert client.delete(f"/api/v1/files/{file_id}").status_code == 204
    assert used(client) == (0, 0)

    ended = create(client, 900_000)
    assert_problem(begin(client, 200_000), 429, "quota_exceeded")
    assert client.delete(ended, headers=TUS).status_code == 204
    assert begin(client, 200_000).status_code == 201
    assert used(client) == (200_000, 1)


def test_an_upload_without_a_length_counts_its_stored_bytes(client: httpx.Client) -> None:
    url = create(client, None, filename="a.csv")
    assert used(client) == (0, 1)
    assert send(client, url, 0, ROWS[:600_000]).status_code == 204
    assert used(client) == (600_000, 1)
    assert_problem(begin(client, 400_001), 429, "quota_exceeded")
    other = create(client, 300_000)
    assert_problem(send(client, url, 600_000, ROWS[600_000:]), 429, "quota_exceeded")
    assert_problem(
        client.patch(
            url,
            content=b"",
            headers=BYTES | {"Upload-Offset": "600000", "Upload-Length": str(len(ROWS))},
        ),
        429,
        "quota_exceeded",
    )
    assert offset_of(client, url) == 600_000
    assert used(client)[0] <= MAX_BYTES
    assert client.delete(other, headers=TUS).status_code == 204
    last = send(client, url, 600_000, ROWS[600_000:], Upload_Length=str(len(ROWS)))
    assert last.status_code == 204, last.text
    assert Api(client).finished(last.headers["granula-file-id"])["rows"]["ok"] == 100_000
    assert used(client) == (len(ROWS), 0)


def test_parts_count_until_they_are_concatenated(client: httpx.Client) -> None:
    half = len(ROWS) // 2
    urls = []
    for piece in (ROWS[:half], ROWS[half:]):
        answer = client.post(
            UPLOADS,
            content=piece,
            headers=BYTES | {"Upload-Length": str(len(piece)), "Upload-Concat": "partial"},
        )
        assert answer.status_code == 201, answer.text
        urls.append(answer.headers["location"])
    assert used(client) == (len(ROWS), 2)
    final = client.post(
        UPLOADS,
        headers=TUS | {"Upload-Concat": f"final;{' '.join(urls)}"} | metadata(filename="a.csv"),
    )
    assert final.status_code == 201, final.text
    file_id = wait_until(
        lambda: client.head(final.headers["location"], headers=TUS).headers.get("granula-file-id"),
        30,
        "a file",
    )
    assert Api(client).finished(file_id)["rows"]["ok"] == 100_000
    assert used(client) == (len(ROWS), 0)


def test_open_uploads_are_limited_in_number(client: httpx.Client) -> None:
    urls = [create(client, 10, filename="a.csv") for _ in range(MAX_UPLOADS)]
    for length in (10, 0, None):
        refused = assert_problem(begin(client, length), 429, "quota_exceeded")
        assert refused["limit"] == "uploads"
    assert send(client, urls[0], 0, b"id\n1\n2\n3\n4").status_code == 204
    assert create(client, 10)
    assert client.delete(urls[1], headers=TUS).status_code == 204
    assert create(client, 10)
    assert_problem(begin(client, 10), 429, "quota_exceeded")
