"""The service of resumable uploads: bytes are kept once, and become a file once."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.errors import (
    BadTusRequest,
    ChecksumMismatch,
    FileTooLarge,
    NotFound,
    OffsetMismatch,
    UploadExpired,
    UploadLocked,
)
from app.features.uploads.service import Checksum, Upload, Uploads
from app.jobs.submit import Submission
from app.jobs.users import LOCAL_OWNER
from tests.engine import Engine
from tests.integration.services.loading import body

ROWS = b"id,name\n1,Ann\n2,Bob\n3,Eve\n"
SHA256 = hashlib.sha256(ROWS).hexdigest()
NAMED = Submission(LOCAL_OWNER, filename="data.csv")


def created(engine: Engine, length: int | None = len(ROWS), **how: Any) -> Upload:
    uploads = engine.services.of(Uploads)
    return engine.run(uploads.create(NAMED, length=length, sent_metadata="filename x", **how))


def appended(engine: Engine, upload_id: UUID, data: bytes, offset: int, **how: Any) -> Upload:
    uploads = engine.services.of(Uploads)
    sent = uploads.append(upload_id, LOCAL_OWNER, body(data), offset=offset, **how)
    return engine.run(sent)


def found(engine: Engine, upload_id: UUID) -> Upload:
    return engine.run(engine.services.of(Uploads).get(upload_id, LOCAL_OWNER))


def test_pieces_become_a_file_with_the_last_byte(engine: Engine) -> None:
    engine.start()
    upload = created(engine)
    assert (upload.offset, upload.length, upload.sent_metadata) == (0, len(ROWS), "filename x")
    assert appended(engine, upload.id, ROWS[:10], 0).offset == 10
    for offset in (0, 9, 11):
        with pytest.raises(OffsetMismatch):
            appended(engine, upload.id, ROWS[10:], offset)
    with pytest.raises(FileTooLarge):
        appended(engine, upload.id, ROWS[10:] + b"more", 10, size=len(ROWS) - 6)
    assert engine.files() == {}
    ended = appended(engine, upload.id, ROWS[10:], 10)
    assert (ended.offset, ended.problem) == (len(ROWS), None)
    assert ended.answer is not None
    assert (ended.answer["sha256"], ended.answer["filename"]) == (SHA256, "data.csv")
    assert engine.files() == {ended.answer["file_id"]: SHA256}
    assert found(engine, upload.id).answer == ended.answer
    again = appended(engine, upload.id, b"", len(ROWS))
    assert (again.answer, len(engine.files())) == (ended.answer, 1)


def test_bytes_with_a_wrong_checksum_are_not_kept(engine: Engine) -> None:
    engine.start()
    upload = created(engine)
    half = len(ROWS) // 2
    right = Checksum("sha1", hashlib.sha1(ROWS[:half], usedforsecurity=False).digest())
    with pytest.raises(ChecksumMismatch):
        appended(engine, upload.id, b"x" * half, 0, checksum=right)
    assert found(engine, upload.id).offset == 0
    assert appended(engine, upload.id, ROWS[:half], 0, checksum=right).offset == half


def test_bytes_before_an_interruption_are_kept(engine: Engine) -> None:
    engine.start()
    upload = created(engine)

    async def breaking() -> AsyncIterator[bytes]:
        yield ROWS[:5]
        raise ConnectionError

    uploads = engine.services.of(Uploads)
    with pytest.raises(ConnectionError):
        engine.run(uploads.append(upload.id, LOCAL_OWNER, breaking(), offset=0))
    resumed = engine.run(uploads.resume(upload.id, LOCAL_OWNER))
    assert (resumed.offset, resumed.answer) == (5, None)
    assert appended(engine, upload.id, ROWS[5:], 5).answer is not None


def test_complete_parts_are_concatenated_in_order(engine: Engine) -> None:
    engine.start()
    second, first = (created(engine, len(part), is_partial=True) for part in (ROWS[9:], ROWS[:9]))
    with pytest.raises(BadTusRequest):
        created(engine, None, parts=[first.id, second.id])  # not complete yet
    appended(engine, first.id, ROWS[:9], 0)
    appended(engine, second.id, ROWS[9:], 0)
    assert engine.files() == {}, "a part becomes nothing by itself"
    whole = created(engine, None, parts=[first.id, second.id])
    assert whole.answer is not None
    assert whole.answer["sha256"] == SHA256
    for used in (first, second):
        with pytest.raises(UploadExpired):
            found(engine, used.id)
    with pytest.raises(OffsetMismatch):
        appended(engine, whole.id, b"more", len(ROWS))


def test_terminated_and_expired_uploads_are_removed(engine: Engine) -> None:
    engine.start()
    uploads = engine.services.of(Uploads)
    ended, old = created(engine), created(engine)
    appended(engine, ended.id, ROWS[:5], 0)
    engine.run(uploads.terminate(ended.id, LOCAL_OWNER))
    with pytest.raises(NotFound):
        found(engine, ended.id)
    engine.sql(f"UPDATE uploads SET expires_at = created_at WHERE id = {engine.key(str(old.id))}")
    with pytest.raises(UploadExpired):
        appended(engine, old.id, ROWS, 0)
    engine.run(uploads.run_once())
    assert engine.sql("SELECT count(*) FROM uploads")[0][0] == 0
    for upload_id, owner in ((uuid4(), LOCAL_OWNER), (created(engine).id, "somebody else")):
        with pytest.raises(NotFound):
            engine.run(uploads.get(upload_id, owner))
        with pytest.raises(NotFound):
            engine.run(uploads.terminate(upload_id, owner))


def test_a_complete_upload_becomes_a_file_without_its_client(engine: Engine) -> None:
    """The client disconnected after its last byte; another life of the service finds the bytes."""
    engine.start(GRANULA_FAIL="tus.appended=kill")
    upload = created(engine)
    with pytest.raises(SystemExit):
        appended(engine, upload.id, ROWS, 0)
    engine.start()
    engine.run(engine.services.of(Uploads).run_once())
    answer = found(engine, upload.id).answer
    assert answer is not None
    assert engine.files() == {answer["file_id"]: SHA256}


def test_two_writers_do_not_mix_their_bytes(engine: Engine) -> None:
    engine.start()
    upload = created(engine)
    uploads = engine.services.of(Uploads)

    async def also_by_another() -> AsyncIterator[bytes]:
        yield ROWS[:5]
        with pytest.raises(UploadLocked):
            await uploads.append(upload.id, LOCAL_OWNER, body(b"x" * 5), offset=0)
        yield ROWS[5:]

    ended = engine.run(uploads.append(upload.id, LOCAL_OWNER, also_by_another(), offset=0))
    assert ended.answer is not None
    assert ended.answer["sha256"] == SHA256
