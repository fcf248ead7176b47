"""Names under which the service responds: DNS rebinding by a page of another site gets nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.hosts import Hosts, name_of
from app.config import load_settings
from app.errors import BadHost, HostNotAllowed, SettingsInvalid
from tests.api.checks import RawConnection, assert_problem
from tests.conftest import Databases
from tests.forks import Server

pytestmark = pytest.mark.one_database

LOCAL = ["localhost", "LocalHost", "localhost.", "localhost:8000", "app.localhost", "127.0.0.1", "127.0.0.1:1", "[::1]",
         "[::1]:8000", "10.1.2.3:8000", "192.168.0.7", "[fe80::1]:80", "203.0.113.9", "[::ffff:10.0.0.1]"]  # fmt: skip
FOREIGN = ["evil.example", "evil.example:8000", "EVIL.example.", "localhost.evil.example", "127.0.0.1.evil.example",
           "xlocalhost", "localhost-evil", "granula", "2130706433", "0x7f.1", "127.1", "a_b"]  # fmt: skip
NONE = ["", " ", "[", "[]", "[::1", "::1", "a b", "a,b", "user@localhost", "localhost/", "localhost:http", "localhost:123456",
        "localhost..", ".localhost", "[localhost]", "[1.2.3.4.5]", "http://localhost", "\xff", "x" * 3000, "a\tb"]  # fmt: skip


def problem(host: str, **settings: object) -> object:
    given = load_settings(_env_file=None, **settings)
    return Hosts(given).problem([(b"host", host.encode("latin-1"))], "1.1")


@pytest.mark.parametrize("host", LOCAL)
def test_localhost_and_addresses_pass(host: str) -> None:
    assert problem(host) is None
    assert problem(host, allowed_hosts="granula.example.com") is None


@pytest.mark.parametrize("host", FOREIGN)
def test_other_hosts_are_refused_without_authentication(host: str) -> None:
    assert problem(host) is HostNotAllowed
    assert problem(host, auth_required=True) is None
    assert problem(host, auth_required=True, allowed_hosts="granula.example.com") is HostNotAllowed
    assert problem(host, allowed_hosts="*") is None


@pytest.mark.parametrize("host", NONE)
@pytest.mark.parametrize("allowed", ["", "*"])
def test_an_invalid_host_never_passes(host: str, allowed: str) -> None:
    assert problem(host, allowed_hosts=allowed) is BadHost


@pytest.mark.parametrize(
    ("host", "passes"),
    [
        ("granula.example.com", True), ("Granula.Example.COM:443", True), ("granula.example.com.", True),
        ("a.data.example.com", True), ("a.b.data.example.com", True), ("api", True), ("API:8000", True),
        ("data.example.com", False), ("xdata.example.com", False), ("example.com", False),
        ("granula.example.com.evil.example", False), ("api.evil.example", False),
    ],
)  # fmt: skip
def test_hosts_in_the_setting_pass(host: str, passes: bool) -> None:
    found = problem(host, allowed_hosts="granula.example.com, *.data.example.com,API")
    assert (found is None) == passes


@pytest.mark.parametrize(
    "value",
    ["https://granula.example.com", "granula:8000", "a b", "*.*", "a.*", "*example.com", "[::1]"],
)
def test_an_impossible_host_is_an_invalid_setting(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("ALLOWED_HOSTS", value)
    with pytest.raises(SettingsInvalid, match="ALLOWED_HOSTS"):
        load_settings()


@pytest.mark.parametrize("value", ["nginx", "10.0.0.0/33", "10.0.0.0.1"])
def test_a_proxy_that_is_not_an_address_is_an_invalid_setting(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", value)
    with pytest.raises(SettingsInvalid, match="FORWARDED_ALLOW_IPS"):
        load_settings()


@given(st.binary(max_size=300))
def test_any_bytes_are_parsed_as_a_host_or_refused(host: bytes) -> None:
    name = name_of(host)
    assert name is None or (name == name.lower() and name and not set(name) & set(" /@[]"))


# ---------------------------------------------------------------------- over the wire


@pytest.fixture(scope="module")
def open_to_all(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The default configuration: without authentication."""
    storage = tmp_path_factory.mktemp("open") / "storage"
    running = Server(databases.create(storage), storage, CORS_ORIGINS="https://app.example").start()
    yield running
    assert running.stop() in (0, -15)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/health"), ("GET", "/api/v1/jobs"), ("POST", "/api/v1/upload"), ("GET", "/nowhere"),
     ("DELETE", "/api/v1/files/0b8f3c1e-6f0d-4a52-9d3a-3f3f6f0f2a11"), ("GET", "/assets/js/main.js"), ("HEAD", "/docs")],
)  # fmt: skip
def test_dns_rebinding_gets_no_response(open_to_all: Server, method: str, path: str) -> None:
    host = f"evil.example:{open_to_all.port}"
    headers = {
        "Host": host,
        "Origin": f"http://{host}",
        "Sec-Fetch-Site": "same-origin",
        "Content-Type": "text/csv",
    }
    with open_to_all.client() as client:
        answer = client.request(
            method, path, headers=headers, content=b"a,b\n1,2\n" if method == "POST" else None
        )
        assert answer.status_code == 421
        if method != "HEAD":
            assert "ALLOWED_HOSTS" in assert_problem(answer, 421, "host_not_allowed")["remedy"]
        assert client.get("/api/v1/jobs").json()["items"] == []


