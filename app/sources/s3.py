"""Objects of object stores, read in place by ranged GETs for a given version (If-Match): S3 and MinIO,
and whatever else obstore has a client for.
"""

from __future__ import annotations

import asyncio
import fnmatch
import io
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache, partial
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, Literal, cast

from app.errors import (
    BadSourceUri,
    GranulaError,
    InvalidParameter,
    NotConfigured,
    SourceAccessDenied,
    SourceChanged,
    SourceNotFound,
    SourceUnavailable,
)
from app.lazy import LazyModule
from app.sources.listing import ListingError, listed
from app.sources.remote import Fetched, Object

if TYPE_CHECKING:
    import obstore
    from obstore import exceptions, store
    from obstore.store import ObjectStore
else:  # an extra
    obstore = LazyModule("obstore")
    exceptions = LazyModule("obstore.exceptions")
    store = LazyModule("obstore.store")

S3_SCHEME = "s3://"
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
MAX_URI_LENGTH = 1000
STATUS = re.compile(r"non-2xx status code: (\d{3})")
WILDCARDS = re.compile(r"[*?\[]")
NO_PARTS = frozenset(("", ".", ".."))
BLOCK_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Address:
    bucket: str
    key: str
    """A prefix if it ends in `/` or is empty; otherwise the key of one object; otherwise, if there
    is no such object and it holds `*`, `?` or `[`, a pattern.
    """
    scheme: str = "s3"

    @classmethod
    def parse(cls, uri: str, expected: str = "s3") -> Address:
        """Parse `s3://bucket/key`, or the same with another scheme; raises BadSourceUri."""
        scheme, _, path = uri.partition("://")
        bucket, _, key = path.partition("/")
        if scheme != expected:
            raise BadSourceUri(f"{uri[:100]!r} does not begin with {expected}://.")
        if not BUCKET.fullmatch(bucket) or ".." in bucket:
            raise BadSourceUri(f"{bucket[:80]!r} is not a valid name of a bucket.")
        if len(uri) > MAX_URI_LENGTH or re.search(r"[\x00-\x1f\x7f]", key):
            raise BadSourceUri(
                f"A source has at most {MAX_URI_LENGTH} characters and no control characters."
            )
        # A key that is not a path would be sent as another one, or not at all.
        if any(part in NO_PARTS for part in key.removesuffix("/").split("/")) and key:
            raise BadSourceUri("A key must not have the parts `.` and `..` or an empty one.")
        return cls(bucket, key, scheme)

    @classmethod
    def of_object(cls, uri: str, expected: str = "s3") -> Address:
        """Parse the URI of a readable object; raises BadSourceUri."""
        address = cls.parse(uri, expected)
        if not address.key or address.key.endswith("/"):
            raise BadSourceUri("A key that is empty or ends in `/` cannot be read.")
        return address

    @property
    def is_prefix(self) -> bool:
        return not self.key or self.key.endswith("/")

    @property
    def is_pattern(self) -> bool:
        return not self.is_prefix and bool(WILDCARDS.search(self.key))

    @property
    def beginning(self) -> str:
        """Return the common prefix of all keys that match."""
        return WILDCARDS.split(self.key, maxsplit=1)[0] if self.is_pattern else self.key

    def matches(self, key: str) -> bool:
        return fnmatch.fnmatchcase(key, self.key) if self.is_pattern else key.startswith(self.key)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.key}"


@dataclass(frozen=True, slots=True)
class Credentials:
    endpoint_url: str
    key: str
    """Empty for unsigned requests."""
    secret: str = field(repr=False)
    region: str


