"""The client of web servers, against a real one that redirects, breaks off, changes and refuses."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiohttp import web as aiohttp_web
from aiohttp.abc import AbstractResolver, ResolveResult

from app.errors import (
    BadSourceAnswer,
    GranulaError,
    InvalidParameter,
    SourceForbidden,
    SourceMissing,
    SourceRefused,
    SourceReplaced,
    SourceUnavailable,
)
from app.sources.http import BrokenOff, Credential, WebClient, WebSource
from app.sources.remote import Fetched
from tests.sources.web import Answer, File, WebServer, answering, redirecting

DATA = bytes(range(256)) * 8192  # 2 MiB
Client = Callable[..., WebClient]


@pytest.fixture
def client() -> Client:
    def make(**settings: Any) -> WebClient:
        usual: dict[str, Any] = {
            "private_hosts": ["127.0.0.1"],
            "credentials": {},
            "timeout_seconds": 5,
            "min_bytes_per_second": 0,
        }
        return WebClient(**{**usual, **settings})

    return make


async def fetched(client: WebClient, url: str, credentials: str = "") -> tuple[Fetched, bytes]:
    source = WebSource("http", client)
    async with source.fetch(source.single(url), credentials) as file:
        return file, b"".join([piece async for piece in file.pieces])


async def test_a_file_comes_with_its_version_and_its_name(web: WebServer, client: Client) -> None:
    web.paths["/a/r%20s.csv"] = web.paths["/a/r s.csv"] = File(DATA)
    file, data = await fetched(client(), web.url("/a/r%20s.csv?signature=x"))
    assert data == DATA
    assert (file.name, file.size, file.etag, file.media_type) == (
        "r s.csv",
        len(DATA),
        '"v1"',
        "text/csv",
    )
    web.paths["/b"] = File(DATA, headers={"Content-Disposition": 'attachment; filename="x/y.csv"'})
    assert (await fetched(client(), web.url("/b")))[0].name == "y.csv"


@pytest.mark.parametrize("has_ranges", [True, False])
async def test_a_transfer_goes_on_where_it_was_cut(
    web: WebServer, client: Client, *, has_ranges: bool
) -> None:
    file = File(
        DATA, cuts=[300_000, 1_200_000, 0] if has_ranges else [300_000], has_ranges=has_ranges
    )
    web.paths["/f"] = file
    assert (await fetched(client(), web.url("/f")))[1] == DATA
    ranges = [request.headers.get("Range") for request in file.requests]
    assert ranges[0] is None
    assert all(asked is not None for asked in ranges[1:])
    assert {request.headers.get("If-Range") for request in file.requests[1:]} == {'"v1"'}


async def test_a_file_that_changes_while_it_comes_is_refused(
    web: WebServer, client: Client
) -> None:
    first, second = File(DATA, cuts=[300_000]), File(DATA[::-1], etag='"v2"')
    files = iter([first, second])

    async def changed(request: aiohttp_web.Request) -> aiohttp_web.StreamResponse:
        return await next(files)(request)

    web.paths["/f"] = changed
    with pytest.raises(SourceReplaced):
        await fetched(client(), web.url("/f"))


@pytest.mark.parametrize("etag", [None, 'W/"v1"'])
async def test_without_a_version_a_transfer_cannot_go_on(
    web: WebServer, client: Client, etag: str | None
) -> None:
    web.paths["/f"] = File(DATA, etag=etag, cuts=[300_000])
    with pytest.raises(BrokenOff):
        await fetched(client(), web.url("/f"))


async def test_a_server_that_always_cuts_is_given_up(web: WebServer, client: Client) -> None:
    file = web.paths["/f"] = File(DATA, cuts=[10] * 100)
    with pytest.raises(SourceUnavailable, match="repeatedly"):
        await fetched(client(), web.url("/f"))
    assert isinstance(file, File)
    assert len(file.requests) <= 6


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (answering(404), SourceMissing),
        (answering(410), SourceMissing),
        (answering(401), SourceForbidden),
        (answering(403), SourceForbidden),
        (answering(418), BadSourceAnswer),
        (answering(206), BadSourceAnswer),
        (answering(503), SourceUnavailable),
        (answering(429), SourceUnavailable),
        (answering(302), BadSourceAnswer),
        (redirecting("http://[bad"), BadSourceAnswer),
        (redirecting("ftp://127.0.0.1/f"), SourceRefused),
        (redirecting("http://169.254.169.254/latest/meta-data"), SourceRefused),
        (redirecting("http://user:pass@127.0.0.1/f"), SourceRefused),
        (File(b"<html>", media_type="text/html; charset=utf-8"), BadSourceAnswer),
        (File(b"x", headers={"Content-Encoding": "br"}), BadSourceAnswer),
    ],
)
async def test_each_other_answer_has_its_error(
    web: WebServer, client: Client, answer: Any, error: type[GranulaError]
) -> None:
    web.paths["/f"] = answer
    with pytest.raises(error):
        await fetched(client(), web.url("/f"))


async def test_a_server_is_asked_again_that_cannot_answer_now(
    web: WebServer, client: Client
) -> None:
    answers: Iterator[Answer] = iter([answering(503), answering(429), File(DATA)])

    async def recovering(request: aiohttp_web.Request) -> aiohttp_web.StreamResponse:
        return await next(answers)(request)

    web.paths["/f"] = recovering
    assert (await fetched(client(), web.url("/f")))[1] == DATA


async def test_an_answer_whose_end_is_unknown_is_refused(client: Client) -> None:
    """It may be cut anywhere."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nid\n1\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with pytest.raises(BadSourceAnswer, match="where its answer ends"):
            await fetched(client(), f"http://127.0.0.1:{port}/f")


