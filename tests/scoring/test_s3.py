"""Whatever an object store does, what is read is the version that was meant, every byte of it, or an error that says why not."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.errors import (
    SourceAccessDenied,
    SourceChanged,
    SourceNotFound,
    SourceUnavailable,
    TerminalError,
    TransientError,
)
from app.sources.s3 import S3Source
from tests.scoring.services import Bucket, FaultyStore

SIZE, STEP = 1 << 20, 20_000


@pytest.fixture
def source(store: FaultyStore, bucket: Bucket) -> S3Source:
    return S3Source(endpoint_url=store.endpoint, key=bucket.key, secret=bucket.secret, region="us-east-1")


def test_bodies_that_are_reset_cut_short_or_slowed_down_fifty_times_give_every_byte(
    source: S3Source, store: FaultyStore, bucket: Bucket
) -> None:
    data = os.urandom(SIZE)
    bucket.put("a.bin", data)
    found = source.head(f"s3://{bucket.name}/a.bin")
    store.faults += ["reset", "cut", "reset", "503", "reset"] * 10

    def read(start: int) -> bytes:
        while True:
            try:
                return source.read(found.uri, start, min(SIZE, start + STEP), found.etag)
            except SourceUnavailable:  # as a chunk would be tried again
                continue

    with ThreadPoolExecutor(8) as threads:
        assert b"".join(threads.map(read, range(0, SIZE, STEP))) == data
    assert not store.faults, "faults that nobody met"
    assert {etag for _, asked, etag in store.requests if asked} == {found.etag}, "a read that would take any version"


@pytest.mark.parametrize(
    ("fault", "error", "kind"),
    [
        ("403", SourceAccessDenied, TerminalError),
        ("404", SourceNotFound, TerminalError),
        ("503", SourceUnavailable, TransientError),
        ("reset", SourceUnavailable, TransientError),
    ],
)
def test_a_fault_that_stays_is_told_with_the_object_and_whether_it_may_pass(
    source: S3Source, store: FaultyStore, bucket: Bucket, fault: str, error: type[Exception], kind: type[Exception]
) -> None:
    bucket.put("a.csv", b"x" * 1000)
    etag = source.head(f"s3://{bucket.name}/a.csv").etag
    store.faults += [fault] * 30
    with pytest.raises(error, match=f"s3://{bucket.name}/a.csv") as told:
        source.read(f"s3://{bucket.name}/a.csv", 0, 1000, etag)
    assert isinstance(told.value, kind)


def test_an_object_that_was_replaced_or_removed_is_not_read(source: S3Source, bucket: Bucket) -> None:
    bucket.put("a.csv", b"x" * 1000)
    etag = source.head(f"s3://{bucket.name}/a.csv").etag
    bucket.put("a.csv", b"y" * 1000)
    with pytest.raises(SourceChanged):
        source.read(f"s3://{bucket.name}/a.csv", 0, 1000, etag)
    bucket.delete("a.csv")
    with pytest.raises(SourceNotFound):
        source.read(f"s3://{bucket.name}/a.csv", 0, 1000, etag)
