"""Disk errors get 503 or 507 with Retry-After, on every way in, and leave nothing."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.acceptance.storage.test_service import MAPPING
from tests.conftest import Databases
from tests.forks import Server
from tests.harness import Api, Postgres, wait_until
from tests.uploads.tus import BYTES, TUS, UPLOADS, create, metadata, offset_of, send

GOOD = b"id,name\n1,a\n2,b\n"
PEOPLE = b"name,email,age,city\nAda,ada@example.com,36,London\n"
TEXTS = b"text\ngood\n"
NUMBERS = itertools.count(3)
FAULTS = [
    ("open", "EMFILE", 503),
    ("open", "EACCES", 503),
    ("open", "EROFS", 503),
    ("open", "ENOSPC", 507),
    ("fsync", "EIO", 503),
    ("fsync", "ENOSPC", 507),
    ("fsync", "EDQUOT", 507),
    ("rename", "EIO", 503),
    ("rename", "ENOSPC", 507),
    ("rename", "EACCES", 503),
]


class Disk:
    def __init__(self, server: Server, fault_file: Path) -> None:
        self.server = server
        self._fault_file = fault_file

    @contextmanager
    def refusing(self, call: str, error: str) -> Iterator[None]:
        self._fault_file.write_text(f"{call} {error}")
        try:
            yield
        finally:
            self._fault_file.unlink()

    def names(self) -> set[str]:
        """Return the names of all files of the storage, except the database."""
        return {
            str(path.relative_to(self.server.storage))
            for folder in ("uploads", "partial", "outputs")
            for path in (self.server.storage / folder).rglob("*")
            if path.is_file()
        }


@pytest.fixture(scope="module")
def disk(
    postgres: Postgres, templates: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Disk]:
    """The errors are those of a folder, with either database."""
    folder = tmp_path_factory.mktemp("faults")
    storage, fault_file = folder / "storage", folder / "fault"
    url = Databases("sqlite", postgres, templates).create(storage)
    server = Server(
        url,
        storage,
        PROCESSORS="tests.acceptance.storage.faults:Plain",
        FAULT_FILE=fault_file,
        FAULT_FOLDER=storage,
        MAX_RETRIES=0,
    ).start()
    yield Disk(server, fault_file)
    assert server.stop() in (0, -15), server.tail()


@pytest.fixture
def client(disk: Disk) -> Iterator[httpx.Client]:
    with disk.server.client() as client:
        yield client


def multipart(client: httpx.Client) -> httpx.Response:
    return client.post("/api/v1/upload", files={"file": ("a.csv", GOOD, "text/csv")})


def raw(client: httpx.Client) -> httpx.Response:
    return client.put("/api/v1/upload/a.csv", content=GOOD)


def tus(client: httpx.Client) -> httpx.Response:
    headers = BYTES | {"Upload-Length": str(len(GOOD))} | metadata(filename="a.csv")
    return client.post(UPLOADS, content=GOOD, headers=headers)


def imports(client: httpx.Client) -> httpx.Response:
    """Never the same bytes: those are not stored again."""
    content = PEOPLE + b"Bo,%d@example.com,20,Rome\n" % next(NUMBERS)
    return client.post("/api/upload", files={"file": ("a.csv", content, "text/csv")})


def batches(client: httpx.Client) -> httpx.Response:
    return client.post("/batch/upload", files={"file": ("a.csv", TEXTS, "text/csv")})


WAYS: list[Callable[[httpx.Client], httpx.Response]] = [multipart, raw, tus, imports, batches]


def assert_told(answer: httpx.Response, status: int) -> None:
    assert answer.status_code == status, answer.text
    assert int(answer.headers["retry-after"]) > 0
    assert "cannot be used now" in answer.text or "has no space left" in answer.text


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("call", "error", "status"), FAULTS)
def test_a_disk_error_is_reported_on_every_way_in_and_leaves_nothing(
    disk: Disk,
    client: httpx.Client,
    way: Callable[[httpx.Client], httpx.Response],
    call: str,
    error: str,
    status: int,
) -> None:
    before = disk.names()
    with disk.refusing(call, error):
        assert_told(way(client), status)
    left = disk.names() - before
    # durable bytes are acknowledged, and become the file as soon as possible
    if way is tus:
        wait_until(
            lambda: not [name for name in disk.names() if name.startswith("partial/")],
            40,
            "no pieces",
        )
        return
    assert left == set()
    assert way(client).status_code in (200, 201, 202)


@pytest.mark.parametrize(
    ("call", "error", "status"), [("pwrite", "EIO", 503), ("pwrite", "EDQUOT", 507), *FAULTS[4:7]]
)
def test_a_resumable_upload_resumes_after_a_disk_error(
    disk: Disk, client: httpx.Client, call: str, error: str, status: int
) -> None:
    url = create(client, len(GOOD), filename="a.csv")
    assert send(client, url, 0, GOOD[:5]).status_code == 204
    with disk.refusing(call, error):
        assert_told(send(client, url, 5, GOOD[5:]), status)
    offset = offset_of(client, url)
    assert offset >= 5
    last = (
        send(client, url, offset, GOOD[offset:])
        if offset < len(GOOD)
        else client.head(url, headers=TUS)
    )
    file_id = last.headers.get("granula-file-id") or wait_until(
        lambda: client.head(url, headers=TUS).headers.get("granula-file-id"), 40, "a file"
    )
    assert Api(client).finished(file_id)["rows"]["ok"] == 2


@pytest.mark.parametrize(("call", "error", "status"), [FAULTS[0], FAULTS[4], FAULTS[6], FAULTS[7]])
def test_a_correction_is_refused_and_can_be_sent_again(
    disk: Disk, client: httpx.Client, call: str, error: str, status: int
) -> None:
    job = Api(client).run(b"id,name\n1,a\n2\n")
    fixed = client.get(f"/api/v1/rejects/{job['file_id']}/download").content.replace(
        b"2,,", b"2,b,"
    )
    path = f"/api/v1/files/{job['file_id']}/corrections"
    before = disk.names()
    with disk.refusing(call, error):
        assert_told(client.post(path, content=fixed, headers={"Content-Type": "text/csv"}), status)
    assert disk.names() == before
    assert client.post(path, content=fixed, headers={"Content-Type": "text/csv"}).status_code == 202


@pytest.mark.parametrize(
    ("call", "error"), [("fsync", "EIO"), ("fsync", "ENOSPC"), ("rename", "EROFS")]
)
def test_a_transform_waits_and_loses_no_attempt(
    disk: Disk, client: httpx.Client, call: str, error: str
) -> None:
    file_id = Api(client).run(GOOD + b"%d,c\n" % next(NUMBERS))["file_id"]
    body = {"input_file_id": file_id, "mapping": MAPPING, "output_format": "csv"}
    with disk.refusing(call, error):
        job_id = client.post("/api/v1/jobs/transform", json=body).json()["job_id"]
        waits = "disk" if error == "ENOSPC" else "storage"
        wait_until(
            lambda: Api(client).status(job_id)["waiting_on"] == waits, 30, "a job that waits"
        )
    assert Api(client).finished(job_id)["status"] == "completed"


@pytest.mark.parametrize(("call", "error", "_"), FAULTS[:7])
def test_ready_writes_a_byte(
    disk: Disk, client: httpx.Client, call: str, error: str, _: int
) -> None:
    before = set(disk.server.storage.rglob("*"))
    with disk.refusing(call, error):
        answer = client.get("/ready")
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert answer.json()["checks"]["storage"].startswith(str(disk.server.storage))
        assert client.get("/health").status_code == 200
        assert client.get("/metrics").status_code == 200
    assert client.get("/ready").status_code == 200
    assert set(disk.server.storage.rglob("*")) == before


def test_a_file_larger_than_the_file_system_allows_is_refused_and_removed(
    postgres: Postgres, templates: dict[str, str], tmp_path: Path
) -> None:
    """A write first takes a part, and only the next one reports that there is no space."""
    databases, limit = Databases("postgresql", postgres, templates), (3 << 20) + 12_345
    server = Server(
        databases.create(tmp_path / "storage"),
        tmp_path / "storage",
        PROCESSORS="tests.acceptance.storage.faults:Plain",
        FAULT_FILE_BYTES=limit,
    ).start()
    large = b"id,name\n" + b"1,abcdefgh\n" * 400_000
    with server.client() as client:
        for answer in (
            client.post("/api/v1/upload", files={"file": ("a.csv", large, "text/csv")}),
            client.put("/api/v1/upload/a.csv", content=large),
        ):
            assert_told(answer, 507)
            assert answer.json()["code"] == "insufficient_storage"
        assert list((tmp_path / "storage" / "uploads").iterdir()) == []
        assert Api(client).run(GOOD)["rows"]["ok"] == 2
    server.stop()
    databases.close()