def ask(server: Server, request: str) -> httpx.Response:
    with RawConnection(server) as connection:
        return connection.send(request.encode("latin-1")).answer()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ("GET /health HTTP/1.1\r\n\r\n", 400),
        ("GET /health HTTP/1.0\r\n\r\n", 200),
        ("GET /health HTTP/1.0\r\nHost: evil.example\r\n\r\n", 421),
        ("GET /health HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
        ("GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", 400),
        ("GET /health HTTP/1.1\r\nHost:\r\n\r\n", 400),
        ("GET /health HTTP/1.1\r\nhOST:   LOCALHOST:80  \r\n\r\n", 200),
        # The name in the target counts, whatever Host says.
        ("GET http://localhost/health HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
        ("GET http://localhost:80/health HTTP/1.1\r\nHost: evil.example\r\n\r\n", 200),
        ("GET http://evil.example/health HTTP/1.1\r\nHost: localhost\r\n\r\n", 421),
        ("GET http://localhost@evil.example/health HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        ("GET //evil.example/health HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        ("GET /health HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-Host: evil.example\r\n\r\n", 200),
    ],
)
def test_the_host_of_a_request_is_read_as_http_specifies(
    open_to_all: Server, request_: str, status: int
) -> None:
    answer = ask(open_to_all, request_)
    assert answer.status_code == status, answer.text
    if status in (400, 421):
        assert_problem(answer, status, "bad_host" if status == 400 else "host_not_allowed")


def test_an_allowed_origin_may_send_requests_under_the_host_of_the_service(
    open_to_all: Server,
) -> None:
    with open_to_all.client() as client:
        answer = client.get("/api/v1/jobs", headers={"Origin": "https://app.example"})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://app.example"


def test_a_preflight_response_has_the_common_headers(open_to_all: Server) -> None:
    asking = {"Origin": "https://app.example", "Access-Control-Request-Method": "PUT"}
    with open_to_all.client() as client:
        for headers in (asking, asking | {"Origin": "https://evil.example"}):
            answer = client.options("/api/v1/upload", headers=headers)
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["content-security-policy"].startswith("default-src 'none'")
            assert len(answer.headers["x-request-id"]) == 32


def test_hosts_in_the_setting_are_served_and_an_invalid_one_stops_the_start(
    databases: Databases,
    tmp_path: Path,
) -> None:
    server = Server(
        databases.create(tmp_path / "storage"),
        tmp_path / "storage",
        ALLOWED_HOSTS="granula.example.com",
    ).start()
    try:
        assert (
            ask(
                server, "GET /api/v1/jobs HTTP/1.1\r\nHost: granula.example.com\r\n\r\n"
            ).status_code
            == 200
        )
        assert (
            ask(server, "GET /api/v1/jobs HTTP/1.1\r\nHost: evil.example\r\n\r\n").status_code
            == 421
        )
    finally:
        server.stop()
