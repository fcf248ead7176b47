"""A damaged stored file is never returned as the original."""

from __future__ import annotations

import base64
import hashlib
import io
import zlib

import httpx
import pytest
from fastapi import Request

from app.api.errors import problem
from app.errors import StoredFileCorrupt, request_errors
from app.features.files.downloads import CHECKED_FIRST_BYTES, CheckedFile
from tests.api.checks import assert_problem
from tests.forks import Server
from tests.harness import Api

SMALL = b"id,name\n" + b"".join(b"%d,name\n" % i for i in range(1_000))
LARGE = b"id,name\n" + b"1,%s\n" % (b"x" * 1000) * (CHECKED_FIRST_BYTES // 1000)
assert len(LARGE) > CHECKED_FIRST_BYTES


def flip(server: Server, file_id: str, place: int) -> None:
    """Flips one bit."""
    path = server.storage / "uploads" / file_id
    with path.open("r+b") as file:
        file.seek(place)
        (byte,) = file.read(1)
        file.seek(place)
        file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize("place", [0, len(SMALL) // 2, len(SMALL) - 1])
def test_a_small_file_is_refused_before_its_first_byte(
    server: Server, api: Api, place: int
) -> None:
    file_id = api.run(SMALL)["file_id"]
    url = f"/api/v1/files/{file_id}/download"
    assert api.client.get(url).content == SMALL
    flip(server, file_id, place)
    for answer in (
        api.client.get(url),
        api.client.get(url, headers={"Range": "bytes=0-3"}),
        api.client.get(url, headers={"Range": f"bytes={place}-"}),
        api.client.get(url, headers={"Range": "bytes=0-3,8-9"}),
        api.client.get(f"/api/v1/files/{file_id}/bytes", params={"start": 0, "end": 5}),
    ):
        assert "repr-digest" not in answer.headers
        assert "checksum" in assert_problem(answer, 409, "stored_bytes_gone")["detail"]
    flip(server, file_id, place)
    assert api.client.get(url).content == SMALL


@pytest.mark.parametrize("place", [5, len(LARGE) - 2])
def test_a_large_file_breaks_off_before_its_end(server: Server, api: Api, place: int) -> None:
    file_id = api.upload(LARGE)["file_id"]
    url = f"/api/v1/files/{file_id}/download"
    whole = api.client.get(url)
    assert whole.content == LARGE
    digest = base64.b64encode(hashlib.sha256(LARGE).digest()).decode()
    assert whole.headers["repr-digest"] == f"sha-256=:{digest}:"
    flip(server, file_id, place)
    for headers in ({}, {"Range": f"bytes=0-{len(LARGE) - 1}"}):
        with pytest.raises(httpx.RemoteProtocolError, match="peer closed connection"):
            api.client.get(url, headers=headers)
    assert api.client.head(url).status_code == 200


def read_into(came: bytearray, file: CheckedFile, piece: int) -> None:
    while block := file.read(piece):
        came += block


@pytest.mark.parametrize("piece", [1, 7, 100, 1000])
def test_the_last_bytes_are_sent_only_if_the_checksum_matches(piece: int) -> None:
    data = bytes(range(256)) * 3
    good = CheckedFile(io.BytesIO(data), len(data), zlib.crc32(data))
    assert b"".join(iter(lambda: good.read(piece), b"")) == data
    good.seek(0)
    assert b"".join(iter(lambda: good.read(piece), b"")) == data
    good.seek(10)
    assert good.read(20) == data[10:30]
    for wrong in (data[:-1], data[:-1] + b"x", b"x" + data[1:]):
        bad, came = CheckedFile(io.BytesIO(wrong), len(data), zlib.crc32(data)), bytearray()
        with pytest.raises(StoredFileCorrupt):
            read_into(came, bad, piece)
        assert len(came) < len(data)


def test_every_response_that_asks_for_a_retry_has_retry_after() -> None:
    request = Request({"type": "http", "path": "/", "headers": [], "method": "GET"})
    for error in request_errors().values():
        if error.status in (503, 507):
            assert int(problem(request, error()).headers["retry-after"]) > 0, error