async def test_a_server_that_is_silent_or_drips_is_given_up(web: WebServer, client: Client) -> None:
    async def dripping(request: aiohttp_web.Request) -> aiohttp_web.StreamResponse:
        response = aiohttp_web.StreamResponse(headers={"ETag": '"v1"'})
        response.content_length = 10_000
        await response.prepare(request)
        while True:  # until the client leaves
            await response.write(b"x")
            await asyncio.sleep(0.05)

    async def silent(request: aiohttp_web.Request) -> aiohttp_web.StreamResponse:
        await asyncio.sleep(30)
        raise AssertionError("the client has left")

    web.paths.update({"/drip": dripping, "/silent": silent})
    slow = client(timeout_seconds=0.2, min_bytes_per_second=1000)
    with pytest.raises(SourceUnavailable, match="too slowly"):
        await fetched(slow, web.url("/drip"))
    with pytest.raises(SourceUnavailable, match="timeout"):
        await fetched(slow, web.url("/silent"))


class Names(AbstractResolver):
    """Answers with one address after the other, whatever is asked."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        address = self.addresses.pop(0)
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
        ]

    async def close(self) -> None: ...


async def test_a_name_leads_into_no_private_network(web: WebServer, client: Client) -> None:
    file = web.paths["/f"] = File(DATA)
    for url in (
        f"https://files.example:{web.port}/f",
        f"https://127.0.0.1:{web.port}/f",
        f"https://localhost:{web.port}/f",
        f"http://files.example:{web.port}/f",
        "https://files.example:25/f",
    ):
        guarded = client(private_hosts=[], resolver=Names("127.0.0.1"))
        with pytest.raises(SourceRefused):
            await fetched(guarded, url)
    # a host that is allowed leads to none that is not, even by a name that answers differently
    web.paths["/away"] = redirecting(f"https://files.example:{web.port}/f")
    with pytest.raises(SourceRefused):
        await fetched(client(resolver=Names("127.0.0.1")), web.url("/away"))
    assert isinstance(file, File)
    assert file.requests == []


async def test_credentials_go_where_they_belong_and_nowhere_else(
    web: WebServer, client: Client
) -> None:
    secret = {"Authorization": "Bearer secret"}
    mine, other = File(DATA), File(DATA)
    web.paths.update({"/mine/f": mine, "/other/f": other})
    web.paths["/mine/away"] = redirecting(web.url("/other/f"))
    known = {"partner": Credential(web.url("/mine/"), secret)}
    await fetched(client(credentials=known), web.url("/mine/f"), "partner")
    assert mine.requests[0].headers["Authorization"] == "Bearer secret"
    await fetched(client(credentials=known), web.url("/mine/away"), "partner")
    assert "Authorization" not in other.requests[0].headers
    await fetched(client(credentials=known), web.url("/mine/f"))
    assert "Authorization" not in mine.requests[1].headers
    for url, name in (
        (web.url("/other/f"), "partner"),
        (web.url("/mine/../other/f"), "partner"),
        (web.url("/mine/%2e%2e/other/f"), "partner"),
        ("http://127.0.0.1:1/mine/f", "partner"),
        (web.url("/mine/f"), "nobody"),
    ):
        with pytest.raises(InvalidParameter):
            await fetched(client(credentials=known), url, name)
    assert "secret" not in repr(known)
