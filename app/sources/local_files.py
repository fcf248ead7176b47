"""Files of this machine, below folders that the settings allow: `file:///folder/name`."""

from __future__ import annotations

import asyncio
import errno
import fnmatch
import os
import re
import stat
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from app.errors import (
    BadSourceUri,
    InvalidParameter,
    NotConfigured,
    SourceForbidden,
    SourceMissing,
    SourceRefused,
    SourceReplaced,
    SourceUnavailable,
)
from app.sources.remote import Fetched, Object

SCHEME = "file://"
MAX_URI_LENGTH = 1000
PIECE_BYTES = 1 << 20
WILDCARDS = re.compile(r"[*?\[]")
NO_PARTS = frozenset(("", ".", ".."))


class LocalFiles:
    """The path of a URI is percent-decoded. One that ends in `/` stands for all files in a folder
    and below it, without names that begin with a dot; one with `*`, `?` or `[` that does not exist
    itself stands for all files that match. Links are never followed.
    """

    scheme = "file"

    def __init__(self, folders: Sequence[Path]) -> None:
        self._real = {os.path.normpath(folder): os.path.realpath(folder) for folder in folders}
        """Each allowed folder as it is written, with its path without links."""
        self._folders = list(self._real.values())

    def check_configured(self) -> None:
        if not self._folders:
            raise NotConfigured("No folder is allowed as a source: set SOURCE_FOLDERS.")

    def full(self, uri: str) -> str:
        return _uri(self._path(uri))

    def single(self, uri: str) -> Object | None:
        path = self._path(uri)
        if path.endswith("/"):
            return None
        try:
            descriptor = self._open(path)
        except SourceMissing:
            if WILDCARDS.search(path):
                return None
            raise
        try:
            return _object(path, os.fstat(descriptor))
        finally:
            os.close(descriptor)

    def find(self, uri: str, limit: int) -> list[Object]:
        objects: list[Object] = []
        for object_ in self.matching(uri):
            objects.append(object_)
            if len(objects) > limit:
                break
        return sorted(objects, key=lambda object_: object_.uri)

    def matching(self, uri: str) -> Iterator[Object]:
        """Yield the files without empty ones. What vanishes meanwhile is left out."""
        path = self._path(uri)
        is_folder = path.endswith("/")
        start = path if is_folder else WILDCARDS.split(path, maxsplit=1)[0]
        folder = start.rpartition("/")[0] or "/"
        self._check_folder(folder)
        for name, status in _walk(folder):
            if status.st_size and (is_folder or fnmatch.fnmatchcase(name, path)):
                yield _object(name, status)

    @asynccontextmanager
    async def fetch(self, object_: Object, credentials: str = "") -> AsyncIterator[Fetched]:
        if credentials:
            raise InvalidParameter("Credentials are for sources of https.")
        path = self._path(object_.uri)
        descriptor = await asyncio.to_thread(self._open, path)
        try:
            status = os.fstat(descriptor)
            if object_.etag and object_.etag != version_of(status):
                raise _replaced(path)
            modified_at = datetime.fromtimestamp(status.st_mtime, UTC).isoformat()
            yield Fetched(
                object_.uri,
                status.st_size,
                version_of(status),
                _pieces(descriptor, path, status),
                modified_at=modified_at,
            )
        finally:
            os.close(descriptor)

    def _path(self, uri: str) -> str:
        """Return the path of a URI; raises BadSourceUri, SourceRefused."""
        if not uri.startswith(SCHEME) or len(uri) > MAX_URI_LENGTH:
            raise BadSourceUri(
                f"{uri[:100]!r} is not file:///folder/name with at most {MAX_URI_LENGTH} characters."
            )
        host, slash, rest = uri.removeprefix(SCHEME).partition("/")
        if host not in ("", "localhost") or not slash:
            raise BadSourceUri(f"{uri[:100]!r} names a host; write file:///folder/name.")
        path = os.fsdecode(b"/" + unquote_to_bytes(rest))
        if "\0" in path or any(part in NO_PARTS for part in path[1:].removesuffix("/").split("/")):
            raise BadSourceUri("A path must not have the parts `.` and `..` or an empty one.")
        for written, real in self._real.items():
            if path.startswith(_inside(written)):
                path = _inside(real) + path.removeprefix(_inside(written))
                break
        if self._base(path) is None:
            raise SourceRefused(f"{_uri(path)[:200]} is in no folder of SOURCE_FOLDERS.")
        return path

    def _base(self, path: str) -> str | None:
        """Return the allowed folder that the path is in."""
        return next((base for base in self._folders if path.startswith(_inside(base))), None)

    def _check_folder(self, folder: str) -> None:
        """Raises SourceMissing, SourceForbidden, SourceRefused, SourceUnavailable."""
        base = next((allowed for allowed in self._folders if folder == allowed), None)
        if base is None:
            os.close(self._open(folder, is_folder=True))
        elif not os.path.isdir(base):
            raise SourceMissing(f"There is no folder {_uri(base)}.")

    def _open(self, path: str, *, is_folder: bool = False) -> int:
        """Open a regular file, or a folder. Each part of the path is opened below the one before it
        without following links, so that no link leads out, whenever it is made.
        """
        base = self._base(path)
        assert base is not None, "the path was checked"
        *folders, name = path.removeprefix(base).strip("/").split("/")
        within = -1
        try:
            within = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            for folder in folders:
                below = _open_below(within, folder, os.O_DIRECTORY)
                os.close(within)
                within = below
            kind = os.O_DIRECTORY if is_folder else os.O_NONBLOCK
            descriptor = _open_below(within, name, kind)
        except OSError as error:
            raise _translated(path, error) from None
        finally:
            if within >= 0:
                os.close(within)
        if not is_folder and not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise SourceRefused(f"{_uri(path)} is not a regular file.")
        return descriptor


