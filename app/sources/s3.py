"""Objects on S3 or MinIO, read in place by ranged GETs that name the version they want
(If-Match).
"""

from __future__ import annotations

import fnmatch
import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache, partial
from typing import TYPE_CHECKING, BinaryIO, cast

from app.errors import (
    BadSourceUri,
    GranulaError,
    NotConfigured,
    SourceAccessDenied,
    SourceChanged,
    SourceNotFound,
    SourceUnavailable,
)
from app.lazy import LazyModule
from app.sources.listing import ListingError, listed
from app.sources.remote import Object

if TYPE_CHECKING:
    import obstore
    from obstore import exceptions, store
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
    """All keys with this beginning if it ends in `/` or is empty; else that of one object; else, if
    there is none and it holds `*`, `?` or `[`, a pattern.
    """

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
            raise BadSourceUri(
                f"A source has at most {MAX_URI_LENGTH} characters and no control characters."
            )
        # A key that is no path would be sent as another one, or not at all.
        if any(part in NO_PARTS for part in key.removesuffix("/").split("/")) and key:
            raise BadSourceUri("A key with the parts `.`, `..` or an empty one cannot be read.")
        return cls(bucket, key)

    @classmethod
    def of_object(cls, uri: str) -> Address:
        """Of an object that can be read; raises BadSourceUri."""
        address = cls.parse(uri)
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
        """What all keys that match begin with."""
        return WILDCARDS.split(self.key, maxsplit=1)[0] if self.is_pattern else self.key

    def matches(self, key: str) -> bool:
        return fnmatch.fnmatchcase(key, self.key) if self.is_pattern else key.startswith(self.key)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True, slots=True)
class Credentials:
    endpoint_url: str
    key: str
    """Empty: requests are not signed."""
    secret: str = field(repr=False)
    region: str


def make_store(
    bucket: str, credentials: Credentials, *, seconds: float = 30, retries: int = 4
) -> store.S3Store:
    """A client of one bucket, which retries for some seconds what may pass; a request may take
    `seconds`.
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


class S3Source:
    """Made once; a client per bucket."""

    scheme = "s3"

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
        address = Address.of_object(uri)
        with _told(address):
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
        """The object as it is now."""
        address = Address.of_object(uri)
        with _told(address):
            meta = obstore.head(self._store(address.bucket), address.key)
        return Object(uri, meta["size"], meta["e_tag"] or "")

    def full(self, uri: str) -> str:
        return str(Address.parse(uri))

    def single(self, uri: str) -> Object | None:
        """The object whose key this is, letter by letter; None for a prefix, and for a pattern that
        is no key itself.
        """
        address = Address.parse(uri)
        if address.is_prefix:
            return None
        try:
            return self.head(str(address))
        except (SourceNotFound, SourceAccessDenied):  # who may not list is denied what is not there
            if address.is_pattern:
                return None
            raise

    def find(self, uri: str, limit: int) -> list[Object]:
        """The objects that a prefix or pattern means, empty ones left out, by key; at most `limit`
        + 1. There may be some among them whose keys cannot be read.
        """
        address, keys = Address.parse(uri), self.credentials
        found: list[Object] = []
        try:
            for each in listed(
                keys.endpoint_url,
                address.bucket,
                address.beginning,
                keys.key,
                keys.secret,
                keys.region,
            ):
                if each.size and address.matches(each.key):
                    found.append(Object(f"s3://{address.bucket}/{each.key}", each.size, each.etag))
                if len(found) > limit:
                    break
        except ListingError as error:
            raise _answered(address, error.status, error) from None
        return sorted(found, key=lambda each: each.uri)

    def _check_ready(self) -> None:
        if not self.is_configured:  # a job of another process on this database, which has the keys
            raise SourceUnavailable(
                "This process has no object store configured: set ENDPOINT_URL, KEY and SECRET."
            )


def ranged(read: Callable[[int, int, str | None], bytes], size: int, etag: str | None) -> BinaryIO:
    """A file over ranged reads of (start, end, etag)."""
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
    except (exceptions.NotFoundError, FileNotFoundError):
        raise _answered(address, 404) from None
    except exceptions.PreconditionError:
        raise SourceChanged(
            f"{address} was replaced since the job was made. Make a new job for it."
        ) from None
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError):
        raise _answered(address, 403) from None
    except (exceptions.BaseError, OSError, ValueError) as error:
        status = STATUS.search(str(error))
        raise _answered(address, int(status[1]) if status else 0, error) from None


def _answered(address: Address, status: int, error: Exception | None = None) -> GranulaError:
    if status == 404:
        return SourceNotFound(f"{address} is not there. Check bucket, key and ENDPOINT_URL.")
    if status in (401, 403):
        return SourceAccessDenied(
            f"{address} may not be read. Check KEY and SECRET, and what they may do."
        )
    return SourceUnavailable(f"{address} cannot be read now: {brief(error) if error else status}")


def brief(error: Exception) -> str:
    first = str(error).strip().splitlines()
    return (first[0] if first else type(error).__name__)[:300]
