"""The contract of places for files, for a folder and for a bucket."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from app.cli import checks
from app.config import load_settings
from app.errors import (
    OffsetMismatch,
    SettingsInvalid,
    StorageUnavailable,
    StoredFileCorrupt,
    StoredFileMissing,
    UploadLocked,
)
from app.sources.bucket import PART_BYTES
from app.sources.places import Growing, Partials, Writer
from app.sources.s3 import Credentials
from app.sources.stores import Stores, stores
from tests.storage.buckets import OurBucket

MOST_BYTES = 1 << 30
SMALL = b"id,name\n1,a\n"
LARGE = b"".join(hashlib.sha256(b"%d" % i).digest() for i in range((2 * PART_BYTES + 12_345) // 32))
"""More than two parts of a multipart upload."""


@pytest.fixture(params=["folder", "bucket"])
def places(request: pytest.FixtureRequest, bucket: OurBucket, tmp_path: Path) -> Iterator[Stores]:
    url = f"file://{tmp_path}" if request.param == "folder" else bucket.url()
    made = stores(url, tmp_path / "unused", bucket.credentials(), most_bytes=MOST_BYTES)
    made.prepare()
    yield made
    made.close()
    assert not (tmp_path / "unused").exists()


def store(places: Stores, data: bytes, piece: int = 1 << 20) -> tuple[UUID, str, str | None]:
    file_id = uuid4()
    writer = places.storage.writer(file_id)
    for start in range(0, len(data), piece):
        block = bytearray(data[start : start + piece])
        assert writer.write(block) == len(block)
        block.clear()  # a writer may reuse it
    writer.finish()
    stored = writer.publish()
    return file_id, stored.uri, stored.etag


@pytest.mark.parametrize("data", [b"", SMALL, LARGE], ids=["empty", "small", "large"])
def test_a_published_file_is_read_whole_and_in_ranges(places: Stores, data: bytes) -> None:
    storage = places.storage
    storage.check()
    _, uri, etag = store(places, data)
    assert storage.size(uri) == len(data)
    with storage.open(uri, len(data), etag) as file:
        assert file.read() == data
        file.seek(5)
        assert file.read(3) == data[5:8]
    middle = len(data) // 2
    assert storage.read(uri, middle, len(data), etag) == data[middle:]
    with pytest.raises(StoredFileCorrupt):
        storage.read(uri, 0, len(data) + 1, etag)
    with pytest.raises(StoredFileCorrupt):
        storage.open(uri, len(data) + 1, etag)
    storage.delete(uri)
    storage.delete(uri)
    assert storage.size(uri) is None
    for gone in (lambda: storage.open(uri, len(data), etag), lambda: storage.read(uri, 0, 1, etag)):
        with pytest.raises(StoredFileMissing):
            gone()


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
def test_files_are_invisible_until_published_and_abandoned_ones_leave_nothing(
    places: Stores, data: bytes
) -> None:
    file_id = uuid4()
    writer = places.storage.writer(file_id)
    writer.write(data)
    writer.finish()
    assert places.storage.size(str(file_id)) is None
    writer.discard()
    assert places.storage.stale(-60) == []
    writer.discard()


def test_a_file_made_elsewhere_on_this_machine_becomes_the_stored_one(places: Stores) -> None:
    writer = places.storage.writer(uuid4())
    with writer.file() as path:
        assert path.read_bytes() == b""
        path.write_bytes(LARGE)
    writer.finish()
    stored = writer.publish()
    assert places.storage.read(stored.uri, 0, len(LARGE), stored.etag) == LARGE
    assert not path.exists() or path.parent == getattr(places.storage, "folder", None)


def test_files_of_a_killed_writer_are_stale_and_can_be_removed(places: Stores) -> None:
    dead, alive = uuid4(), uuid4()
    left: list[Writer] = []
    for file_id in (dead, alive):
        writer = places.storage.writer(file_id)
        writer.write(LARGE)
        left.append(writer)  # neither published nor discarded
    known, uri, _ = store(places, SMALL)
    assert places.storage.stale(3600) == []
    found = places.storage.stale(-60)
    kinds = {(each.file_id, each.is_part) for each in found}
    assert kinds == {(dead, True), (alive, True), (known, False)}
    for each in found:
        if each.file_id == dead:
            places.storage.remove(each)
    assert {each.file_id for each in places.storage.stale(-60)} == {alive, known}
    assert places.storage.size(uri) == len(SMALL)
    for each in places.storage.stale(-60):
        places.storage.remove(each)
    assert places.storage.stale(-60) == []
    for writer in left:
        writer.discard()


def test_an_active_writer_is_never_stale(places: Stores) -> None:
    file_id = uuid4()
    writer = places.storage.writer(file_id)
    writer.write(LARGE)
    if not places.storage.is_shared:  # an object store has a clock of its own
        os.utime(writer.path, (0, 0))  # type: ignore[attr-defined]
        assert len(places.storage.stale(60)) == 1
    places.storage.touch(file_id)
    assert places.storage.stale(60) == []
    stored = writer.publish()
    places.storage.release(file_id)
    assert [each.name.partition("?")[0] for each in places.storage.stale(-60)] == [stored.uri]


def test_a_replaced_object_is_not_read_as_the_file(bucket: OurBucket, tmp_path: Path) -> None:
    url = bucket.url()
    places = stores(url, tmp_path, bucket.credentials(), most_bytes=MOST_BYTES)
    _, uri, etag = store(places, SMALL)
    bucket.client(url).put(f"uploads/{uri}", SMALL.replace(b"a", b"b"))
    with pytest.raises(StoredFileCorrupt, match="was replaced"):
        places.storage.read(uri, 0, 5, etag)
    places.close()


# ---------------------------------------------------------------------- resumable uploads


def test_pieces_are_appended_and_read_in_order(places: Stores) -> None:
    partials, upload_id = places.partials, uuid4()
    partials.create(upload_id)
    with partials.locked(upload_id) as growing:
        growing.append(LARGE[:100])
        growing.append(LARGE[100:5000])
        growing.sync()
        assert growing.size() == 5000
    with partials.locked(upload_id) as growing:
        assert growing.size() == 5000
        growing.append(LARGE[5000:])
        growing.sync()
    assert partials.size(upload_id) == partials.synced_size(upload_id) == len(LARGE)
    assert b"".join(partials.blocks(upload_id)) == LARGE
    assert partials.ids(-60) == [upload_id]
    assert partials.ids(3600) == []
    partials.delete(upload_id)
    assert not partials.size(upload_id)
    assert partials.ids(-60) == []


def test_a_second_writer_in_the_process_is_refused(places: Stores) -> None:
    upload_id = uuid4()
    places.partials.create(upload_id)
    with (
        places.partials.locked(upload_id),
        pytest.raises(UploadLocked),
        places.partials.locked(upload_id),
    ):
        pass
    with places.partials.locked(upload_id) as growing:
        growing.append(b"x")


def test_bytes_whose_checksum_is_not_known_yet_can_be_forgotten(places: Stores) -> None:
    partials, upload_id = places.partials, uuid4()
    partials.create(upload_id)
    with partials.locked(upload_id) as growing:
        growing.append(b"kept")
        growing.hold()
        growing.append(b"wrong")
        if growing.holds_back:
            assert partials.size(upload_id) == 4
        growing.cut(4)
        growing.hold()
        growing.append(b", right")
        growing.sync()
    assert b"".join(partials.blocks(upload_id)) == b"kept, right"


def test_one_of_two_processes_that_resume_at_one_offset_wins(
    bucket: OurBucket, tmp_path: Path
) -> None:
    """Every byte that either got acknowledged is stored: the file is what both sent, in order."""
    url, upload_id = bucket.url(), uuid4()
    processes = [
        stores(url, tmp_path, bucket.credentials(), most_bytes=MOST_BYTES) for _ in range(2)
    ]
    data = bytes(range(256)) * 40

    def send(partials: Partials, size: int) -> int:
        """A client that asks for the offset, sends a piece, and asks again after a conflict."""
        conflicts = 0
        for _ in range(50):
            if (offset := partials.size(upload_id) or 0) >= len(data):
                break
            with partials.locked(upload_id) as growing:
                try:
                    going_on(growing, offset, size)
                except OffsetMismatch:
                    conflicts += 1
        return conflicts

    def going_on(growing: Growing, offset: int, size: int) -> None:
        if growing.size() != offset:
            raise OffsetMismatch
        for start in range(offset, len(data), size):
            growing.append(data[start : start + size])

    with ThreadPoolExecutor(2) as pool:
        conflicts = list(pool.map(send, [process.partials for process in processes], [500, 700]))
    assert sum(conflicts) > 0
    assert b"".join(processes[0].partials.blocks(upload_id)) == data
    bucket.client(url).put(f"partial/{upload_id}/{len(data) + 1:020}", b"behind a gap")
    assert processes[1].partials.size(upload_id) == len(data)
    for process in processes:
        process.close()


# ---------------------------------------------------------------------- parts of outputs


def test_parts_of_outputs_are_visible_to_every_process_until_the_job_ends(places: Stores) -> None:
    outputs, job_id, other = places.outputs, uuid4(), uuid4()
    parts = {"0-a.part": LARGE, "1-b.part": SMALL, "1-b.keys": b"\1" * 32}
    for name, data in parts.items():
        blocks = [data[start : start + 100_000] for start in range(0, len(data), 100_000)]
        assert outputs.write(job_id, name, len(data), blocks) == zlib.crc32(data)
    outputs.write(other, "0-c.part", len(SMALL), [SMALL])
    for name, data in parts.items():
        assert b"".join(outputs.blocks(job_id, name)) == data
    folder = outputs.workspace(job_id, list(parts))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == parts
    (folder / "own").write_bytes(b"x")
    assert (outputs.workspace(job_id, []) / "own").exists()
    with pytest.raises(FileNotFoundError):
        list(outputs.blocks(job_id, "2-d.part"))
    assert set(outputs.jobs()) == {job_id, other}
    outputs.remove(job_id)
    assert outputs.jobs() == [other]
    assert not folder.exists()


# ---------------------------------------------------------------------- the choice of a place


@pytest.mark.parametrize(
    "url", ["ftp://x/y", "file://host/x", "file:x", "s3://", "s3://UPPER/x", "s3://bucket/a//b"]
)
def test_an_invalid_storage_url_is_refused_at_startup(url: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="STORAGE_URL"):
        stores(url, tmp_path, Credentials("http://x", "k", "s", "r"), most_bytes=1)


def test_a_bucket_without_credentials_reports_the_missing_ones(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="set ENDPOINT_URL, SECRET too"):
        stores("s3://bucket/x", tmp_path, Credentials("", "key", "", "r"), most_bytes=1)


def test_the_doctor_checks_the_bucket(bucket: OurBucket, tmp_path: Path) -> None:
    def found(url: str) -> tuple[str, str]:
        named = {name.lower(): value for name, value in bucket.settings(url).items()}
        ((state, what, _),) = checks.storage(load_settings(storage_dir=tmp_path, **named))
        assert not list(checks.disk(load_settings(storage_dir=tmp_path, **named)))
        return state, what

    url = bucket.url()
    assert found(url) == (
        "ok",
        f"{url} can be read and written; 0 uploads are in progress or were interrupted",
    )
    assert bucket.below(url) == []
    assert found("s3://granula-nowhere/x")[0] == "bad"
    assert found("s3://UPPER/x")[0] == "bad"


def test_errors_name_the_bucket_and_what_to_check(bucket: OurBucket, tmp_path: Path) -> None:
    missing = stores("s3://granula-nowhere/x", tmp_path, bucket.credentials(), most_bytes=1)
    with pytest.raises(
        StorageUnavailable,
        match="There is no bucket granula-nowhere: make it, or correct STORAGE_URL",
    ):
        missing.storage.check()
    missing.close()