def _inside(folder: str) -> str:
    """Return the beginning of all paths in a folder."""
    return folder.rstrip("/") + "/"


def version_of(status: os.stat_result) -> str:
    """Return what names this version of a file: the time of its last change, and its size."""
    return f"{status.st_mtime_ns:x}-{status.st_size:x}"


def _open_below(folder: int, name: str, flags: int) -> int:
    return os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | flags, dir_fd=folder)


async def _pieces(descriptor: int, path: str, began: os.stat_result) -> AsyncIterator[bytes]:
    place = 0
    while True:
        try:
            data = await asyncio.to_thread(os.pread, descriptor, PIECE_BYTES, place)
        except OSError as error:
            raise _translated(path, error) from None
        place += len(data)
        if data:
            yield data
        else:
            break
    if place != began.st_size or version_of(os.fstat(descriptor)) != version_of(began):
        raise _replaced(path)


def _walk(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield (path, status) of all regular files in a folder and below it."""
    pending = [folder]
    while pending:
        current = pending.pop()
        try:
            entries = os.scandir(current)
        except OSError as error:
            if current != folder and error.errno in (errno.ENOENT, errno.ENOTDIR):
                continue
            raise _translated(current, error) from None
        with entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                with suppress(FileNotFoundError):
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        yield entry.path, entry.stat(follow_symlinks=False)


def _object(path: str, status: os.stat_result) -> Object:
    return Object(_uri(path), status.st_size, version_of(status))


def _uri(path: str) -> str:
    return SCHEME + quote(os.fsencode(path), safe="/*?[]!")


def _replaced(path: str) -> SourceReplaced:
    return SourceReplaced(f"{_uri(path)} changed while it was read.")


def _translated(path: str, error: OSError) -> Exception:
    if error.errno in (errno.ENOENT, errno.ENAMETOOLONG):
        return SourceMissing(f"There is no file {_uri(path)[:200]}.")
    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO, errno.EISDIR):
        return SourceRefused(f"{_uri(path)} is a link, or not a regular file.")
    if error.errno in (errno.EACCES, errno.EPERM):
        return SourceForbidden(f"The service has no permission to read {_uri(path)}.")
    return SourceUnavailable(f"{_uri(path)} cannot be read now: {os.strerror(error.errno or 0)}.")
