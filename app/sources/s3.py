"""Objects on S3 or MinIO, read in place by ranged GETs that name the version they want (If-Match)."""

from __future__ import annotations

import fnmatch
import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache, partial
from typing import BinaryIO, cast

import obstore
from obstore import exceptions
from obstore.store import S3Store

from app.errors import (
    BadSourceUri,
    NotConfigured,
    SourceAccessDenied,
    SourceChanged,
    SourceNotFound,
    SourceUnavailable,
)

S3_SCHEME = "s3://"
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
MAX_URI_LENGTH = 1000
STATUS = re.compile(r"non-2xx status code: (\d{3})")
WILDCARDS = re.compile(r"[*?\[]")
BLOCK_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Address:
    bucket: str
    key: str
    """Of one object, or a pattern if it holds `*`, `?` or `[`, or all keys with this beginning if it ends in `/` or is empty."""

    @classmethod
    def parse(cls, uri: str) -> Address:
        """Of `s3://bucket/key`; raises BadSourceUri."""
        scheme, _, rest = uri.partition("://")
        bucket, _, key = rest.partition("/")
        if scheme != "s3":
            raise BadSourceUri(f"{uri[:100]!r} does not begin with s3://.")
        if not BUCKET.fullmatch(bucket) or ".." in bucket:
            raise BadSourceUri(f"{bucket[:80]!r} is no name of a bucket.")
        if len(uri) > MAX_URI_LENGTH or re.search(r"[\x00-\x1f\x7f]", key):
            raise BadSourceUri(f"A source has at most {MAX_URI_LENGTH} characters and no control characters.")
        if any(part in ("..", ".") for part in key.split("/")) or "//" in key:
            raise BadSourceUri("A key with the parts `.`, `..` or an empty one cannot be read.")
        return cls(bucket, key)

    @property
    def is_single(self) -> bool:
        return bool(self.key) and not self.key.endswith("/") and not WILDCARDS.search(self.key)

    @property
    def folder(self) -> str:
        """The part of the key before any wildcard, up to its last slash: what can be listed."""
        return re.split(WILDCARDS, self.key, maxsplit=1)[0].rpartition("/")[0]

    def matches(self, key: str) -> bool:
        pattern = self.key if WILDCARDS.search(self.key) else f"{self.key}*"
        return fnmatch.fnmatchcase(key, pattern)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True, slots=True)
class Object:
    uri: str
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class Credentials:
    endpoint_url: str
    key: str
    """Empty: requests are not signed."""
    secret: str = field(repr=False)
    region: str


def make_store(bucket: str, credentials: Credentials, *, seconds: float = 30, retries: int = 4) -> S3Store:
    """A client of one bucket, which retries for some seconds what may pass; a request may take `seconds`."""
    signed = {"access_key_id": credentials.key, "secret_access_key": credentials.secret} if credentials.key else {}
    return S3Store(
        bucket,
        endpoint=credentials.endpoint_url,
        region=credentials.region,
        virtual_hosted_style_request=False,
        skip_signature=not credentials.key,
        client_options={
            "allow_http": credentials.endpoint_url.startswith("http://"),
            "connect_timeout": timedelta(seconds=5),
            "timeout": timedelta(seconds=seconds),
        },
        retry_config={
            "max_retries": retries,
            "retry_timeout": timedelta(seconds=20),
            "backoff": {
                "init_backoff": timedelta(milliseconds=100),
                "max_backoff": timedelta(seconds=3),
                "base": 2,
            },
        },
        **signed,  # type: ignore[arg-type]
    )


