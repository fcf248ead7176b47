"""Limits on the cost of a connection: clients that send slowly, endlessly or not at all, that do
not read, and that are too many.
"""

from __future__ import annotations

import json
import os
import re
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests import commands, harness
from tests.api.checks import RawConnection, assert_problem, head, parts
from tests.conftest import Databases
from tests.forks import Server
from tests.harness import ROOT, Api, wait_until

pytestmark = pytest.mark.one_database

HALF = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Half"
PATIENT = {"HEADER_SECONDS": 60, "UPLOAD_STALL_SECONDS": 60, "DOWNLOAD_STALL_SECONDS": 60}


@pytest.fixture(scope="module")
def hasty(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with timeouts of half a second."""
    storage = tmp_path_factory.mktemp("hasty") / "storage"
    running = Server(
        databases.create(storage),
        storage,
        HEADER_SECONDS=0.5,
        UPLOAD_STALL_SECONDS=0.5,
        DOWNLOAD_STALL_SECONDS=0.5,
        MIN_BYTES_PER_SECOND=10_000,
    ).start()
    yield running
    assert running.stop() in (0, -15)
    assert "Traceback" not in running.log.read_text()


@pytest.fixture(scope="module")
def patient(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server without short timeouts."""
    storage = tmp_path_factory.mktemp("patient") / "storage"
    running = Server(databases.create(storage), storage, **PATIENT).start()
    yield running
    assert running.stop() in (0, -15)
    assert "Traceback" not in running.log.read_text()


def sockets(server: harness.Server) -> int:
    """Number of descriptors that the process has open."""
    assert server.process is not None
    folder, found = Path(f"/proc/{server.process.pid}/fd"), 0
    for link in folder.iterdir():
        try:
            found += os.readlink(link).startswith("socket:")
        except FileNotFoundError:  # closed meanwhile
            continue
    return found


def memory(server: harness.Server) -> int:
    """Memory of the process in bytes."""
    assert server.process is not None
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS"))


def dripping(
    connection: RawConnection, piece: bytes, pause: float, at_most: int
) -> httpx.Response | None:
    """Send a piece after each pause until a response arrives; return None if none does."""
    connection._socket.settimeout(pause)
    for _ in range(at_most):
        try:
            connection.send(piece)
            connection._socket.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            continue
        connection._socket.settimeout(20)
        return connection.answer()
    connection._socket.settimeout(20)
    return None


# ---------------------------------------------------------------------- headers


@pytest.mark.parametrize("sent", [HALF, b"G", b"\r\n", b"GET / HTTP/1.1\r\n", HALF + b": 1\r\n"])
def test_late_headers_get_a_response_and_close_the_connection(hasty: Server, sent: bytes) -> None:
    with RawConnection(hasty) as connection:
        answer = connection.send(sent).answer()
        assert_problem(answer, 408, "headers_timeout")
        assert answer.headers["connection"] == "close"
        assert connection.is_closed_by_server()


def test_slow_headers_time_out(hasty: Server) -> None:
    """Each byte is progress, but buys no time."""
    with RawConnection(hasty) as connection:
        connection.send(HALF)
        assert (
            connection.send_until_cut(b"x", 1 << 16) < 1 << 16 or connection.is_closed_by_server()
        )


def test_a_silent_connection_is_closed_without_a_response(hasty: Server) -> None:
    with RawConnection(hasty) as connection:
        assert connection.status_if_any() is None


def test_an_idle_connection_stays_open_longer_than_the_header_timeout(hasty: Server) -> None:
    with RawConnection(hasty) as resting, RawConnection(hasty) as clock:
        request = head(method="GET", target="/health")
        assert resting.send(request).answer().status_code == 200
        assert clock.send(HALF).answer().status_code == 408  # it has been idle this long
        assert resting.send(request).answer().status_code == 200
        assert_problem(resting.send(HALF).answer(), 408, "headers_timeout")


@pytest.mark.parametrize(
    "begun",
    [
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Endless: ",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n",
        b"GET /",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /health HTTP/1.1\r\nX: ",
    ],
    ids=["a value", "a name", "an address", "the second request"],
)
def test_endless_headers_are_refused_and_take_no_memory(patient: Server, begun: bytes) -> None:
    before = memory(patient)
    with ExitStack() as stack:
        for _ in range(4):
            connection = stack.enter_context(RawConnection(patient))
            connection.send(begun)
            assert connection.send_until_cut(b"x" * 65_536, 64 << 20) < 64 << 20
    assert memory(patient) - before < 16 << 20
    with RawConnection(patient) as connection:
        connection.send(begun)
        if begun.count(b"\r\n\r\n"):
            assert connection.answer().status_code == 200
        assert_problem(connection.send(b"x" * 50_000).answer(), 431, "headers_too_large")


def test_a_refused_request_gets_one_response_while_its_body_is_drained(hasty: Server) -> None:
    """Longer than the header timeout; the log is checked when the module ends."""
    for sent, code in (
        (HALF + b"x" * 50_000, "headers_too_large"),
        (b"nonsense\r\n\r\n", "malformed_request"),
    ):
        with RawConnection(hasty) as connection:
            assert connection.send(sent).answer().json()["code"] == code
            assert connection.is_closed_by_server()


@pytest.mark.parametrize(
    "endless", [b"0\r\nX-Trailer: ", b"0\r\n", b"5;extension="], ids=["trailer", "name", "chunk"]
)
def test_endless_chunk_framing_takes_no_memory(patient: Server, endless: bytes) -> None:
    before = memory(patient)
    with RawConnection(patient) as connection:
        connection.send(
            head("Content-Type: text/csv", "Transfer-Encoding: chunked"), b"4\r\na,b\n\r\n", endless
        )
        assert connection.send_until_cut(b"x" * 65_536, 64 << 20) < 64 << 20
    assert memory(patient) - before < 16 << 20
    with RawConnection(patient) as connection:
        connection.send(
            head("Content-Type: text/csv", "Transfer-Encoding: chunked"), b"4\r\na,b\n\r\n", endless
        )
        answer = dripping(connection, b"x" * 30_000, 0.1, 20)
        assert answer is not None
        assert_problem(answer, 431, "headers_too_large")
    wait_until(lambda: not parts(patient), 10, "removal of the part file")


def test_many_trailers_are_dropped_and_are_not_headers(patient: Server) -> None:
    with RawConnection(patient) as connection:
        connection.send(
            head("Transfer-Encoding: chunked", target="/nowhere"),
            b"0\r\n",
            b"Host: evil\r\n" * 100,
            b"\r\n",
        )
        assert_problem(connection.answer(), 404, "not_found")


# ---------------------------------------------------------------------- pipelined requests


def test_pipelined_requests_are_answered_in_order(patient: Server) -> None:
    paths = ["/health", "/nowhere", "/health", "/api/v1/jobs"]
    with RawConnection(patient) as connection:
        connection.send(b"".join(head(method="GET", target=path) for path in paths))
        received = b""
        while received.count(b"HTTP/1.1 ") < 4 or not received.rstrip().endswith(b"}"):
            received += connection._more(received)
    assert re.findall(rb"HTTP/1.1 (\d+) ", received) == [b"200", b"404", b"200", b"200"]


def test_any_number_of_pipelined_requests_is_answered(patient: Server) -> None:
    count = 2000
    request = head(method="GET", target="/health") + head(method="GET", target="/nowhere")
    with RawConnection(patient) as connection:
        sender = threading.Thread(target=connection.send, args=(request * count,))
        sender.start()
        received = b""
        while received.count(b"HTTP/1.1 ") < 2 * count:
            received += connection._more(received)
        sender.join(20)
    assert re.findall(rb"HTTP/1.1 (\d+) ", received) == [b"200", b"404"] * count


def test_pipelined_requests_that_wait_take_no_memory(patient: Server) -> None:
    stream, request = head(method="GET", target="/api/v1/jobs/events"), b"GET / HTTP/1.1\r\n\r\n"
    before = memory(patient)
    with ExitStack() as stack:
        for _ in range(10):
            connection = stack.enter_context(RawConnection(patient))
            connection.send(stream, request * 13_000)
            assert connection._more(b"").startswith(b"HTTP/1.1 200")
        assert memory(patient) - before < 32 << 20


@pytest.mark.parametrize("count", [1, 30])
def test_bytes_that_are_not_http_are_refused_after_the_pending_responses(
    patient: Server, count: int
) -> None:
    with RawConnection(patient) as connection:
        connection.send(
            head(method="GET", target="/nowhere") * count, b"\x16\x03\x01 no HTTP\r\n" * 3000
        )
        everything = b""
        while data := connection._socket.recv(65_536):
            everything += data
    assert (
        everything.index(b"HTTP/1.1 404")
        < everything.index(b"HTTP/1.1 400")
        < everything.index(b"malformed_request")
    )


@pytest.mark.parametrize(
    "sent", [b"nonsense\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/9.9\r\n\r\n"]
)
def test_bytes_that_are_not_http_get_a_problem_response(patient: Server, sent: bytes) -> None:
    with RawConnection(patient) as connection:
        assert_problem(connection.send(sent).answer(), 400, "malformed_request")
        assert connection.is_closed_by_server()


@pytest.mark.parametrize("protocol", ["websocket", "h2c"])
def test_an_upgrade_to_another_protocol_is_ignored(patient: Server, protocol: str) -> None:
    with RawConnection(patient) as connection:
        lines = (
            "Connection: Upgrade",
            f"Upgrade: {protocol}",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: AAAA",
        )
        answer = connection.send(head(*lines, method="GET", target="/health")).answer()
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        assert connection.is_closed_by_server()


# ---------------------------------------------------------------------- bodies


BODIES = [
    ("/api/v1/session", "POST", ("Content-Type: application/json",)),
    ("/api/v1/jobs/analyze", "POST", ("Content-Type: application/json",)),
    ("/api/v1/upload", "POST", ("Content-Type: text/csv",)),
    ("/api/upload", "POST", ("Content-Type: multipart/form-data; boundary=b",)),
    ("/batch/upload", "POST", ("Content-Type: multipart/form-data; boundary=b",)),
]


@pytest.mark.parametrize(("path", "method", "lines"), BODIES)
def test_every_stalled_body_is_ended(
    hasty: Server, path: str, method: str, lines: tuple[str, ...]
) -> None:
    with RawConnection(hasty) as connection:
        answer = connection.send(
            head(*lines, "Content-Length: 1000", method=method, target=path), b"-"
        ).answer()
        assert_problem(answer, 408, "upload_stalled")
        assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(("path", "method", "lines"), [BODIES[0], BODIES[2]])
def test_a_body_sent_byte_by_byte_is_ended(
    hasty: Server, path: str, method: str, lines: tuple[str, ...]
) -> None:
    with RawConnection(hasty) as connection:
        connection.send(head(*lines, "Content-Length: 1000", method=method, target=path))
        answer = dripping(connection, b"x", 0.05, 200)
    assert answer is not None, "ten seconds of single bytes were waited for"
    assert_problem(answer, 408, "upload_stalled")


def test_a_slow_and_steady_upload_may_exceed_every_deadline(hasty: Server) -> None:
    """Six times as long as the timeouts of headers and of silence."""
    block = b"a,b\n" * 1000
    with RawConnection(hasty) as connection:
        connection.send(head("Content-Type: text/csv", f"Content-Length: {60 * len(block)}"))
        assert dripping(connection, block, 0.05, 59) is None
        assert connection.send(block).answer().status_code == 201


def test_a_stalled_resumable_upload_keeps_its_bytes(hasty: Server) -> None:
    tus = {"Tus-Resumable": "1.0.0"}
    with hasty.client() as client:
        url = client.post("/api/v1/uploads", headers=tus | {"Upload-Length": "1000"}).headers[
            "location"
        ]
        lines = (
            "Tus-Resumable: 1.0.0",
            "Upload-Offset: 0",
            "Content-Type: application/offset+octet-stream",
        )
        with RawConnection(hasty) as connection:
            request = head(*lines, "Content-Length: 1000", method="PATCH", target=url)
            assert_problem(connection.send(request, b"a,b\n").answer(), 408, "upload_stalled")
        assert client.head(url, headers=tus).headers["upload-offset"] == "4"


# ---------------------------------------------------------------------- readers


@pytest.fixture(scope="module")
def large(
    databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, str]]:
    """A server with a file larger than all buffers between it and a client."""
    storage = tmp_path_factory.mktemp("large") / "storage"
    running = Server(
        databases.create(storage), storage, DOWNLOAD_STALL_SECONDS=0.5, SHUTDOWN_SECONDS=0.5
    ).start()
    with running.client() as client:
        file_id = Api(client).run(b"a,b\n" + b"x" * 99 + b",1\n" + (b"x" * 999_999 + b"\n") * 40)[
            "file_id"
        ]
    yield running, f"/api/v1/files/{file_id}/download"
    running.stop()


