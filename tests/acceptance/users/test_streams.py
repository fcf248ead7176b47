"""An event stream ends when its client loses access, and when its object is deleted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.acceptance.users.conftest import People
from tests.api.gate import GatedFile
from tests.conftest import Databases
from tests.forks import Server


@pytest.fixture(scope="module")
def server(
    databases: Databases, tmp_path_factory: pytest.TempPathFactory, gates: Path
) -> Iterator[Server]:
    storage = tmp_path_factory.mktemp("streams") / "storage"
    settings = {"AUTH_REQUIRED": "true", "PROCESSORS": "tests.api.gate:Gate", "TEST_GATES": gates}
    running = Server(databases.create(storage), storage, **settings).start()
    yield running
    assert running.stop() in (0, -15), running.tail()


@pytest.fixture
def alice(people: People) -> tuple[str, httpx.Client]:
    name = f"alice-{uuid4().hex[:8]}"
    return name, people.new(name)


@pytest.fixture
def running(alice: tuple[str, httpx.Client], gates: Path) -> Iterator[str]:
    """Return the id of a file of hers whose job does not end meanwhile."""
    with GatedFile(gates, 1) as file:
        made = alice[1].post("/api/v1/upload", params={"processor": "gate"}, content=file.data)
        assert made.status_code == 201, made.text
        yield made.json()["file_id"]


@pytest.mark.one_database  # it waits for the next check of the key, which is the same on both
@pytest.mark.parametrize("path", ["/api/v1/jobs/events", "/api/v1/status/FILE/events"])
@pytest.mark.parametrize("way", ["key", "user", "session"])
def test_a_stream_ends_when_its_key_user_or_session_ends(
    people: People, alice: tuple[str, httpx.Client], running: str, path: str, way: str
) -> None:
    name, client = alice
    key = client.headers["authorization"].partition(" ")[2]
    watching, same_origin = people.client(key), {"Sec-Fetch-Site": "same-origin"}
    if way == "session":
        watching = people.client()
        assert (
            watching.post("/api/v1/session", json={"key": key}, headers=same_origin).status_code
            == 200
        )
    with watching.stream("GET", path.replace("FILE", running)) as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("event: ")
        if way == "key":
            (only,) = people.admin.get(f"/api/v1/users/{name}/keys").json()["items"]
            ended = people.admin.delete(f"/api/v1/users/{name}/keys/{only['key_id']}")
        elif way == "user":
            ended = people.admin.delete(f"/api/v1/users/{name}")
        else:
            ended = httpx.delete(
                f"{watching.base_url}/api/v1/session",
                cookies=dict(watching.cookies),
                headers=same_origin,
                trust_env=False,
            )
        assert ended.status_code == 204, ended.text
        assert len(list(lines)) < 100  # it ends


def test_a_stream_ends_when_its_job_is_deleted(
    alice: tuple[str, httpx.Client], running: str
) -> None:
    _, client = alice
    with client.stream("GET", f"/api/v1/status/{running}/events") as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("event: ")
        with httpx.Client(
            base_url=client.base_url, headers=client.headers, trust_env=False
        ) as other:
            assert other.delete(f"/api/v1/files/{running}").status_code == 204
        assert len(list(lines)) < 100


def test_a_stream_continues_when_another_key_ends(
    people: People, alice: tuple[str, httpx.Client], running: str
) -> None:
    name, client = alice
    body = people.admin.post(f"/api/v1/users/{name}/keys", json={"label": "second"}).json()
    with client.stream("GET", f"/api/v1/status/{running}/events") as stream:
        lines = stream.iter_lines()
        next(lines)
        assert people.admin.delete(f"/api/v1/users/{name}/keys/{body['key_id']}").status_code == 204
        with people.client(body["key"]) as other:
            assert other.get("/api/v1/me").status_code == 401
        with httpx.Client(
            base_url=client.base_url, headers=client.headers, trust_env=False
        ) as same:
            same.post(f"/api/v1/jobs/{running}/cancel")
        assert any("cancelled" in line for line in lines)
