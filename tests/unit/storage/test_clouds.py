"""Object stores besides S3, with a store in memory instead of the real services."""

from __future__ import annotations

import obstore
import pytest
from obstore.store import MemoryStore

from app.errors import BadSourceUri, SourceNotFound
from app.sources.s3 import StoreSource, cloud_source

DATA = b"id\n1\n2\n"


@pytest.fixture
def source() -> StoreSource:
    store = MemoryStore()
    for key in ("in/a.csv", "in/b.csv", "in/sub/c.csv", "inner.csv", "in.txt"):
        obstore.put(store, key, DATA)
    obstore.put(store, "in/empty.csv", b"")
    return StoreSource("gs", lambda bucket: store)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("in/", ["in/a.csv", "in/b.csv", "in/sub/c.csv"]),
        ("in/*.csv", ["in/a.csv", "in/b.csv", "in/sub/c.csv"]),
        ("in*.csv", ["in/a.csv", "in/b.csv", "in/sub/c.csv", "inner.csv"]),
        ("in/sub/?.csv", ["in/sub/c.csv"]),
    ],
)
def test_prefixes_and_patterns_match_like_those_of_s3(
    source: StoreSource, key: str, expected: list[str]
) -> None:
    found = source.find(f"gs://bucket/{key}", 100)
    assert [item.uri for item in found] == [f"gs://bucket/{key}" for key in expected]
    assert len(source.find(f"gs://bucket/{key}", 0)) == 1


async def test_an_object_is_read_in_ranges_and_fetched(source: StoreSource) -> None:
    item = source.single("gs://bucket/in/a.csv")
    assert item is not None
    assert item.size == len(DATA)
    assert source.read(item.uri, 3, 5, item.etag) == DATA[3:5]
    async with source.fetch(item) as fetched:
        assert b"".join([piece async for piece in fetched.pieces]) == DATA
    with pytest.raises(SourceNotFound, match="Check bucket and key"):
        source.single("gs://bucket/none.csv")
    with pytest.raises(BadSourceUri, match="gs://"):
        source.single("s3://bucket/in/a.csv")


def test_the_clients_of_both_clouds_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    for scheme in ("gs", "az"):
        source = cloud_source(scheme)
        assert source.scheme == scheme
        assert source._store("bucket") is not None
