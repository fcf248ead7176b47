"""Database and storage are backed up and restored, together and separately, without loss."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.storage.test_ownership import run
from tests.acceptance.storage.test_service import MAPPING
from tests.conftest import Databases
from tests.forks import Server
from tests.harness import Api, query, wait_until
from tests.storage.buckets import OurBucket
from tests.uploads.tus import create, offset_of, send

DIRTY = b'id,name\n1,a\n2\n3,\xc3\xa4,x\n4,"d\n"\n'


@dataclass
class Home:
    """Where a service has its database and its storage."""

    url: str
    folder: Path
    settings: dict[str, str]

    @property
    def server(self) -> Server:
        return Server(self.url, self.folder, RECONCILE_SECONDS=0.1, **self.settings)

    def command(self, *arguments: str, code: int = 0) -> str:
        done = run(
            "app", *arguments, DATABASE_URL=self.url, STORAGE_DIR=self.folder, **self.settings
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr


@pytest.fixture(params=["folder", "bucket"])
def homes(
    request: pytest.FixtureRequest, databases: Databases, bucket: OurBucket, tmp_path: Path
) -> tuple[Home, Home]:
    """Two places, of which the second is empty and elsewhere."""
    made = []
    for name in ("one", "other"):
        folder = tmp_path / name
        settings = (
            bucket.settings(bucket.url())
            if request.param == "bucket"
            else {"STORAGE_URL": f"file://{folder}/files"}
        )
        made.append(Home(databases.create(folder), folder, settings))
    return made[0], made[1]


def state(client: httpx.Client) -> dict[str, Any]:
    """Return everything that a user sees."""
    api = Api(client)
    found: dict[str, Any] = {}
    for job in client.get("/api/v1/jobs", params={"limit": 100}).json()["items"]:
        job_id = job["job_id"]
        found[job_id] = [
            api.status(job_id)["rows"],
            client.get(f"/api/v1/results/{job_id}", params={"limit": 1000}).json().get("items"),
            client.get(f"/api/v1/rejects/{job_id}", params={"limit": 1000}).json().get("items"),
            client.get(f"/api/v1/jobs/{job_id}/proof").json(),
            client.get(f"/api/v1/files/{job['file_id']}/download").content,
        ]
    return found


def fill(client: httpx.Client) -> str:
    """Create files with rejects, the result of a transform, and an unfinished resumable upload;
    return its address.
    """
    api = Api(client)
    job = api.run(DIRTY)
    api.run(b"id\n" + b"12345678\n" * 2_000, chunk_size=500)
    body = {"input_file_id": job["file_id"], "mapping": MAPPING, "output_format": "csv"}
    response = client.post("/api/v1/jobs/transform", json=body)
    assert response.status_code == 202, response.text
    api.finished(response.json()["job_id"])
    url = create(client, 12, filename="later.csv")
    assert send(client, url, 0, b"id\n1\n").status_code == 204
    return url


def test_a_backup_of_a_running_service_is_restored_elsewhere_unchanged(
    homes: tuple[Home, Home], tmp_path: Path
) -> None:
    one, other = homes
    server = one.server.start()
    with server.client() as client:
        growing = fill(client)
        before = state(client)
        said = one.command("backup", str(tmp_path / "backup"))
        assert "The database and" in said
        Api(client).run(b"id\nlater\n")
    server.stop()
    kind = json.loads((tmp_path / "backup" / "manifest.json").read_text())["database"]["kind"]
    assert one.url.startswith(kind)

    assert "is not empty" in one.command("backup", str(tmp_path / "backup"), code=2)
    other.command("restore", str(tmp_path / "backup"))
    server = other.server.start()
    with server.client() as client:
        assert state(client) == before
        assert offset_of(client, growing) == 5
        last = send(client, growing, 5, b"2\n3\n4\n5")
        assert last.status_code == 204, last.text
        number = Api(client).finished(last.headers["granula-file-id"])["number"]
        assert number > max(Api(client).status(each)["number"] for each in before)
        wait_until(
            lambda: query(other.url, "SELECT swept_at FROM installation")[0][0],
            60,
            "a round of the sweep",
        )
        assert query(other.url, "SELECT lost_files, held_files FROM installation") == [(0, 0)]
    server.stop()


@pytest.mark.parametrize("homes", ["folder"], indirect=True)
def test_an_older_database_removes_nothing_and_a_restored_storage_recovers_files(
    homes: tuple[Home, Home], tmp_path: Path
) -> None:
    one, _ = homes
    server = one.server.start()
    with server.client() as client:
        fill(client)
        before = state(client)
    server.stop()
    one.command("backup", str(tmp_path / "old"), "--only", "database")
    server = one.server.start()
    with server.client() as client:
        Api(client).run(b"id\nnew\n")
        growing = create(client, 12, filename="later.csv")
        assert send(client, growing, 0, b"id\n1\n").status_code == 204
        newer = state(client)
    server.stop()
    one.command("backup", str(tmp_path / "new"))

    assert "is not empty" in one.command("restore", str(tmp_path / "old"), code=2)
    one.command("restore", str(tmp_path / "old"), "--only", "database", "--replace")
    server = one.server.start()
    with server.client() as client:
        assert state(client) == before
        wait_until(
            lambda: query(one.url, "SELECT swept_at FROM installation")[0][0],
            60,
            "a round of the sweep",
        )
    server.stop()
    one.command("storage", "sweep")

    one.command("restore", str(tmp_path / "new"), "--only", "database", "--replace")
    server = one.server.start()
    with server.client() as client:
        assert state(client) == newer, "nothing was deleted meanwhile"
        assert offset_of(client, growing) == 5
    server.stop()

    # All files are gone from the storage, and restored from its backup.
    shutil.rmtree(one.folder / "files")
    one.command("restore", str(tmp_path / "new"), "--only", "storage")
    server = one.server.start()
    with server.client() as client:
        assert state(client) == newer
        assert offset_of(client, growing) == 5
    server.stop()


@pytest.fixture
def home(databases: Databases, tmp_path: Path) -> Home:
    return Home(databases.create(tmp_path / "one"), tmp_path / "one", {})


def test_a_damaged_storage_or_backup_is_reported(home: Home, tmp_path: Path) -> None:
    server = home.server.start()
    with server.client() as client:
        lost, damaged, kept = (
            Api(client).run(b"id\n%d\n" % number)["file_id"] for number in range(3)
        )
        refused = home.command("restore", str(tmp_path / "none"), code=2)
        assert "is not a complete backup" in refused
        (home.folder / "uploads" / lost).unlink()
        (home.folder / "uploads" / damaged).write_bytes(b"id\nx\n")
        said = home.command("backup", str(tmp_path / "backup"), code=1)
        assert f"{lost} is missing" in said
        assert f"{damaged} was damaged" in said
        assert kept not in said
        assert "Another process serves" in home.command(
            "restore", str(tmp_path / "backup"), "--replace", code=5
        )
    server.stop()
    (tmp_path / "backup" / "storage" / "uploads" / kept).write_bytes(b"id\ny\n")
    said = home.command("restore", str(tmp_path / "backup"), "--only", "storage", code=2)
    assert "it was damaged" in said
    assert (home.folder / "uploads" / kept).read_bytes() == b"id\n2\n"
    (tmp_path / "backup" / "manifest.json").unlink()
    unfinished = home.command("restore", str(tmp_path / "backup"), code=2)
    assert "is not a complete backup" in unfinished
