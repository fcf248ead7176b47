"""Keys, sessions, limits and ownership, over a real server with authentication."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from typer.testing import CliRunner, Result

from app.cli.main import app
from tests.acceptance.users.conftest import People
from tests.api.checks import RawConnection, assert_problem, count_files, head
from tests.api.gate import GatedFile
from tests.conftest import Databases
from tests.forks import Server
from tests.harness import Api, query

MAX_BYTES, MAX_JOBS, REQUESTS, FAILURES = 250_000, 2, 200, 40
SETTINGS: dict[str, Any] = {
    "OWNER_MAX_BYTES": MAX_BYTES,
    "OWNER_MAX_QUEUED_JOBS": MAX_JOBS,
    "OWNER_REQUESTS_PER_MINUTE": REQUESTS,
    "AUTH_FAILURES_PER_MINUTE": FAILURES,
    "PROCESSORS": "tests.api.gate:Gate",
    "LOG_LEVEL": "DEBUG",
}
EVIL = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
SECRETS: set[str] = set()
"""Every key and cookie of these tests, to search for in the logs at the end."""


@pytest.fixture(scope="module")
def server(
    databases: Databases, gates: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    storage = tmp_path_factory.mktemp("users") / "storage"
    settings = {**SETTINGS, "AUTH_REQUIRED": "true", "TEST_GATES": gates}
    running = Server(databases.create(storage), storage, **settings).start()
    yield running
    assert running.stop() in (0, -15), running.tail()


@pytest.fixture
def alice(people: People) -> tuple[str, httpx.Client]:
    """A new user of any name: (name, client)."""
    name = f"alice-{uuid4().hex[:8]}"
    key = people.create(name)
    SECRETS.update((key, people.admin_key))
    return name, people.client(key)


def key_of(client: httpx.Client) -> str:
    return client.headers["authorization"].removeprefix("Bearer ")


# ---------------------------------------------------------------------- keys


def terminal(server: Server, *arguments: str) -> Result:
    """Run `python -m app users` in this process: the fixture has created a user in a separate
    one.
    """
    environment = {"DATABASE_URL": server.url, "STORAGE_DIR": str(server.storage), "NO_COLOR": "1"}
    return CliRunner().invoke(app, ["users", *arguments], env=environment)


def test_the_command_line_creates_lists_and_revokes_users_while_the_service_runs(
    server: Server, people: People
) -> None:
    made = terminal(server, "create", "terry", "--expires-in", "30")
    key = made.stdout.strip()
    SECRETS.add(key)
    me = people.client(key).get("/api/v1/me")
    assert me.json()["user_id"] == "terry"
    assert me.json()["key"]["expires_at"] is not None
    listed = [line.split() for line in terminal(server, "list").stdout.splitlines()]
    assert ["root", "True", "active", "1"] in [line[:4] for line in listed]
    assert ["terry", "False", "active", "1"] in [line[:4] for line in listed]
    again = terminal(server, "create", "terry")
    assert (again.exit_code, again.stdout) == (1, "")
    assert "already" in again.stderr
    second = terminal(server, "keys", "create", "terry", "--label", "laptop").stdout.strip()
    SECRETS.add(second)
    (row,) = [
        line
        for line in terminal(server, "keys", "list", "terry").stdout.splitlines()
        if "laptop" in line
    ]
    assert people.client(second).get("/api/v1/me").status_code == 200
    assert terminal(server, "keys", "revoke", row.split()[0]).exit_code == 0
    assert people.client(second).get("/api/v1/me").status_code == 401
    assert people.client(key).get("/api/v1/me").status_code == 200
    assert terminal(server, "revoke", "terry").exit_code == 0
    assert people.client(key).get("/api/v1/me").status_code == 401
    assert terminal(server, "revoke", "nobody").exit_code == 1


def test_all_invalid_keys_get_the_same_response(
    server: Server, people: People, alice: tuple[str, httpx.Client]
) -> None:
    name, client = alice
    revoked, expired = people.create(f"{name}-r"), people.create(f"{name}-e", expires_in_days=1)
    assert people.admin.delete(f"/api/v1/users/{name}-r").status_code == 204
    query(
        server.url,
        f"UPDATE user_keys SET expires_at = '2020-01-01 00:00:00.000' WHERE user_id = '{name}-e'",
    )
    unknown = f"granula_{'x' * 43}"
    SECRETS.update((revoked, expired))
    wrong = [
        f"Bearer {each}"
        for each in (revoked, expired, unknown, "x", "granula_", key_of(client) + "A", "", "\xff")
    ]
    answers = [
        people.client().get(
            "/api/v1/me", headers=[(b"Authorization", each.strip().encode("latin-1"))]
        )
        for each in wrong
    ]
    twice = [("Authorization", f"Bearer {key_of(client)}")] * 2
    answers.append(people.client().get("/api/v1/me", headers=twice))
    for answer in answers:
        assert_problem(answer, 401, "unauthenticated")
        assert answer.headers["www-authenticate"] == 'Bearer realm="granula", error="invalid_token"'
    assert len({answer.json()["detail"] for answer in answers}) == 1
    assert client.get("/api/v1/me").status_code == 200
    in_the_address = people.client().get(
        "/api/v1/me", params={"key": key_of(client), "access_token": key_of(client)}
    )
    assert_problem(in_the_address, 401, "unauthenticated")


def test_a_key_is_rotated_without_a_gap(people: People, alice: tuple[str, httpx.Client]) -> None:
    name, client = alice
    body = people.admin.post(
        f"/api/v1/users/{name}/keys", json={"label": "new laptop", "expires_in_days": 90}
    ).json()
    SECRETS.add(body["key"])
    newer = people.client(body["key"])
    assert newer.get("/api/v1/me").json()["key"]["label"] == "new laptop"
    assert client.get("/api/v1/me").status_code == 200
    first, second = people.admin.get(f"/api/v1/users/{name}/keys").json()["items"]
    assert first["last_used_at"] is not None
    assert (second["label"], second["status"]) == ("new laptop", "valid")
    assert people.admin.delete(f"/api/v1/users/root/keys/{first['key_id']}").status_code == 404
    assert people.admin.delete(f"/api/v1/users/{name}/keys/{first['key_id']}").status_code == 204
    assert client.get("/api/v1/me").status_code == 401
    assert newer.get("/api/v1/me").status_code == 200


def test_a_revoked_user_gets_no_key_until_restored(
    server: Server, people: People, alice: tuple[str, httpx.Client]
) -> None:
    name, client = alice
    assert people.admin.delete(f"/api/v1/users/{name}").status_code == 204
    assert_problem(people.admin.post(f"/api/v1/users/{name}/keys", json={}), 409, "user_revoked")
    assert_problem(people.admin.post("/api/v1/users", json={"user_id": name}), 409, "user_exists")
    assert terminal(server, "restore", name).exit_code == 0
    made = people.admin.post(f"/api/v1/users/{name}/keys", json={})
    SECRETS.add(made.json()["key"])
    assert people.client(made.json()["key"]).get("/api/v1/me").json()["user_id"] == name
    assert client.get("/api/v1/me").status_code == 401


@pytest.mark.one_database
@pytest.mark.parametrize("name", ["", "Alice", "a/b", "-a", "a b", "a" * 64, "ä"])
def test_a_confusable_name_is_refused(people: People, name: str) -> None:
    assert_problem(
        people.admin.post("/api/v1/users", json={"user_id": name}), 422, "invalid_parameter"
    )


# ---------------------------------------------------------------------- before the body


@pytest.mark.one_database
@pytest.mark.parametrize("expect", [(), ("Expect: 100-continue",)])
def test_an_upload_without_a_key_is_refused_before_its_body(
    server: Server, expect: tuple[str, ...]
) -> None:
    files = count_files(server)
    with RawConnection(server) as connection:
        lines = head("Content-Type: text/csv", f"Content-Length: {10 << 20}", *expect)
        answer = connection.send(lines).answer()  # not one byte of the body was sent
        assert_problem(answer, 401, "unauthenticated")
        assert answer.headers["connection"] == "close"
    assert count_files(server) == files


@pytest.mark.one_database
def test_the_body_of_a_sender_without_a_key_is_not_read(server: Server) -> None:
    with RawConnection(server) as connection:
        connection.send(head("Content-Type: text/csv", f"Content-Length: {1 << 30}"))
        sent = connection.send_until_cut(b"x" * 65_536, 1 << 30)
    assert sent < 32 << 20  # 4 MiB, and the buffers of both systems


# ---------------------------------------------------------------------- browsers


def signed_in(people: People, client: httpx.Client) -> httpx.Client:
    """A browser with the session of this user."""
    browser = people.client()
    answer = browser.post(
        "/api/v1/session", json={"key": key_of(client)}, headers={"Sec-Fetch-Site": "same-origin"}
    )
    assert answer.status_code == 200, answer.text
    SECRETS.add(browser.cookies["granula_session"])
    told = answer.headers["set-cookie"]
    assert all(part in told for part in ("HttpOnly", "SameSite=strict", "Path=/", "Max-Age=43200"))
    assert "Secure" not in told  # it came over http
    return browser


def test_a_browser_signs_in_reads_streams_and_downloads_and_signs_out(
    people: People, alice: tuple[str, httpx.Client]
) -> None:
    name, client = alice
    file_id = Api(client).run(b"a,b\n1,2\n")["file_id"]
    browser = signed_in(people, client)
    assert browser.get("/api/v1/me").json()["user_id"] == name
    assert "event: status" in browser.get(f"/api/v1/status/{file_id}/events").text
    assert browser.get(f"/api/v1/results/{file_id}/download").text == "a,b\r\n1,2\r\n"
    cookie = browser.cookies["granula_session"]
    assert (
        browser.delete("/api/v1/session", headers={"Sec-Fetch-Site": "same-origin"}).status_code
        == 204
    )
    assert "granula_session" not in browser.cookies
    kept = people.client().get("/api/v1/me", headers={"Cookie": f"granula_session={cookie}"})
    assert_problem(kept, 401, "unauthenticated")
    assert "Max-Age=0" in kept.headers["set-cookie"]
    assert client.get("/api/v1/me").status_code == 200, "the key stays"


def test_a_session_ends_when_its_key_ends(people: People, alice: tuple[str, httpx.Client]) -> None:
    name, client = alice
    browser = signed_in(people, client)
    (key,) = people.admin.get(f"/api/v1/users/{name}/keys").json()["items"]
    assert people.admin.delete(f"/api/v1/users/{name}/keys/{key['key_id']}").status_code == 204
    assert browser.get("/api/v1/me").status_code == 401


def test_with_a_cookie_only_same_origin_pages_change_anything(
    server: Server, people: People, alice: tuple[str, httpx.Client]
) -> None:
    _, client = alice
    browser = signed_in(people, client)
    here = f"http://127.0.0.1:{server.port}"
    refused: list[dict[str, str]] = [
        {}, EVIL, {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "none"}, {"Origin": "null"},
        {"Origin": f"http://127.0.0.1:{server.port + 1}"}, {"Origin": f"{here}.evil.example"},
        {"Sec-Fetch-Site": "cross-site", "Origin": here},
    ]  # fmt: skip
    for headers in refused:
        assert_problem(
            browser.post("/api/v1/upload", content=b"a\n1\n", headers=headers), 403, "cross_site"
        )
        assert browser.get("/api/v1/jobs", headers=headers).json()["items"] == []
    accepted: list[dict[str, str]] = [{"Sec-Fetch-Site": "same-origin"}, {"Origin": here}]
    for number, headers in enumerate(accepted):
        made = browser.post("/api/v1/upload", content=f"a\n{number}\n".encode(), headers=headers)
        assert made.status_code == 201, made.text
        Api(client).finished(made.json()["file_id"])
    assert_problem(
        people.client().post("/api/v1/session", json={"key": key_of(client)}, headers=EVIL),
        403,
        "cross_site",
    )
    assert client.post("/api/v1/upload", content=b"a\n3\n", headers=EVIL).status_code == 201, (
        "a key is no cookie"
    )


# ---------------------------------------------------------------------- ownership


def test_users_with_equal_bytes_and_equal_idempotency_keys_are_isolated(
    people: People, alice: tuple[str, httpx.Client]
) -> None:
    name, mine = alice
    theirs = people.new(f"{name}-2")
    headers = {"Idempotency-Key": "the-same"}
    made = [
        c.post("/api/v1/upload", content=b"a\n1\n", headers=headers) for c in (mine, theirs, mine)
    ]
    assert [m.status_code for m in made] == [201, 201, 201]
    assert "idempotency-replayed" not in made[1].headers
    assert made[2].headers["idempotency-replayed"] == "true"
    ids = [m.json()["file_id"] for m in made]
    assert ids[0] == ids[2] != ids[1]
    Api(mine).finished(ids[0])
    first = mine.post("/api/v1/upload?on_duplicate=reject", content=b"b\n1\n")
    assert first.status_code == 201
    assert theirs.post("/api/v1/upload?on_duplicate=reject", content=b"b\n1\n").status_code == 201
    assert mine.post("/api/v1/upload?on_duplicate=reject", content=b"b\n1\n").status_code == 409
    for client, user in ((mine, name), (theirs, f"{name}-2")):
        jobs = client.get("/api/v1/jobs").json()["items"]
        assert {job["user_id"] for job in jobs} == {user}
        assert client.get(f"/api/v1/status/{jobs[0]['file_id']}").json()["user_id"] == user


def test_jobs_are_listed_by_status_processor_and_time(alice: tuple[str, httpx.Client]) -> None:
    _, client = alice
    made = [Api(client).run(f"a\n{n}\n".encode()) for n in range(3)]
    since = client.get("/api/v1/jobs", params={"since": made[1]["created_at"]}).json()["items"]
    assert [job["job_id"] for job in since] == [made[2]["job_id"], made[1]["job_id"]]
    page = client.get(
        "/api/v1/jobs", params={"limit": 2, "status": "completed", "processor": "rows"}
    ).json()
    rest = client.get("/api/v1/jobs", params={"limit": 2, "before": page["next_before"]}).json()
    assert [job["job_id"] for job in page["items"] + rest["items"]] == [
        m["job_id"] for m in reversed(made)
    ]
    for wrong in (
        "yesterday",
        "2026-01-01T00:00:00",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
    ):
        assert_problem(
            client.get("/api/v1/jobs", params={"since": wrong}), 422, "invalid_parameter"
        )


# ---------------------------------------------------------------------- limits


def test_concurrent_uploads_do_not_exceed_the_quota_together(
    server: Server, people: People, alice: tuple[str, httpx.Client]
) -> None:
    _, client = alice
    together = threading.Barrier(5, timeout=30)
    files = count_files(server)

    def body(number: int) -> Iterator[bytes]:
        yield b"a\n" + str(number).encode()
        together.wait()  # each was admitted when nothing was stored yet
        yield b"1" * 99_000 + b"\n"

    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda n: client.post("/api/v1/upload", content=body(n)), range(5)))
    stored = [answer for answer in answers if answer.status_code == 201]
    assert len(stored) == 2, [answer.text for answer in answers]
    for answer in answers:
        if answer not in stored:
            assert assert_problem(answer, 429, "quota_exceeded")["limit"] == "stored_bytes"
    assert count_files(server) == files + 2
    used = client.get("/api/v1/me").json()["limits"]["stored_bytes"]
    assert used == {"used": 2 * 99_000 + 2 * 4, "limit": MAX_BYTES}

    unannounced = iter([b"a\n" + b"1" * 60_000])
    assert_problem(client.post("/api/v1/upload", content=unannounced), 429, "quota_exceeded")
    with RawConnection(server) as connection:  # refused before the body if its length is known
        lines = (
            "Content-Type: text/csv",
            "Content-Length: 60000",
            f"Authorization: Bearer {key_of(client)}",
        )
        assert_problem(connection.send(head(*lines)).answer(), 429, "quota_exceeded")
    other = people.new(f"other-{uuid4().hex[:8]}")
    assert other.post("/api/v1/upload", content=b"a\n" + b"1" * 60_000).status_code == 201

    Api(client).finished(stored[0].json()["file_id"])
    assert client.delete(f"/api/v1/files/{stored[0].json()['file_id']}").status_code == 204
    assert client.post("/api/v1/upload", content=b"a\n" + b"1" * 60_000).status_code == 201


def test_active_jobs_are_limited_for_each_user_on_every_endpoint(
    people: People, alice: tuple[str, httpx.Client], gates: Path
) -> None:
    _, client = alice
    with GatedFile(gates, 1) as one, GatedFile(gates, 1) as two:
        first = Api(client).upload(one.data, processor="gate")
        second = Api(client).upload(two.data, processor="gate")
        refused = client.post("/api/v1/upload", content=b"a\n1\n")
        assert assert_problem(refused, 429, "quota_exceeded")["limit"] == "queued_jobs"
        assert refused.headers["retry-after"]
        analyze = {"file_id": first["file_id"]}
        assert_problem(client.post("/api/v1/jobs/analyze", json=analyze), 429, "quota_exceeded")
        assert client.get("/api/v1/me").json()["limits"]["queued_jobs"] == {
            "used": 2,
            "limit": MAX_JOBS,
        }
        other = people.new(f"other-{uuid4().hex[:8]}")
        assert other.post("/api/v1/upload", content=b"a\n1\n").status_code == 201
    for each in (first, second):
        Api(client).finished(each["file_id"])
    assert client.post("/api/v1/jobs/analyze", json=analyze).status_code == 202
    mapping = {"input_file_id": first["file_id"], "reference_file_id": second["file_id"]}
    both = client.post("/api/v1/jobs/mapping", json=mapping)
    assert both.status_code in (202, 429), "two parts: with the analysis they may be too many"


def test_requests_per_minute_are_limited_for_each_user(
    people: People, alice: tuple[str, httpx.Client]
) -> None:
    _, client = alice
    first = client.get("/api/v1/templates")
    assert first.headers["ratelimit-policy"] == f'"requests";q={REQUESTS};w=60'
    assert first.headers["ratelimit"].startswith(f'"requests";r={REQUESTS - 1};t=')
    for _ in range(3 * REQUESTS):
        answer = client.get("/api/v1/templates")
        if answer.status_code == 429:
            break
    assert_problem(answer, 429, "rate_limited")
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["ratelimit"].startswith('"requests";r=0;t=')
    assert people.new(f"other-{uuid4().hex[:8]}").get("/api/v1/templates").status_code == 200


def test_guessing_keys_is_limited_by_address_and_locks_out_no_user(
    server: Server, alice: tuple[str, httpx.Client]
) -> None:
    _, client = alice
    base = f"http://127.0.0.1:{server.port}"
    with httpx.Client(
        base_url=base, transport=httpx.HTTPTransport(local_address="127.0.0.9")
    ) as guesser:
        for _ in range(3 * FAILURES):
            answer = guesser.get(
                "/api/v1/me", headers={"Authorization": f"Bearer granula_{'y' * 43}"}
            )
            if answer.status_code == 429:
                break
        assert_problem(answer, 429, "rate_limited")
        assert_problem(
            guesser.post("/api/v1/session", json={"key": "granula_"}), 429, "rate_limited"
        )
        assert (
            guesser.get(
                "/api/v1/me", headers={"Authorization": f"Bearer {key_of(client)}"}
            ).status_code
            == 200
        )
    unknown = client.get("/api/v1/me", headers={"Authorization": "Bearer granula_"})
    assert_problem(unknown, 401, "unauthenticated")


# ---------------------------------------------------------------------- after all


def test_no_key_and_no_cookie_is_in_the_logs_or_in_the_database(server: Server) -> None:
    assert SECRETS
    log = server.log.read_text(errors="replace")
    assert "Rejected an invalid key from 127.0.0.1" in log
    if server.url.startswith("sqlite"):
        stored = b"".join(path.read_bytes() for path in server.storage.glob("granula.db*")).decode(
            "latin-1"
        )
    else:
        tables = ("users", "user_keys", "user_sessions", "idempotency_keys", "jobs", "files")
        stored = "\n".join(
            str(query(server.url, f"SELECT t::text FROM {table} t")) for table in tables
        )
    assert "alice-" in stored
    for secret in SECRETS:
        assert secret not in log
        assert secret not in stored
