"""Clients that break HTTP or the limits: the limits hold, and nothing is left."""

from __future__ import annotations

import random
from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.api.checks import (
    RawConnection,
    assert_problem,
    count_files,
    head,
    parts,
    wait_until_nothing_is_left,
)
from tests.api.forms import (
    CSV,
    FORM,
    part,
)
from tests.conftest import Databases
from tests.forks import Server
from tests.harness import Api, wait_until


@pytest.fixture(scope="module")
def tight(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a limit of 1 MiB and timeouts of half a second."""
    storage = tmp_path_factory.mktemp("tight") / "storage"
    running = Server(
        databases.create(storage), storage, MAX_UPLOAD_MB=1, UPLOAD_STALL_SECONDS=0.5
    ).start()
    yield running
    running.stop()
    assert "Traceback" not in running.log.read_text()


@pytest.mark.one_database
@pytest.mark.parametrize("type_", ["text/csv", FORM])
def test_a_content_length_over_the_limit_is_refused_before_the_body_is_sent(
    tight: Server, type_: str
) -> None:
    with RawConnection(tight) as connection:
        connection.send(head(f"Content-Type: {type_}", "Content-Length: 2000000"))
        body = assert_problem(connection.answer(), 413, "file_too_large")
        assert body["limit_bytes"] == 1 << 20
    wait_until_nothing_is_left(tight, 0)


BLOCK = b"10000\r\n" + b"a,b\n" * 16_384 + b"\r\n"


@pytest.mark.one_database
def test_a_body_without_content_length_is_refused_once_it_exceeds_the_limit(tight: Server) -> None:
    with RawConnection(tight) as connection:
        connection.send(head("Content-Type: text/csv", "Transfer-Encoding: chunked"), BLOCK * 40)
        answer = connection.answer()
        assert_problem(answer, 413, "file_too_large")
        assert answer.headers["connection"] == "close"
        # a client that still sends is drained for a while, and not reset
        connection.send(BLOCK * 40, b"0\r\n\r\n")
        assert connection.is_closed_by_server()
    wait_until_nothing_is_left(tight, 0)


@pytest.mark.one_database
def test_an_endless_body_is_cut_off_soon_after_its_refusal(tight: Server) -> None:
    with RawConnection(tight) as connection:
        connection.send(head("Content-Type: text/csv", "Transfer-Encoding: chunked"), BLOCK * 20)
        assert connection.answer().status_code == 413
        assert connection.send_until_cut(BLOCK, 1 << 30) < 1 << 30
    wait_until_nothing_is_left(tight, 0)


@pytest.mark.one_database
def test_a_client_that_sends_everything_before_it_reads_gets_the_refusal(tight: Server) -> None:
    with tight.client() as client:
        answer = client.post(
            "/api/v1/upload", files={"file": ("x.csv", b"a,b\n" * 5_000_000, "text/csv")}
        )
        assert_problem(answer, 413, "file_too_large")
        answer = client.post("/api/v1/upload", content=iter([b"a,b\n" * 16_384] * 200))
        assert_problem(answer, 413, "file_too_large")
    wait_until_nothing_is_left(tight, 0)


@pytest.mark.one_database
def test_expect_continue_is_answered_only_if_the_upload_is_allowed(tight: Server) -> None:
    asking = ("Content-Type: text/csv", "Expect: 100-continue")
    with RawConnection(tight) as connection:
        answer = connection.send(head(*asking, "Content-Length: 2000000")).answer()
        assert_problem(answer, 413, "file_too_large")
    with RawConnection(tight) as connection:
        assert connection.send(head(*asking, "Content-Length: 6")).answer().status_code == 100
        assert_problem(connection.send(b" \n \n \n").answer(), 422, "empty_file")
    wait_until_nothing_is_left(tight, 0)


def test_a_file_of_exactly_the_limit_is_accepted_and_one_byte_more_is_not(tight: Server) -> None:
    data = b"a\n" * (1 << 19)
    with tight.client() as client:
        accepted = client.post("/api/v1/upload", content=data)
        assert accepted.status_code == 201
        assert_problem(client.post("/api/v1/upload", content=data + b"x"), 413, "file_too_large")
        assert client.delete(f"/api/v1/files/{accepted.json()['file_id']}").status_code == 204
    wait_until(lambda: count_files(tight) == 0, 10, "removal of the file")


@pytest.mark.one_database
@pytest.mark.parametrize("type_", ["text/csv", FORM])
def test_a_stalled_upload_is_ended(tight: Server, type_: str) -> None:
    begun = part()[: -len(CSV) - 2] if type_ == FORM else b""
    with RawConnection(tight) as connection:
        connection.send(
            head(f"Content-Type: {type_}", "Content-Length: 500000"), begun, b"a,b\n" * 10_000
        )
        answer = connection.answer()
        assert_problem(answer, 408, "upload_stalled")
        assert answer.headers["connection"] == "close"
    wait_until_nothing_is_left(tight, 0)


@pytest.mark.parametrize("end", ["FIN", "RST"])
@pytest.mark.parametrize("type_", ["text/csv", FORM])
def test_a_disconnected_client_leaves_no_row_no_file_and_no_error(
    server: Server, type_: str, end: str
) -> None:
    before = count_files(server)
    begun = part()[: -len(CSV) - 2] if type_ == FORM else b""
    with RawConnection(server) as connection:
        connection.send(
            head(f"Content-Type: {type_}", "Content-Length: 90000000"), begun, b"a,b\n" * 1_000_000
        )
        wait_until(lambda: parts(server), 10, "part file")
        if end == "RST":
            connection.reset()
    wait_until_nothing_is_left(server, before)  # the log is checked when the module ends


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("size", "status"), [(30_000, 200), (33_000, 431), (100_000, 431), (1_000_000, 431)]
)
def test_headers_over_32_kib_are_refused(server: Server, size: int, status: int) -> None:
    with RawConnection(server) as connection:
        answer = connection.send(
            head(f"X-Filler: {'x' * size}", method="GET", target="/health")
        ).answer()
        if status == 431:
            assert_problem(answer, 431, "headers_too_large")
        else:
            assert answer.status_code == 200


@pytest.mark.one_database
@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: -1"],
        ["Content-Length: 1", "Content-Length: 2"],
        ["Content-Length: 99999999999999999999999999"],
        ["Content-Length: 1", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "X: 1\r\n\r\nzz"],
    ],
)
def test_contradictory_framing_is_refused_and_closes_the_connection(
    server: Server, lines: list[str]
) -> None:
    with RawConnection(server) as connection:
        assert connection.send(head("Content-Type: text/csv", *lines)).answer().status_code == 400
        assert connection.is_closed_by_server()


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/upload", 405),
        ("DELETE", "/api/v1/upload", 405),
        ("TRACE", "/health", 405),
        ("POST", "/health", 405),
        ("OPTIONS", "/api/v1/upload", 405),
        ("GET", "/nowhere", 404),
        ("GET", "/api/v1//upload", 404),
        ("GET", "//", 404),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", 404),
        ("GET", "/api/v1/status/%00", 404),
        ("GET", "/api/v1/status/%ff", 404),
        ("GET", "/api/v1/status/" + "a" * 3000, 404),
        ("PUT", "/api/v1/upload/..%2f..%2fx.csv", 404),
        ("GET", "/errors/nothing", 404),
    ],
)
def test_a_wrong_path_or_method_gets_a_problem_response(
    server: Server, method: str, path: str, status: int
) -> None:
    with RawConnection(server) as connection:
        answer = connection.send(head(method=method, target=path)).answer()
    assert_problem(answer, status, "not_found" if status == 404 else "method_not_allowed")
    assert (status == 405) == ("allow" in answer.headers)


@pytest.mark.one_database
@pytest.mark.parametrize("host", ["[", "[::1", "a b", "x" * 3000, "\xff", ""])
def test_an_invalid_host_header_is_refused(server: Server, host: str) -> None:
    for path in ("/health", "/nowhere", "/api/v1/status/x"):
        with RawConnection(server) as connection:
            connection.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode("latin-1"))
            assert_problem(connection.answer(), 400, "bad_host")


def test_invalid_unknown_and_deleted_ids_get_the_same_response(api: Api) -> None:
    deleted = api.run(CSV)["file_id"]
    api.client.delete(f"/api/v1/files/{deleted}")
    for pattern in (
        "/api/v1/status/{}", "/api/v1/status/{}/events", "/api/v1/results/{}", "/api/v1/results/{}/download",
        "/api/v1/rejects/{}", "/api/v1/rejects/{}/download", "/api/v1/files/{}/bytes?start=0&end=1",
        "/api/v1/jobs/{}", "/api/v1/jobs/{}/proof", "/api/v1/jobs/{}/chunks",
    ):  # fmt: skip
        bodies = []
        for identifier in ("nonsense", "1", str(uuid4()), deleted):
            body = assert_problem(api.client.get(pattern.format(identifier)), 404, "not_found")
            del body["request_id"], body["instance"]
            bodies.append(body)
        assert all(body == bodies[0] for body in bodies)


@pytest.mark.one_database
@pytest.mark.parametrize("seed", range(3))
def test_bytes_that_are_not_http_get_a_4xx_or_a_closed_connection(
    server: Server, seed: int
) -> None:
    dice = random.Random(seed)
    whole = head("Content-Type: text/csv", f"Content-Length: {len(CSV)}") + CSV
    for _ in range(20):
        at = dice.randrange(len(whole) - len(CSV))
        garbled = (
            whole[:at] + dice.randbytes(dice.randrange(1, 6)) + whole[at + dice.randrange(3) :]
        )
        with RawConnection(server) as connection:
            connection.send(garbled).finish()
            status = connection.status_if_any()
        assert status is None or 200 <= status < 500, garbled
    assert server.is_ready()