def test_a_client_that_does_not_read_its_response_is_disconnected(
    large: tuple[Server, str],
) -> None:
    server, path = large
    before = sockets(server)
    with ExitStack() as stack:
        for _ in range(5):
            connection = stack.enter_context(RawConnection(server))
            connection.send(head(method="GET", target=path))
            assert connection._socket.recv(1) == b"H"
        wait_until(lambda: sockets(server) <= before, 20, "the end of those who do not read")
    with server.client() as client:
        assert len(client.get(path).content) > 40_000_000  # a client that reads gets all of it
    assert "Traceback" not in server.log.read_text()


# ---------------------------------------------------------------------- too many


def test_half_open_connections_do_not_exhaust_descriptors(
    databases: Databases, tmp_path: Path
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 4096), hard), hard))
    server = Limited(
        databases.create(tmp_path / "storage"), tmp_path / "storage", **PATIENT
    ).start()
    try:
        with ExitStack() as stack, server.client() as early:
            for _ in range(1100):
                stack.enter_context(RawConnection(server)).send(HALF)
            for _ in range(20):
                with RawConnection(server) as probe:
                    assert (
                        probe.send(head(method="GET", target="/health")).answer().status_code == 200
                    )
            with server.client() as late:
                assert late.get("/api/v1/jobs").status_code == 200
                assert late.post("/api/v1/upload", content=b"a,b\n1,2\n").status_code == 201
            assert early.get("/api/v1/jobs").status_code == 200
        assert "Too many open files" not in server.log.read_text()
    finally:
        server.stop()


