"""HEAD returns what GET returns, without the body, and 405 lists the allowed methods."""

from __future__ import annotations

import pytest

from tests.api.checks import RawConnection, assert_problem, head
from tests.forks import Server
from tests.harness import Api

pytestmark = pytest.mark.one_database

VARY = {"date", "x-request-id", "transfer-encoding", "connection"}


@pytest.fixture(scope="module")
def ids(server: Server) -> dict[str, str]:
    with server.client() as client:
        found = Api(client).run(b"a,b\n1,2\n3\n")
    return {"FILE": found["file_id"], "JOB": found["job_id"]}


@pytest.mark.parametrize(
    "path",
    [
        "/", "/health", "/ready", "/metrics", "/docs", "/openapi.json", "/errors/not_found", "/assets/app.css", "/assets/nothing",
        "/api/v1/jobs", "/api/v1/jobs/JOB", "/api/v1/jobs/JOB/chunks", "/api/v1/jobs/JOB/proof", "/api/v1/status/FILE",
        "/api/v1/results/FILE", "/api/v1/results/FILE?limit=0", "/api/v1/results/FILE/download",
        "/api/v1/results/FILE/download?format=parquet", "/api/v1/rejects/FILE", "/api/v1/rejects/FILE/download",
        "/api/v1/files/FILE/download", "/api/v1/files/FILE/bytes?start=0&end=3", "/api/v1/status/FILE/events", "/api/v1/me",
        "/api/v1/system", "/api/stats", "/batches", "/nowhere", "/api/v1/status/nothing",
    ],
)  # fmt: skip
def test_head_has_the_status_and_headers_of_get_but_no_body(
    server: Server, ids: dict[str, str], path: str
) -> None:
    for name, value in ids.items():
        path = path.replace(name, value)
    with server.client() as client:
        got = client.get(path)
    with RawConnection(server) as connection:
        everything = b""
        connection.send(head("Connection: close", method="HEAD", target=path))
        while data := connection._socket.recv(65_536):
            everything += data
    lines, _, body = everything.decode("latin-1").partition("\r\n\r\n")
    status, *headers = lines.split("\r\n")
    found = {name.lower(): value for name, _, value in (line.partition(": ") for line in headers)}
    assert body == ""
    assert int(status.split()[1]) == got.status_code
    for name in (found.keys() | got.headers.keys()) - VARY:
        if path not in (
            "/metrics",
            "/ready",
            "/api/v1/system",
        ):  # their bodies vary
            assert found.get(name) == got.headers.get(name), name


def test_head_of_an_endless_stream_ends_and_keeps_the_connection(server: Server) -> None:
    with RawConnection(server) as connection:
        for _ in range(3):
            connection.send(head(method="HEAD", target="/api/v1/jobs/events"))
            assert b"text/event-stream" in connection._more(b"")
        assert connection.send(head(method="GET", target="/health")).answer().status_code == 200


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/health", "GET, HEAD"), ("/api/v1/upload", "POST, PUT"), ("/api/v1/schedules", "GET, HEAD, POST"),
        ("/api/v1/uploads", "OPTIONS, POST"), ("/api/v1/session", "DELETE, POST"),
        ("/api/v1/templates/0b8f3c1e-6f0d-4a52-9d3a-3f3f6f0f2a11", "DELETE, GET, HEAD, PUT"),
    ],
)  # fmt: skip
def test_a_wrong_method_lists_the_allowed_ones(api: Api, path: str, methods: str) -> None:
    answer = api.client.request("TRACE", path)
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == methods


def test_head_without_a_get_is_a_wrong_method(api: Api) -> None:
    answer = api.client.head("/api/v1/upload")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST, PUT")


def test_the_openapi_document_lists_no_head_operations(api: Api) -> None:
    methods = {
        method
        for path in api.client.get("/openapi.json").json()["paths"].values()
        for method in path
    }
    assert methods <= {"get", "post", "put", "patch", "delete", "options"}