class S3Source:
    """Made once; a client per bucket. The calls block: call them from threads."""

    def __init__(self, *, endpoint_url: str, key: str, secret: str, region: str) -> None:
        self.credentials = Credentials(endpoint_url, key, secret, region)
        self._store = cache(lambda bucket: make_store(bucket, self.credentials))

    @property
    def is_configured(self) -> bool:
        return bool(self.credentials.endpoint_url)

    def check_configured(self) -> None:
        """Raises NotConfigured."""
        if not self.is_configured:
            raise NotConfigured("No object store is configured: set ENDPOINT_URL, KEY and SECRET.")

    def read(self, uri: str, start: int, end: int, etag: str | None) -> bytes:
        """Bytes [start, end), all of them and of this version."""
        self._check_ready()
        if end <= start:
            return b""
        address = Address.parse(uri)
        with _told(address):
            result = obstore.get(
                self._store(address.bucket), address.key, options={"range": (start, end), "if_match": etag}
            )
            data = bytes(result.bytes())
        if len(data) != end - start:
            raise SourceUnavailable(f"{address}: {len(data)} bytes came, {end - start} were asked for.")
        return data

    def open(self, uri: str, size: int, etag: str | None) -> BinaryIO:
        self._check_ready()
        return ranged(partial(self.read, uri), size, etag)

    def head(self, uri: str) -> Object:
        """The object as it is now."""
        address = Address.parse(uri)
        with _told(address):
            meta = obstore.head(self._store(address.bucket), address.key)
        return Object(uri, meta["size"], meta["e_tag"] or "")

    def find(self, uri: str, limit: int) -> list[Object]:
        """The objects that a prefix or pattern means, empty ones left out, by key; at most `limit` + 1."""
        address = Address.parse(uri)
        found: list[Object] = []
        with _told(address):
            for batch in obstore.list(self._store(address.bucket), address.folder or None):
                found += [
                    Object(f"s3://{address.bucket}/{meta['path']}", meta["size"], meta["e_tag"] or "")
                    for meta in batch
                    if meta["size"] and address.matches(meta["path"])
                ]
                if len(found) > limit:
                    break
        return sorted(found, key=lambda each: each.uri)

    def _check_ready(self) -> None:
        if not self.is_configured:  # a job of another process on this database, which has the keys
            raise SourceUnavailable("This process has no object store configured: set ENDPOINT_URL, KEY and SECRET.")


def ranged(read: Callable[[int, int, str | None], bytes], size: int, etag: str | None) -> BinaryIO:
    """A file over ranged reads of (start, end, etag)."""
    return cast(BinaryIO, io.BufferedReader(_Ranged(read, size, etag), BLOCK_BYTES))


class _Ranged(io.RawIOBase):
    def __init__(self, read: Callable[[int, int, str | None], bytes], size: int, etag: str | None) -> None:
        self._read, self._size, self._etag = read, size, etag
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        return self._place

    def tell(self) -> int:
        return self._place

    def readall(self) -> bytes:
        """At once: the default asks for 8 KiB at a time."""
        data = self._read(self._place, self._size, self._etag)
        self._place = self._size
        return data

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast(bytearray, buffer)).cast("B")
        end = min(self._size, self._place + len(view))
        data = self._read(self._place, end, self._etag)
        view[: len(data)] = data
        self._place += len(data)
        return len(data)


@contextmanager
def _told(address: Address) -> Iterator[None]:
    """Errors that name the bucket, the key and what to check."""
    try:
        yield
    except (exceptions.BaseError, OSError, ValueError) as error:
        # What a listing is answered has no class of its own.
        answered = STATUS.search(str(error))
        status = int(answered[1]) if answered else 0
        if isinstance(error, exceptions.NotFoundError | FileNotFoundError) or status == 404:
            raise SourceNotFound(f"{address} is not there. Check bucket, key and ENDPOINT_URL.") from None
        if isinstance(error, exceptions.PreconditionError):
            raise SourceChanged(f"{address} was replaced since the job was made. Make a new job for it.") from None
        if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError) or status in (
            401,
            403,
        ):
            raise SourceAccessDenied(
                f"{address} may not be read. Check KEY and SECRET, and what they may do."
            ) from None
        raise SourceUnavailable(f"{address} cannot be read now: {brief(error)}") from None


def brief(error: Exception) -> str:
    first = str(error).strip().splitlines()
    return (first[0] if first else type(error).__name__)[:300]