class Limited(harness.Server):
    """Under `ulimit -n 1024`, with the usual command."""

    def _spawn(self, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        command = (
            f'ulimit -n 1024; exec "{sys.executable}" -m uvicorn app.main:app --port {self.port}'
            " --no-access-log"
        )
        with self.log.open("ab") as log:
            return subprocess.Popen(
                ["bash", "-c", command], cwd=ROOT, env=environment, stdout=log, stderr=log
            )


def test_requests_over_the_limit_get_retry_after_and_health_always_responds(
    databases: Databases,
    tmp_path: Path,
) -> None:
    server = Server(
        databases.create(tmp_path / "storage"), tmp_path / "storage", MAX_CONNECTIONS=4
    ).start()
    try:
        with ExitStack() as stack:
            streams = [stack.enter_context(RawConnection(server)) for _ in range(4)]
            for stream in streams:
                stream.send(head(method="GET", target="/api/v1/jobs/events"))
                assert stream._more(b"").startswith(b"HTTP/1.1 200")
            with server.client() as client:
                refused = client.get("/api/v1/jobs")
                assert_problem(refused, 503, "unavailable")
                assert int(refused.headers["retry-after"]) > 0
                assert client.get("/health").status_code == 200
                streams[0].reset()
                wait_until(
                    lambda: client.get("/api/v1/jobs").status_code == 200, 20, "room for a request"
                )
    finally:
        server.stop()


def test_idle_connections_make_way_for_active_ones(databases: Databases, tmp_path: Path) -> None:
    server = Server(
        databases.create(tmp_path / "storage"), tmp_path / "storage", MAX_CONNECTIONS=4, **PATIENT
    ).start()
    try:
        with ExitStack() as stack:
            idle = stack.enter_context(RawConnection(server))
            assert idle.send(head(method="GET", target="/health")).answer().status_code == 200
            silent = [stack.enter_context(RawConnection(server)) for _ in range(40)]
            assert silent[0].status_if_any() is None  # the oldest was closed
            assert idle.send(head(method="GET", target="/health")).answer().status_code == 200
            assert (
                silent[-1].send(head(method="GET", target="/api/v1/jobs")).answer().status_code
                == 200
            )
    finally:
        server.stop()


# ---------------------------------------------------------------------- shutdown


def test_slow_clients_do_not_delay_the_shutdown(large: tuple[Server, str]) -> None:
    server, path = large
    server.environment |= {key: str(value) for key, value in PATIENT.items()}
    server.stop()
    server.start()
    with ExitStack() as stack:
        half, unread, body, upload, idle, silent = (
            stack.enter_context(RawConnection(server)) for _ in range(6)
        )
        half.send(HALF)
        unread.send(head(method="GET", target=path))
        assert unread._socket.recv(1) == b"H"
        body.send(
            head(
                "Content-Type: application/json",
                "Content-Length: 99",
                target="/api/v1/jobs/analyze",
            ),
            b"{",
        )
        upload.send(head("Content-Type: text/csv", "Content-Length: 99"), b"a,b\n")
        assert idle.send(head(method="GET", target="/health")).answer().status_code == 200
        assert server.stop() in (0, -15)
        assert_problem(upload.answer(), 503, "unavailable")
        assert_problem(body.answer(), 503, "unavailable")
        assert half.is_closed_by_server()
        assert silent.is_closed_by_server()
    assert "Traceback" not in server.tail()


# ---------------------------------------------------------------------- every way to start


COMMANDS = {
    "uvicorn": ("-m", "uvicorn", "app.main:app"),
    "with h11": ("-m", "uvicorn", "app.main:app", "--http", "h11"),
    "at trace level": ("-m", "uvicorn", "app.main:app", "--log-level", "trace"),
    "serve": ("-m", "app", "serve"),
}


class Started(harness.Server):
    command: tuple[str, ...] = ()

    def _spawn(self, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            command = [sys.executable, *self.command, "--port", str(self.port)]
            return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)


@pytest.mark.parametrize("how", COMMANDS)
def test_the_limits_hold_for_every_way_to_start_the_service(tmp_path: Path, how: str) -> None:
    server = Started("", tmp_path / "storage", HEADER_SECONDS=0.5)
    server.command = COMMANDS[how]
    server.start()
    try:
        with server.client() as client:
            answer = client.get("/health")
            assert answer.status_code == 200
            assert "server" not in answer.headers
        with RawConnection(server) as connection:
            assert_problem(connection.send(HALF).answer(), 408, "headers_timeout")
        with RawConnection(server) as connection:
            assert connection.send(HALF).send_until_cut(b"x" * 65_536, 64 << 20) < 64 << 20
        assert server.process is not None
        limits = Path(f"/proc/{server.process.pid}/limits").read_text()
        soft, hard = next(
            line.split()[3:5] for line in limits.splitlines() if line.startswith("Max open files")
        )
        assert soft == hard
    finally:
        server.stop()


def test_forwarded_headers_count_only_from_trusted_proxies(
    databases: Databases, tmp_path: Path
) -> None:
    """A client that guesses keys cannot pretend to have many addresses."""
    server = Server(
        databases.create(tmp_path / "storage"),
        tmp_path / "storage",
        AUTH_REQUIRED=True,
        AUTH_FAILURES_PER_MINUTE=3,
    )

    def tries(**environment: object) -> list[int]:
        server.start(**environment)
        try:
            with server.client("granula_" + "x" * 43) as client:
                return [
                    client.get(
                        "/api/v1/me", headers={"X-Forwarded-For": f"203.0.113.{n}"}
                    ).status_code
                    for n in range(6)
                ]
        finally:
            server.stop()

    assert tries() == [401] * 3 + [429] * 3
    assert tries(FORWARDED_ALLOW_IPS="10.0.0.0/8") == [401] * 3 + [429] * 3
    assert tries(FORWARDED_ALLOW_IPS="127.0.0.0/8") == [401] * 6


class Served(harness.Server):
    """Start by `python -m app serve`."""

    host = ""

    def _spawn(self, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        words = ("app", "serve", "--host", self.host, "--port", str(self.port))
        with self.log.open("ab") as log, open(os.devnull, "rb") as nothing:
            streams = (nothing.fileno(), log.fileno(), log.fileno())
            return commands.Command(words, environment, streams)  # type: ignore[return-value]


def own_address() -> str | None:
    """Address of this machine in its network, if it has one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return None
        return str(probe.getsockname()[0])


@pytest.mark.parametrize(
    ("host", "environment", "is_warned"),
    [
        ("0.0.0.0", {}, True),
        ("127.0.0.1", {}, False),
        ("0.0.0.0", {"AUTH_REQUIRED": "true"}, False),
    ],
)
def test_a_service_open_to_the_network_warns_and_the_doctor_reports_it(
    databases: Databases, tmp_path: Path, host: str, environment: dict[str, str], is_warned: bool
) -> None:
    server = Served(databases.create(tmp_path / "storage"), tmp_path / "storage", **environment)
    server.host = host
    server.start()
    try:
        url = f"http://127.0.0.1:{server.port}"
        asked = ("app", "doctor", "--json", "--url", url)
        doctor = commands.run(*asked, environment=dict(os.environ))
    finally:
        server.stop()
    assert ("MAY READ, UPLOAD AND DELETE EVERYTHING" in server.log.read_text()) == is_warned
    if own_address() is not None:
        states = [
            check["state"]
            for check in json.loads(doctor.stdout)["checks"]
            if check["name"] == "server"
        ]
        assert ("warning" in states) == is_warned, doctor.stdout


def test_disconnected_watchers_leave_nothing_behind(patient: Server) -> None:
    """The log is checked when the module ends."""
    with ExitStack() as stack:
        for _ in range(60):
            connection = stack.enter_context(RawConnection(patient))
            connection.send(head(method="GET", target="/api/v1/jobs/events"))
            assert connection._more(b"").startswith(b"HTTP/1.1 200")
    with patient.client() as client:
        assert client.get("/health").status_code == 200
    assert "Traceback" not in patient.log.read_text()


def test_concurrent_client_threads_are_all_answered(patient: Server) -> None:
    """While connections come and go, the counts of waiting and busy ones stay right."""
    statuses: list[int] = []

    def ask() -> None:
        for _ in range(10):
            with RawConnection(patient) as connection:
                requests = [
                    head(method="GET", target=path)
                    for path in ("/health", "/api/v1/jobs", "/nowhere")
                ]
                statuses.extend(
                    connection.send(request).answer().status_code for request in requests
                )

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(statuses) == [200] * 160 + [404] * 80