def make_store(
    bucket: str, credentials: Credentials, *, seconds: float = 30, retries: int = 4
) -> store.S3Store:
    """Return a client of one bucket, which retries transient errors for some seconds. `seconds` is
    the timeout of a request.
    """
    signed = (
        {"access_key_id": credentials.key, "secret_access_key": credentials.secret}
        if credentials.key
        else {}
    )
    return store.S3Store(
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


class StoreSource:
    """One instance for each process, with one client for each bucket."""

    def __init__(self, scheme: str, make: Callable[[str], ObjectStore]) -> None:
        """`make` returns the client of a bucket."""
        self.scheme = scheme
        self._store = cache(make)

    def check_configured(self) -> None:
        """Raises NotConfigured."""

    def read(self, uri: str, start: int, end: int, etag: str | None) -> bytes:
        """Return the bytes [start, end), all of them and of this version."""
        self._check_ready()
        if end <= start:
            return b""
        address = Address.of_object(uri, self.scheme)
        with _translated(address):
            result = obstore.get(
                self._store(address.bucket),
                address.key,
                options={"range": (start, end), "if_match": etag},
            )
            data = bytes(result.bytes())
        if len(data) != end - start:
            raise SourceUnavailable(
                f"{address}: {len(data)} bytes came, {end - start} were asked for."
            )
        return data

    def open(self, uri: str, size: int, etag: str | None) -> BinaryIO:
        self._check_ready()
        return ranged(partial(self.read, uri), size, etag)

    def head(self, uri: str) -> Object:
        """Return the present version of the object."""
        address = Address.of_object(uri, self.scheme)
        with _translated(address):
            meta = obstore.head(self._store(address.bucket), address.key)
        return Object(uri, meta["size"], meta["e_tag"] or "")

    def full(self, uri: str) -> str:
        return str(Address.parse(uri, self.scheme))

    def single(self, uri: str) -> Object | None:
        """Return the object with exactly this key; None for a prefix, and for a pattern that is not
        itself a key.
        """
        address = Address.parse(uri, self.scheme)
        if address.is_prefix:
            return None
        try:
            return self.head(str(address))
        except (SourceNotFound, SourceAccessDenied):
            # without permission to list, missing objects are denied
            if address.is_pattern:
                return None
            raise

    def find(self, uri: str, limit: int) -> list[Object]:
        """Return the objects that match a prefix or pattern, sorted by key, without empty ones; at
        most `limit` + 1. Some keys may be unreadable.
        """
        objects = list(islice(self.matching(uri), limit + 1))
        return sorted(objects, key=lambda object_: object_.uri)

    def matching(self, uri: str) -> Iterator[Object]:
        """Yield the objects that match a prefix or pattern, without empty ones."""
        address = Address.parse(uri, self.scheme)
        folder = address.beginning.rpartition("/")[0]
        with _translated(address):
            for batch in obstore.list(self._store(address.bucket), folder or None):
                for meta in batch:
                    if meta["size"] and address.matches(meta["path"]):
                        object_uri = f"{self.scheme}://{address.bucket}/{meta['path']}"
                        yield Object(object_uri, meta["size"], meta["e_tag"] or "")

    @asynccontextmanager
    async def fetch(self, object_: Object, credentials: str = "") -> AsyncIterator[Fetched]:
        if credentials:
            raise InvalidParameter("Credentials are for sources of https.")
        yield Fetched(object_.uri, object_.size, object_.etag, self._pieces(object_))

    async def _pieces(self, object_: Object) -> AsyncIterator[bytes]:
        for start in range(0, object_.size, BLOCK_BYTES):
            end = min(start + BLOCK_BYTES, object_.size)
            yield await asyncio.to_thread(self.read, object_.uri, start, end, object_.etag or None)

    def _check_ready(self) -> None:
        """Raises SourceUnavailable."""


class S3Source(StoreSource):
    def __init__(self, *, endpoint_url: str, key: str, secret: str, region: str) -> None:
        self.credentials = Credentials(endpoint_url, key, secret, region)
        super().__init__("s3", lambda bucket: make_store(bucket, self.credentials))

    @property
    def is_configured(self) -> bool:
        return bool(self.credentials.endpoint_url)

    def check_configured(self) -> None:
        """Raises NotConfigured."""
        if not self.is_configured:
            raise NotConfigured("No object store is configured: set ENDPOINT_URL, KEY and SECRET.")

    def matching(self, uri: str) -> Iterator[Object]:
        """Yield the objects that match a prefix or pattern, without empty ones."""
        address, keys = Address.parse(uri), self.credentials
        try:
            for object_ in listed(
                keys.endpoint_url,
                address.bucket,
                address.beginning,
                keys.key,
                keys.secret,
                keys.region,
            ):
                if object_.size and address.matches(object_.key):
                    yield Object(f"s3://{address.bucket}/{object_.key}", object_.size, object_.etag)
        except ListingError as error:
            raise _answered(address, error.status, error) from None

    def _check_ready(self) -> None:
        # the job comes from another process on this database, which has the keys
        if not self.is_configured:
            raise SourceUnavailable(
                "This process has no object store configured: set ENDPOINT_URL, KEY and SECRET."
            )


def cloud_source(scheme: Literal["gs", "az"]) -> StoreSource:
    """Return a source of Google Cloud Storage or Azure Blob Storage. The client finds its
    credentials in the environment, by the names that each of them uses.
    """
    if scheme == "gs":
        return StoreSource("gs", lambda bucket: store.GCSStore(bucket))
    return StoreSource("az", lambda container: store.AzureStore(container))


def ranged(read: Callable[[int, int, str | None], bytes], size: int, etag: str | None) -> BinaryIO:
    """Return a file over ranged reads of (start, end, etag)."""
    return cast(BinaryIO, io.BufferedReader(_Ranged(read, size, etag), BLOCK_BYTES))


class _Ranged(io.RawIOBase):
    def __init__(
        self, read: Callable[[int, int, str | None], bytes], size: int, etag: str | None
    ) -> None:
        self._read, self._size, self._etag = read, size, etag
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = (
            offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        )
        return self._place

    def tell(self) -> int:
        return self._place

    def readall(self) -> bytes:
        """Read all of it: the default reads 8 KiB at a time."""
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
def _translated(address: Address) -> Iterator[None]:
    """Translate errors into ones that name the bucket, the key and what to check."""
    try:
        yield
    except (exceptions.NotFoundError, FileNotFoundError):
        raise _answered(address, 404) from None
    except exceptions.PreconditionError:
        raise SourceChanged(
            f"{address} was replaced after the job was created. Create a new job for it."
        ) from None
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError):
        raise _answered(address, 403) from None
    except (exceptions.BaseError, OSError, ValueError) as error:
        status = STATUS.search(str(error))
        raise _answered(address, int(status[1]) if status else 0, error) from None


def _answered(address: Address, status: int, error: Exception | None = None) -> GranulaError:
    is_s3 = address.scheme == "s3"
    if status == 404:
        where = "bucket, key and ENDPOINT_URL" if is_s3 else "bucket and key"
        return SourceNotFound(f"{address} does not exist. Check {where}.")
    if status in (401, 403):
        keys = "KEY and SECRET" if is_s3 else "the credentials in the environment"
        return SourceAccessDenied(
            f"Access to {address} is denied. Check {keys} and their permissions."
        )
    return SourceUnavailable(f"{address} cannot be read now: {brief(error) if error else status}")


def brief(error: Exception) -> str:
    first = str(error).strip().splitlines()
    return (first[0] if first else type(error).__name__)[:300]
