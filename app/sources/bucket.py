"""The bucket in which this service stores its files. Requests go through obstore. The two that it
lacks, listing and aborting the multipart uploads of a killed process, are signed by botocore.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import uuid4
from xml.etree import ElementTree  # nosec B405: parses responses of the configured bucket

from app.errors import StorageUnavailable, StoredFileCorrupt, StoredFileMissing
from app.lazy import LazyModule
from app.sources.s3 import STATUS, Credentials, brief, make_store

if TYPE_CHECKING:
    import httpx
    import obstore
    from obstore import GetOptions, exceptions
    from obstore.store import S3Store
else:  # of use with a bucket alone; obstore is an extra
    httpx = LazyModule("httpx")
    obstore = LazyModule("obstore")
    exceptions = LazyModule("obstore.exceptions")

logger = logging.getLogger(__name__)
PART_BYTES, PARTS_AT_ONCE, MAX_PARTS = 8 << 20, 2, 10_000
REQUEST_SECONDS, CHECK_SECONDS = 60.0, 5.0
CHECK, WRITE_EVERY_SECONDS = "check", 60.0
"""Folder for the probe, and its interval in seconds: buckets with versions keep each written
object.
"""


@dataclass(frozen=True, slots=True)
class Entry:
    key: str
    """Key without the prefix of the bucket."""
    size: int
    etag: str | None
    touched_at: datetime
    """Time by the clock of the object store."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A multipart upload that was neither completed nor aborted."""

    key: str
    upload_id: str
    begun_at: datetime


