"""Files of this machine as sources: below the allowed folders, and nothing else."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from app.errors import (
    BadSourceUri,
    NotConfigured,
    SourceForbidden,
    SourceMissing,
    SourceRefused,
    SourceReplaced,
)
from app.sources import local_files
from app.sources.local_files import LocalFiles
from app.sources.remote import Object

DATA = b"id\n1\n2\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


async def read(files: LocalFiles, object_: Object) -> bytes:
    async with files.fetch(object_) as file:
        return b"".join([piece async for piece in file.pieces])


async def test_a_file_below_an_allowed_folder_is_read(folder: Path) -> None:
    (folder / "a b").mkdir()
    path = folder / "a b" / "ü[1].csv"
    path.write_bytes(DATA)
    files = LocalFiles([folder])
    object_ = files.single(path.as_uri())
    assert object_ is not None
    assert object_.size == len(DATA)
    assert await read(files, object_) == DATA
    assert files.single(object_.uri) == object_
    assert files.single(f"file://localhost{path.as_uri()[7:]}") == object_


def test_what_lies_elsewhere_is_refused(folder: Path, tmp_path: Path) -> None:
    """However it is written, and whatever leads there."""
    outside = tmp_path / "secret.csv"
    outside.write_bytes(DATA)
    (tmp_path / "inside-out").mkdir()
    (folder / "link.csv").symlink_to(outside)
    (folder / "up").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.csv")
    (folder / "sub").mkdir()
    files = LocalFiles([folder])
    for uri, error in (
        (outside.as_uri(), SourceRefused),
        (f"file://{tmp_path}/inside-out/a.csv", SourceRefused),
        (f"file://{folder}x/a.csv", SourceRefused),
        ("file:///etc/passwd", SourceRefused),
        (f"file://{folder}/link.csv", SourceRefused),
        (f"file://{folder}/up/secret.csv", SourceRefused),
        (f"file://{folder}/up/", SourceRefused),
        (f"file://{folder}/pipe.csv", SourceRefused),
        (f"file://{folder}/sub", SourceRefused),
        (f"file://{folder}/../secret.csv", BadSourceUri),
        (f"file://{folder}/%2e%2e/secret.csv", BadSourceUri),
        (f"file://{folder}//a.csv", BadSourceUri),
        (f"file://{folder}/a%00.csv", BadSourceUri),
        (f"file://other{folder}/a.csv", BadSourceUri),
        (f"file:{folder}/a.csv", BadSourceUri),
        (f"file://{folder}/{'x' * 1000}", BadSourceUri),
        (f"file://{folder}/none.csv", SourceMissing),
        (f"file://{folder}/none/", SourceMissing),
    ):
        with pytest.raises(error):
            files.find(uri, 1) if uri.endswith("/") else files.single(uri)
    assert list(files.matching(f"file://{folder}/")) == []


def test_a_file_that_the_service_may_not_read_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system refuses to open it; root may open any file, so the refusal is raised here."""
    (folder / "a.csv").write_bytes(DATA)
    usual = os.open

    def open_but_one(path: str, *arguments: int, **named: int) -> int:
        if path == "a.csv":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return usual(path, *arguments, **named)

    monkeypatch.setattr(os, "open", open_but_one)
    with pytest.raises(SourceForbidden):
        LocalFiles([folder]).single(f"file://{folder}/a.csv")


async def test_the_folder_itself_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    (folder / "a.csv").write_bytes(DATA)
    (tmp_path / "linked").symlink_to(folder)
    files = LocalFiles([tmp_path / "linked"])
    object_ = files.single(f"file://{tmp_path}/linked/a.csv")
    assert object_ is not None
    assert await read(files, object_) == DATA
    assert [found.uri for found in files.matching(f"file://{tmp_path}/linked/")] == [object_.uri]


def test_without_folders_nothing_is_read(folder: Path) -> None:
    with pytest.raises(NotConfigured):
        LocalFiles([]).check_configured()
    with pytest.raises(SourceRefused):
        LocalFiles([]).single(f"file://{folder}/a.csv")


def test_a_pattern_or_a_folder_stands_for_files(folder: Path) -> None:
    for name in ("b.csv", "a.csv", "sub/c.csv", "sub/d.txt", ".hidden.csv", ".tmp/e.csv"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(DATA)
    (folder / "empty.csv").touch()
    files = LocalFiles([folder])

    def names(uri: str) -> list[str]:
        start = len(f"file://{folder}/")
        return [object_.uri[start:] for object_ in files.find(uri, 100)]

    assert names(f"file://{folder}/") == ["a.csv", "b.csv", "sub/c.csv", "sub/d.txt"]
    assert names(f"file://{folder}/*.csv") == ["a.csv", "b.csv", "sub/c.csv"]
    assert names(f"file://{folder}/sub/*.csv") == ["sub/c.csv"]
    assert names(f"file://{folder}/[ab].csv") == ["a.csv", "b.csv"]
    assert len(files.find(f"file://{folder}/", 1)) == 2


async def test_another_version_is_never_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "a.csv"
    path.write_bytes(DATA)
    files = LocalFiles([folder])
    object_ = files.single(path.as_uri())
    assert object_ is not None
    path.write_bytes(DATA + b"3\n")
    with pytest.raises(SourceReplaced):
        await read(files, object_)
    object_ = files.single(path.as_uri())
    assert object_ is not None
    monkeypatch.setattr(local_files, "PIECE_BYTES", 3)

    async with files.fetch(object_) as file:
        first = await anext(file.pieces)
        path.write_bytes(DATA + b"4\n5\n")
        with pytest.raises(SourceReplaced):
            [piece async for piece in file.pieces]
    assert first == DATA[:3]
