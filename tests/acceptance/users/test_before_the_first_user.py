"""An Authorization header without authentication: ignored while there are no users, a key from then
on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import commands
from tests.api.checks import assert_problem
from tests.conftest import Databases
from tests.forks import Server

TOKENS = (
    {"Authorization": "Bearer TOKEN"},
    {"Authorization": f"Bearer granula_{'a' * 43}"},
    {"Authorization": "Bearer"},
)
FROM_ANOTHER_SITE = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}


@pytest.fixture
def server(databases: Databases, tmp_path: Path) -> Iterator[Server]:
    running = Server(databases.create(tmp_path / "storage"), tmp_path / "storage").start()
    yield running
    assert running.stop() in (0, -15), running.tail()


def test_a_key_is_ignored_until_a_user_exists(server: Server) -> None:
    files = {"file": ("a.csv", b"id\n1\n")}
    with server.client() as client:
        for count, token in enumerate(TOKENS, 1):
            assert client.post("/api/v1/upload", files=files, headers=token).status_code == 201
            assert len(client.get("/api/v1/jobs", headers=token).json()["items"]) == count
            foreign = client.post(
                "/api/v1/upload", files=files, headers={**token, **FROM_ANOTHER_SITE}
            )
            assert_problem(foreign, 403, "cross_site")
        made = commands.users(server, "create", "ann")
        assert made.returncode == 0, made.stderr
        for token in TOKENS:
            assert_problem(client.get("/api/v1/jobs", headers=token), 401, "unauthenticated")
        own = {"Authorization": f"Bearer {made.stdout.strip()}"}
        assert len(client.get("/api/v1/jobs", headers=own).json()["items"]) == 0
        assert len(client.get("/api/v1/jobs").json()["items"]) == len(TOKENS)
        assert commands.users(server, "revoke", "ann").returncode == 0
        assert_problem(client.get("/api/v1/jobs", headers=own), 401, "unauthenticated")
