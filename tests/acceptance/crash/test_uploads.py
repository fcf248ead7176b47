"""Resumable uploads by clients of others that die, and to a service that dies: the file equals the
sent one, and is stored once.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.crash.service import RECOVERY_SECONDS, Input, Service, assert_disk_agrees
from tests.harness import ROOT, Api, wait_until
from tests.uploads.tus import TUS, UPLOADS

CLIENTS = ROOT / "tests" / "uploads" / "clients"
GIVEN = Input.clean(40_000)
"""Some 800 kB: four pieces."""
PIECE = 200_000


class Client:
    """A process that uploads a file by the protocol."""

    def __init__(self, command: list[str], folder: Path, path: Path) -> None:
        self._command, self._folder, self._path = command, folder, path

    def run(
        self,
        service: Service,
        kill_at: int = 0,
        *,
        url: str = "",
        chunk: int = PIECE,
        checksum: str = "",
    ) -> tuple[str, int]:
        """Return (the upload's address or nothing, exit code of the process)."""
        endpoint = f"http://127.0.0.1:{service.port}{UPLOADS}"
        resumed = [endpoint + url.removeprefix(UPLOADS)] if url else []
        done = subprocess.run(
            [*self._command, endpoint, str(self._path), str(kill_at), str(chunk), *resumed],
            cwd=self._folder,
            capture_output=True,
            timeout=60,
            text=True,
            env={**os.environ, "TUS_CHECKSUM": checksum},
        )
        assert done.returncode in (0, 1, -signal.SIGKILL), done.stderr
        return url or urlsplit(done.stdout.strip()).path, done.returncode


@pytest.fixture
def tuspy(tmp_path: Path) -> Client:
    path = tmp_path / "sent.csv"
    path.write_bytes(GIVEN.data)
    return Client([sys.executable, str(CLIENTS / "with_tuspy.py")], tmp_path, path)


@pytest.fixture(scope="session")
def tus_js_client(tmp_path_factory: pytest.TempPathFactory) -> Client:
    folder = tmp_path_factory.mktemp("tus-js-client")
    (folder / "sent.csv").write_bytes(GIVEN.data)
    npm, node = shutil.which("npm"), shutil.which("node")
    assert npm, "the long tests need Node and npm"
    assert node
    subprocess.run(
        [npm, "install", "--silent", "tus-js-client@4"], cwd=folder, check=True, timeout=120
    )
    return Client([node, str(CLIENTS / "with_tus_js_client.mjs")], folder, folder / "sent.csv")


def accepted(client: httpx.Client, url: str) -> dict[str, Any]:
    """Return the state of the upload."""

    def found() -> dict[str, Any] | None:
        answer = client.get(url).json()
        return answer if answer["state"] == "accepted" else None

    return wait_until(found, RECOVERY_SECONDS, "the file of the upload") or {}


def assert_arrived(service: Service, api: Api, url: str) -> None:
    file_id = accepted(api.client, url)["file_id"]
    status = api.finished(file_id)
    assert (status["sha256"], status["rows"]["ok"]) == (GIVEN.sha256, GIVEN.row_count)


def upload_with_deaths(service: Service, client: Client, deaths: int, seed: int) -> tuple[str, int]:
    """Kill the client this many times, each time further on, or less often if it finishes first;
    return (the upload's address, deaths).
    """
    places = random.Random(seed)
    url, died = "", 0
    for _ in range(deaths):
        url, code = client.run(
            service, places.randrange(500, 300_000), url=url, chunk=places.choice((70_000, 400_000))
        )
        if code == 0:
            break
        died += code == -signal.SIGKILL
        if url:
            with service.client() as http:
                assert int(http.head(url, headers=TUS).headers["upload-offset"]) <= len(GIVEN.data)
    return client.run(service, url=url)[0], died


@pytest.mark.one_database
def test_a_client_resumes_after_repeated_kills(service: Service, tuspy: Client) -> None:
    service.start()
    url, died = upload_with_deaths(service, tuspy, 6, seed=1)
    assert died > 3
    with service.api() as api:
        assert_arrived(service, api, url)
    assert_disk_agrees(service)


@pytest.mark.one_database
def test_a_killed_service_loses_no_acknowledged_bytes(service: Service, tuspy: Client) -> None:
    """tests/integration/crash/test_uploads.py has each of its fail points."""
    service.start(GRANULA_FAIL="tus.piece_written=kill@3")
    url, code = tuspy.run(service)
    assert code == 1
    service.wait_for_death()
    service.start()
    with service.api() as api:
        assert api.client.get(url).json()["offset"] >= 2 * PIECE
        url, code = tuspy.run(service, url=url)
        assert code == 0
        assert_arrived(service, api, url)
        assert len(service.files()) == 1
    service.kill()
    service.sweep()
    assert_disk_agrees(service)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_tuspy_resumes_after_fifty_kills(service: Service, tuspy: Client) -> None:
    kill_fifty_times(service, tuspy)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_tus_js_client_resumes_after_fifty_kills(service: Service, tus_js_client: Client) -> None:
    kill_fifty_times(service, tus_js_client)


def kill_fifty_times(service: Service, client: Client) -> None:
    service.start()
    deaths = rounds = 0
    while deaths < 50:
        url, died = upload_with_deaths(service, client, min(5, 50 - deaths), seed=rounds)
        assert died, "or this never ends"
        deaths, rounds = deaths + died, rounds + 1
        if rounds % 3 == 2:  # and the service too, meanwhile
            service.kill()
            service.start()
        with service.api() as api:
            assert_arrived(service, api, url)
    assert len(service.files()) == rounds