class Bucket:
    """`s3://bucket/prefix`. Keys are without the prefix. Calls block, and are allowed from any
    thread.

    Raises StorageUnavailable for errors that are transient or need an operator.
    """

    def __init__(self, name: str, prefix: str, credentials: Credentials) -> None:
        self._name = name
        self._prefix = prefix.strip("/")
        self._credentials = credentials
        self._store: S3Store = make_store(name, credentials, seconds=REQUEST_SECONDS)
        self._impatient: S3Store = make_store(name, credentials, seconds=CHECK_SECONDS, retries=0)
        self._written_at = -WRITE_EVERY_SECONDS

    def __str__(self) -> str:
        return f"s3://{self._name}/{self._prefix}".rstrip("/")

    def path(self, key: str) -> str:
        return f"{self._prefix}/{key}" if self._prefix else key

    def check(self) -> None:
        """Raises StorageUnavailable quickly if the bucket does not respond or, probed periodically,
        cannot be written.
        """
        with self._translated(""):
            obstore.list_with_delimiter(self._impatient, self.path(CHECK))
            if time.monotonic() - self._written_at > WRITE_EVERY_SECONDS:
                key = self.path(f"{CHECK}/{uuid4()}")
                obstore.put(self._impatient, key, b"\n", use_multipart=False)
                obstore.delete(self._impatient, key)
                self._written_at = time.monotonic()

    # ------------------------------------------------------------------ objects

    def put(self, key: str, data: bytes) -> None:
        with self._translated(key):
            obstore.put(self._store, self.path(key), data, use_multipart=False)

    def create(self, key: str, data: bytes) -> bool:
        """Store an object unless the key exists; return whether it was stored. Of several
        concurrent calls with different data, one gets True.
        """
        with self._translated(key):
            try:
                obstore.put(self._store, self.path(key), data, mode="create", use_multipart=False)
            except exceptions.AlreadyExistsError:
                # A request whose response was lost is sent again, and then finds its own object.
                return self._holds(key, data)
        return True

    def _holds(self, key: str, data: bytes) -> bool:
        stored = self.head(key)
        return (
            stored is not None and stored.size == len(data) and self.read(key, 0, len(data)) == data
        )

    def writer(self, key: str, most_bytes: int) -> ObjectWriter:
        """Return a writer of an object up to `most_bytes`, which is uploaded in parts as it is
        written.
        """
        part_bytes = max(PART_BYTES, -(-most_bytes // MAX_PARTS))
        with self._translated(key):
            stream = obstore.open_writer(
                self._store, self.path(key), buffer_size=part_bytes, max_concurrency=PARTS_AT_ONCE
            )
        return ObjectWriter(self, key, stream, part_bytes)

    def read(self, key: str, start: int, end: int, etag: str | None = None) -> bytes:
        """Return the bytes [start, end); raises StoredFileMissing, StoredFileCorrupt if they do not
        exist or have another version.
        """
        if end <= start:
            return b""
        with self._translated(key):
            version: GetOptions = {} if etag is None else {"if_match": etag}
            response = obstore.get(
                self._store, self.path(key), options={"range": (start, end), **version}
            )
            data = bytes(response.bytes())
        if len(data) != end - start:
            raise StoredFileCorrupt(
                f"{self}/{key} ends at byte {start + len(data)}, expected at least {end}."
            )
        return data

    def head(self, key: str) -> Entry | None:
        try:
            with self._translated(key):
                return self._entry(obstore.head(self._store, self.path(key)))
        except StoredFileMissing:
            return None

    def entries(self, folder: str) -> Iterator[Entry]:
        """Yield all objects in a folder and below it, by key."""
        with self._translated(folder):
            for batch in obstore.list(self._store, self.path(folder)):
                yield from map(self._entry, batch)

    def folders(self, folder: str) -> list[str]:
        """Return the names of the folders in a folder."""
        with self._translated(folder):
            listing = obstore.list_with_delimiter(self._store, self.path(folder))
        return [prefix.rstrip("/").rpartition("/")[2] for prefix in listing["common_prefixes"]]

    def delete(self, keys: Sequence[str]) -> None:
        """Delete the objects; missing ones are ignored."""
        if keys:
            with self._translated(keys[0]):
                obstore.delete(self._store, [self.path(key) for key in keys])

    def _entry(self, meta: Any) -> Entry:
        key = meta["path"].removeprefix(f"{self._prefix}/") if self._prefix else meta["path"]
        return Entry(key, meta["size"], meta["e_tag"], meta["last_modified"])

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        """Translate errors into ones that name the bucket, the key and what to check."""
        try:
            yield
        except (exceptions.BaseError, OSError, ValueError) as error:
            text, where = str(error), f"{self}/{key}".rstrip("/")
            answered = STATUS.search(text)
            status = int(answered[1]) if answered else 0
            if "NoSuchBucket" in text:
                raise StorageUnavailable(
                    f"There is no bucket {self._name}: make it, or correct STORAGE_URL."
                ) from None
            if isinstance(error, exceptions.NotFoundError | FileNotFoundError) or status == 404:
                raise StoredFileMissing(f"The stored file {where} no longer exists.") from None
            if status == 416:
                raise StoredFileCorrupt(f"The stored file {where} has become shorter.") from None
            if isinstance(error, exceptions.PreconditionError):
                raise StoredFileCorrupt(f"The stored file {where} was replaced.") from None
            denied = exceptions.PermissionDeniedError | exceptions.UnauthenticatedError
            if isinstance(error, denied) or status in (401, 403):
                raise StorageUnavailable(
                    f"Access to {where} is denied. Check KEY and SECRET, and that they may get, "
                    "put, delete and list."
                ) from None
            raise StorageUnavailable(
                f"{where} cannot be used now: {brief(error)}. Check ENDPOINT_URL."
            ) from None

    # ------------------------------------------------------------------ remains of a killed process

    def unfinished(self, folder: str) -> list[Unfinished]:
        """Return the multipart uploads that were started in a folder."""
        uploads: list[Unfinished] = []
        query = {"uploads": "", "prefix": self.path(folder)}
        while True:
            root = ElementTree.fromstring(self._request("GET", "", query))  # nosec B314
            for element in root.iterfind("{*}Upload"):
                key = element.findtext("{*}Key", "")
                key = key.removeprefix(f"{self._prefix}/") if self._prefix else key
                begun_at = datetime.fromisoformat(
                    element.findtext("{*}Initiated", "").replace("Z", "+00:00")
                )
                uploads.append(Unfinished(key, element.findtext("{*}UploadId", ""), begun_at))
            if root.findtext("{*}IsTruncated", "") != "true":
                return uploads
            query["key-marker"] = root.findtext("{*}NextKeyMarker", "")
            query["upload-id-marker"] = root.findtext("{*}NextUploadIdMarker", "")

    def abort(self, key: str, upload_id: str) -> None:
        """Abort a multipart upload; a missing one is ignored."""
        self._request("DELETE", self.path(key), {"uploadId": upload_id}, missing_is_fine=True)

    @cached_property
    def _signer(self) -> Any:
        # Imported here, since a service with a folder as storage does not need it.
        from botocore.auth import S3SigV4Auth
        from botocore.credentials import Credentials as Keys

        return S3SigV4Auth(
            Keys(self._credentials.key, self._credentials.secret), "s3", self._credentials.region
        )

    def _request(
        self, method: str, path: str, query: dict[str, str], *, missing_is_fine: bool = False
    ) -> bytes:
        from botocore.awsrequest import AWSRequest

        key = path.removeprefix(f"{self._prefix}/")
        named = "&".join(f"{name}={quote(value, safe='')}" for name, value in sorted(query.items()))
        url = (
            f"{self._credentials.endpoint_url.rstrip('/')}/{self._name}/{quote(path)}".rstrip("/")
            + f"?{named}"
        )
        request = AWSRequest(method, url)
        self._signer.add_auth(request)
        try:
            answer = httpx.request(
                method, url, headers=dict(request.headers.items()), timeout=REQUEST_SECONDS
            )
        except httpx.HTTPError as error:
            raise StorageUnavailable(
                f"{self}/{key} cannot be used now: {brief(error)}. Check ENDPOINT_URL."
            ) from None
        if answer.status_code == 404 and missing_is_fine and "NoSuchBucket" not in answer.text:
            return b""
        if not answer.is_success:
            raise StorageUnavailable(
                f"{self}/{key}: cannot list or abort multipart uploads; the answer was"
                f" {answer.status_code}. Check that KEY and SECRET may list and abort them."
            )
        return answer.content


class ObjectWriter:
    """An object that is uploaded in parts. It exists once it is closed, complete, or not at all."""

    def __init__(self, bucket: Bucket, key: str, out: Any, part_bytes: int) -> None:
        self._bucket = bucket
        self._key = key
        self._out = out
        self.part_bytes = part_bytes
        self._lock = Lock()  # an abandoned call continues in its thread
        self.size = 0

    def write(self, data: Any) -> int:
        # A copy: the data is sent later, and the caller may change it.
        piece = data if isinstance(data, bytes) else bytes(data)
        with self._lock, self._bucket._translated(self._key):
            if self._out is None:
                raise StorageUnavailable(f"The upload of {self._bucket}/{self._key} was abandoned.")
            self._out.write(piece)
        self.size += len(piece)
        return len(piece)

    def close(self) -> Entry:
        """Complete the object and return it. Raises StorageUnavailable if it differs from the
        written bytes.
        """
        with self._lock, self._bucket._translated(self._key):
            self._out.close()
            self._out = None
        stored = self._bucket.head(self._key)
        if stored is None or stored.size != self.size:
            raise StorageUnavailable(
                f"{self._bucket}/{self._key} was not stored with its {self.size} bytes."
            )
        return stored

    def abort(self) -> None:
        """Remove all of it. What cannot be removed now is left to the sweep."""
        with self._lock:
            self._out = None
        try:
            if self.size >= self.part_bytes:
                for upload in self._bucket.unfinished(self._key):
                    self._bucket.abort(upload.key, upload.upload_id)
        except StorageUnavailable as error:
            logger.warning("Could not delete a file; the sweep will: %s", error)
