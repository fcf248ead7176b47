"""Whatever an object store does, every byte read is of the right version, or an error says why
not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from app.errors import (
    BadSourceUri,
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
    return S3Source(
        endpoint_url=store.endpoint, key=bucket.key, secret=bucket.secret, region="us-east-1"
    )


def test_bodies_reset_truncated_or_slowed_fifty_times_give_every_byte(
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
            except SourceUnavailable:  # as a chunk would be retried
                continue

    with ThreadPoolExecutor(8) as threads:
        assert b"".join(threads.map(read, range(0, SIZE, STEP))) == data
    assert not store.faults, "faults that nobody met"
    assert {etag for _, asked, etag in store.requests if asked} == {found.etag}, (
        "a read that would take any version"
    )


@pytest.mark.parametrize(
    ("fault", "error", "kind"),
    [
        ("403", SourceAccessDenied, TerminalError),
        ("404", SourceNotFound, TerminalError),
        ("503", SourceUnavailable, TransientError),
        ("reset", SourceUnavailable, TransientError),
    ],
)
def test_a_lasting_fault_names_the_object_and_whether_a_retry_may_help(
    source: S3Source,
    store: FaultyStore,
    bucket: Bucket,
    fault: str,
    error: type[Exception],
    kind: type[Exception],
) -> None:
    bucket.put("a.csv", b"x" * 1000)
    etag = source.head(f"s3://{bucket.name}/a.csv").etag
    store.faults += [fault] * 30
    with pytest.raises(error, match=f"s3://{bucket.name}/a.csv") as told:
        source.read(f"s3://{bucket.name}/a.csv", 0, 1000, etag)
    assert isinstance(told.value, kind)


def test_an_object_that_was_replaced_or_removed_is_not_read(
    source: S3Source, bucket: Bucket
) -> None:
    bucket.put("a.csv", b"x" * 1000)
    etag = source.head(f"s3://{bucket.name}/a.csv").etag
    bucket.put("a.csv", b"y" * 1000)
    with pytest.raises(SourceChanged):
        source.read(f"s3://{bucket.name}/a.csv", 0, 1000, etag)
    bucket.delete("a.csv")
    with pytest.raises(SourceNotFound):
        source.read(f"s3://{bucket.name}/a.csv", 0, 1000, etag)


ODD = [
    "2026//jan.csv",
    "./dot.csv",
    "a/../b.csv",
    "a/./b.csv",
    "/lead.csv",
    "trail/",
    "tab\tx.csv",
    "bs\x08.csv",
    "del\x7f.csv",
]
PLAIN = [
    "plain.csv", "a b.csv", "a%20b.csv", "a+b.csv", "u\u0308.csv", "\u00fc.csv", "rep[1].csv", "rep1.csv", "a*.csv", "ab.csv",
    "q?.csv", "x#y&z.csv", "{a}.csv", "back\\slash.csv", "<q\"'>.csv", "\U0001f600.csv", "..csv", "a..b.csv", "%2F.csv",
    "UPPER.CSV", "2026/jan.csv",
]  # fmt: skip


@pytest.fixture(scope="module")
def full_bucket() -> Iterator[Bucket]:
    """A bucket with keys of all kinds, each with its own bytes. No test changes it."""
    bucket = Bucket(f"keys-{uuid4().hex[:8]}")
    for key in [*ODD, *PLAIN]:
        bucket.put(key, f"of {key}".encode())
    for key in ("empty.csv", "folder/"):
        bucket.put(key, b"")
    yield bucket
    bucket.stop()


@pytest.fixture
def keys(full_bucket: Bucket) -> str:
    return f"s3://{full_bucket.name}/"


@pytest.fixture
def reader(full_bucket: Bucket) -> S3Source:
    """Source of that bucket."""
    return S3Source(
        endpoint_url=full_bucket.endpoint,
        key=full_bucket.key,
        secret=full_bucket.secret,
        region="us-east-1",
    )


def test_every_key_of_a_bucket_is_listed_and_every_path_is_read(
    reader: S3Source, keys: str
) -> None:
    found = {each.uri.removeprefix(keys): each for each in reader.find(keys, 1000)}
    assert sorted(found) == sorted([*ODD, *PLAIN])
    for key in PLAIN:
        each = found[key]
        assert (each.size, each.etag) == (reader.head(each.uri).size, reader.head(each.uri).etag)
        assert reader.read(each.uri, 0, each.size, each.etag) == f"of {key}".encode()
    for key in ODD:
        for use in (lambda uri: reader.read(uri, 0, 1, None), reader.head):
            with pytest.raises(BadSourceUri):
                use(keys + key)


@pytest.mark.parametrize(
    ("source_text", "wanted"),
    [
        ("plain*", ["plain.csv"]),
        ("rep[1].csv", ["rep1.csv"]),
        ("rep[[]1].csv", ["rep[1].csv"]),
        ("rep*.csv", ["rep1.csv", "rep[1].csv"]),
        ("a[*].csv", ["a*.csv"]),
        ("q[?].csv", ["q?.csv"]),
        ("a%20*", ["a%20b.csv"]),
        ("a?b.csv", ["a b.csv", "a+b.csv"]),
        ("*.CSV", ["UPPER.CSV"]),
        ("\u00fc*", ["\u00fc.csv"]),
        ("2026/", ["2026//jan.csv", "2026/jan.csv"]),
        ("2026/*.csv", ["2026//jan.csv", "2026/jan.csv"]),
        ("*/jan.csv", ["2026//jan.csv", "2026/jan.csv"]),
        ("rep[1]/", []),
        ("[!a-z]*2F*", ["%2F.csv"]),
    ],
)
def test_a_pattern_matches_whole_keys_and_a_prefix_is_literal(
    reader: S3Source, keys: str, source_text: str, wanted: list[str]
) -> None:
    assert [each.uri.removeprefix(keys) for each in reader.find(keys + source_text, 1000)] == wanted


def test_a_listing_of_many_pages_is_read_to_the_end_or_the_limit(
    source: S3Source, store: FaultyStore, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "50")  # for one page; it runs in a thread
    page = 1000 if os.environ.get("TEST_S3_URL") else 50
    for number in range(2 * page + 5):
        bucket.put(f"many/{number:04}.csv", b"x")
    assert len(source.find(f"s3://{bucket.name}/many/", 10_000)) == 2 * page + 5
    assert len([path for path, *_ in store.requests if "list-type" in path]) == 3
    assert len(source.find(f"s3://{bucket.name}/many/*", page + 3)) == page + 4


def test_a_listing_that_fails_briefly_is_retried(
    source: S3Source, store: FaultyStore, bucket: Bucket
) -> None:
    bucket.put("a.csv", b"x")
    store.faults += ["503", "503"]
    assert len(source.find(f"s3://{bucket.name}/", 10)) == 1
    assert not store.faults
