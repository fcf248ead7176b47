"""The scheme of a URI decides whose bytes they are; a name without one is a file of the storage."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

import pytest

from app.errors import BadSourceUri
from app.sources.base import Sources, is_remote
from app.sources.remote import Object
from app.sources.storage import LocalStorage

DATA = b"id\n1\n2\n"


class Shelf:
    """A source with a scheme of its own."""

    scheme = "shelf"

    def check_configured(self) -> None:
        """Always exists."""

    def full(self, uri: str) -> str:
        return uri

    def single(self, uri: str) -> Object:
        return Object(uri, len(DATA), "1")

    def find(self, uri: str, limit: int) -> list[Object]:
        return [Object(uri, len(DATA), "1")]

    def matching(self, uri: str) -> Iterator[Object]:
        yield self.single(uri)

    def fetch(self, object_: Object, credentials: str = "") -> Any:
        raise NotImplementedError

    def read(self, uri: str, start: int, end: int, etag: str | None) -> bytes:
        return DATA[start:end]

    def open(self, uri: str, size: int, etag: str | None) -> BinaryIO:
        return io.BytesIO(DATA)


def made(folder: Path) -> Sources:
    storage = LocalStorage(folder)
    storage.prepare()
    unused: Any = None
    return Sources(storage, unused, unused, remotes=(Shelf(),))


def test_each_scheme_has_a_source(tmp_path: Path) -> None:
    sources = made(tmp_path)
    assert sources.read("shelf://a/b.csv", 3, 5, None) == DATA[3:5]
    assert sources.open("shelf://a/b.csv", len(DATA)).read() == DATA
    assert sources.remote("shelf://a/b.csv").scheme == "shelf"
    for uri in ("ftp://a/b.csv", "a/b.csv", "", "://x"):
        with pytest.raises(BadSourceUri, match="shelf://"):
            sources.remote(uri)


def test_remote_bytes_are_never_deleted(tmp_path: Path) -> None:
    sources, name = made(tmp_path), str(UUID(int=1))
    (tmp_path / name).write_bytes(DATA)
    assert sources.read(name, 0, len(DATA)) == DATA
    for uri in ("shelf://a/b.csv", f"shelf://{name}", f"ftp://{name}"):
        assert is_remote(uri)
        sources.delete(uri)
    assert (tmp_path / name).exists()
    sources.delete(name)
    assert not (tmp_path / name).exists()
