"""Files of web servers: `https://host/path`. They are fetched as a stream, pinned to the version that
the first answer names, and continued with Range and If-Range after an interruption.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit

from app import __version__
from app.clients.guarded import objection, open_session, reason_of
from app.decoders.base import Kind
from app.decoders.registry import by_coding
from app.errors import (
    BadSourceAnswer,
    BadSourceUri,
    GranulaError,
    InvalidParameter,
    SourceForbidden,
    SourceMissing,
    SourceRefused,
    SourceReplaced,
    SourceUnavailable,
)
from app.lazy import LazyModule
from app.sources.remote import Fetched, Object

if TYPE_CHECKING:
    import aiohttp
    import yarl
    from aiohttp.abc import AbstractResolver
else:
    aiohttp = LazyModule("aiohttp")
    yarl = LazyModule("yarl")

logger = logging.getLogger(__name__)
MAX_URI_LENGTH = 1000
PIECE_BYTES = 1 << 20
MAX_REDIRECTS = 5
TRIES, PAUSE_SECONDS = 5, 0.2
"""Requests in a row that may fail without a byte, and the pause after the first, which doubles."""
REDIRECTS = frozenset((301, 302, 303, 307, 308))
PASSING = frozenset((408, 425, 429, 500, 502, 503, 504))
MISSING, DENIED = frozenset((404, 410)), frozenset((401, 403, 407))
CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
PAGES = re.compile(r"(text/html|application/xhtml\+xml|image/|audio/|video/)")
"""Types that are no files of rows: mostly pages that ask to sign in."""


@dataclass(frozen=True, slots=True)
class Credential:
    """Headers for all URLs that begin with `prefix`, a URL of a host and a folder."""

    prefix: str
    headers: Mapping[str, str] = field(repr=False)

    def covers(self, url: str) -> bool:
        mine, theirs = yarl.URL(self.prefix), yarl.URL(url)
        if any(part in (".", "..") for part in unquote(urlsplit(url).path).split("/")):
            return False  # a server may resolve them
        return mine.origin() == theirs.origin() and theirs.raw_path.startswith(mine.raw_path)


class BrokenOff(SourceUnavailable):
    """The transfer broke off, and the server names no version to continue. A new transfer may
    succeed.
    """


class WebClient:
    """What the settings say about web servers, and requests by these rules."""

    def __init__(
        self,
        *,
        private_hosts: Sequence[str],
        credentials: Mapping[str, Credential],
        timeout_seconds: float,
        min_bytes_per_second: int,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._private_hosts = frozenset(private_hosts)
        self._credentials = credentials
        self.timeout_seconds = timeout_seconds
        self.min_bytes_per_second = min_bytes_per_second
        self._resolver = resolver

    def is_private(self, url: str) -> bool:
        """Return whether the settings allow http and private addresses for the host of this URL."""
        try:
            target = yarl.URL(url)
            named = {target.raw_host, f"{target.raw_host}:{target.port}", "*"}
        except ValueError:
            return False
        return bool(named & self._private_hosts)

    def check(self, url: str) -> None:
        """Raises SourceRefused for a URL that the settings do not allow."""
        reason = objection(url, allow_private=self.is_private(url))
        if reason is not None:
            raise SourceRefused(f"{without_query(url)[:200]}: {reason}")

    def credential(self, name: str, url: str) -> Credential | None:
        """Return the named credential; raises InvalidParameter if there is none for this URL."""
        if not name:
            return None
        credential = self._credentials.get(name)
        if credential is None or not credential.covers(url):
            raise InvalidParameter(
                f"SOURCE_CREDENTIALS has no {name[:60]!r} for {without_query(url)[:200]}."
            )
        return credential

    async def get(
        self,
        sessions: _Sessions,
        url: str,
        credential: Credential | None,
        headers: Mapping[str, str],
    ) -> aiohttp.ClientResponse:
        """Return the answer of the last redirect. Each URL on the way is checked; the credential is
        sent only to those that it covers. Raises SourceRefused, SourceUnavailable.
        """
        for _ in range(MAX_REDIRECTS + 1):
            self.check(url)
            secret = credential.headers if credential and credential.covers(url) else {}
            session = sessions.get(self.is_private(url))
            response = await _get_one(session, url, {**headers, **secret})
            if response.status not in REDIRECTS or "Location" not in response.headers:
                return response
            response.close()
            try:
                following = urljoin(url, response.headers["Location"]).partition("#")[0]
            except ValueError:
                raise BadSourceAnswer(
                    f"{without_query(url)[:200]} redirects to something that is not a URL."
                ) from None
            if url.startswith("https:") and not following.startswith("https:"):
                raise SourceRefused(
                    f"{without_query(url)[:200]} redirects from https to another scheme."
                )
            url = following
        raise BadSourceAnswer(f"{without_query(url)[:200]}: more than {MAX_REDIRECTS} redirects.")

    def sessions(self) -> _Sessions:
        return _Sessions(self.timeout_seconds, self._resolver)


class _Sessions:
    """The sessions of one transfer: one for public hosts, and one for those that the settings
    allow. No connection is used twice, so nothing is gained by keeping them longer.
    """

    def __init__(self, timeout_seconds: float, resolver: AbstractResolver | None) -> None:
        self._timeout_seconds = timeout_seconds
        self._resolver = resolver
        self._by_privacy: dict[bool, aiohttp.ClientSession] = {}

    def get(self, is_private: bool) -> aiohttp.ClientSession:
        if is_private not in self._by_privacy:
            timeout = aiohttp.ClientTimeout(
                total=None, sock_connect=self._timeout_seconds, sock_read=self._timeout_seconds
            )
            self._by_privacy[is_private] = open_session(
                timeout, allow_private=is_private, resolver=self._resolver
            )
        return self._by_privacy[is_private]

    async def close(self) -> None:
        for session in self._by_privacy.values():
            await session.close()


async def _get_one(
    session: aiohttp.ClientSession, url: str, headers: Mapping[str, str]
) -> aiohttp.ClientResponse:
    try:
        return await session.get(
            yarl.URL(url, encoded=url.isascii()),  # as it is: it may be signed
            headers={
                "User-Agent": f"Granula/{__version__}",
                "Accept-Encoding": "identity",
                **headers,
            },
            allow_redirects=False,
            read_bufsize=PIECE_BYTES,
        )
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        reason = reason_of(error)
        if reason == "address_refused":
            raise SourceRefused(
                f"{without_query(url)[:200]}: the address is not one of the public Internet."
            ) from None
        raise SourceUnavailable(
            f"{without_query(url)[:200]} cannot be reached: {reason}."
        ) from None


class WebSource:
    """`https://...` or `http://...`, over the client of the process."""

    def __init__(self, scheme: str, client: WebClient) -> None:
        self.scheme = scheme
        self._client = client

    def check_configured(self) -> None:
        """Public hosts need no setting."""

    def full(self, uri: str) -> str:
        if len(uri) > MAX_URI_LENGTH:
            raise BadSourceUri(f"A source has at most {MAX_URI_LENGTH} characters.")
        self._client.check(uri)
        return uri

    def single(self, uri: str) -> Object:
        return Object(self.full(uri), 0, "")

    def find(self, uri: str, limit: int) -> list[Object]:
        return [self.single(uri)]

    def matching(self, uri: str) -> Iterator[Object]:
        raise BadSourceUri("A URL is one file: it has no list of files.")

    @asynccontextmanager
    async def fetch(self, object_: Object, credentials: str = "") -> AsyncIterator[Fetched]:
        credential = self._client.credential(credentials, object_.uri)
        transfer = _Transfer(self._client, object_.uri, credential)
        try:
            yield await transfer.begin()
        finally:
            transfer.close()
            await transfer.sessions.close()


class _Transfer:
    """One file on its way, over as many requests as it takes."""

    def __init__(self, client: WebClient, url: str, credential: Credential | None) -> None:
        self._client = client
        self.sessions = client.sessions()
        self._url = url
        self._shown = without_query(url)[:200]
        self._credential = credential
        self._response: aiohttp.ClientResponse | None = None
        self._offset = 0
        self._size: int | None = None
        self._validator = ""
        """What a further request must find unchanged: a strong ETag, or the time of the change."""
        self._is_ended = False
        self._interruptions = 0
        """Interruptions since the last PIECE_BYTES came."""
        self._interrupted_at = 0

    def close(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None

    async def begin(self) -> Fetched:
        """Send the first request. Raises SourceMissing, SourceForbidden, SourceRefused,
        BadSourceAnswer, SourceUnavailable.
        """
        response = await self._requested({})
        headers = response.headers
        if response.status != 200:
            raise BadSourceAnswer(f"{self._shown} answers {response.status}, not 200.")
        media_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()[:255]
        if PAGES.match(media_type):
            raise BadSourceAnswer(
                f"{self._shown} sends {media_type}, which is not a file of rows. It may be a "
                "page that asks to sign in."
            )
        is_whole = "chunked" in headers.get("Transfer-Encoding", "").lower()
        if response.content_length is None and not is_whole:
            raise BadSourceAnswer(
                f"{self._shown} does not say where its answer ends, so an incomplete file could "
                "look complete."
            )
        self._size = response.content_length
        etag = headers.get("ETag", "")
        modified_at = headers.get("Last-Modified", "")
        is_strong = bool(etag) and not etag.startswith("W/")
        self._validator = etag if is_strong else modified_at
        return Fetched(
            _name(response, self._url),
            self._size,
            (etag or modified_at)[:300],
            self._pieces(),
            media_type,
            self._coding(headers.get("Content-Encoding", "")),
            modified_at[:100] or None,
        )

    def _coding(self, coding: str) -> Kind | None:
        if coding.strip().lower() in ("", "identity"):
            return None
        kind = by_coding(coding.strip().lower())
        if kind is None:
            raise BadSourceAnswer(f"{self._shown} sends the Content-Encoding {coding[:60]!r}.")
        return kind

    async def _pieces(self) -> AsyncIterator[bytes]:
        while not self._is_ended:
            try:
                async for data in self._received():
                    self._offset += len(data)
                    yield data
                if self._size not in (None, self._offset):
                    raise BadSourceAnswer(f"{self._shown} sends less than it announces.")
                self._is_ended = True
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                self.close()
                await self._continue(reason_of(error))

    async def _received(self) -> AsyncIterator[bytes]:
        """Yield what comes over this connection; raises SourceUnavailable if it comes too slowly."""
        assert self._response is not None
        waited, arrived = 0.0, 0
        while True:
            began = time.monotonic()
            data = await self._response.content.read(PIECE_BYTES)
            waited += time.monotonic() - began
            arrived += len(data)
            if not data:
                return
            if waited >= self._client.timeout_seconds:
                if arrived < waited * self._client.min_bytes_per_second:
                    raise SourceUnavailable(f"{self._shown} sends too slowly.")
                waited, arrived = 0.0, 0
            yield data

    async def _continue(self, reason: str) -> None:
        """Ask for the rest of the same version. Raises BrokenOff, SourceReplaced,
        SourceUnavailable, and the errors of `begin`.
        """
        where = f"{self._shown} broke off after {self._offset} bytes ({reason})"
        if not self._validator:
            raise BrokenOff(
                f"{where}, and sends no version with which the transfer could be resumed."
            )
        if self._offset - self._interrupted_at >= PIECE_BYTES:
            self._interruptions, self._interrupted_at = 0, self._offset
        self._interruptions += 1
        if self._interruptions >= TRIES:
            raise SourceUnavailable(f"{where}, repeatedly.")
        logger.warning("%s; continuing", where)
        asked = {"Range": f"bytes={self._offset}-", "If-Range": self._validator}
        response = await self._requested(asked if self._offset else {})
        named = response.headers
        same = self._validator in (named.get("ETag", ""), named.get("Last-Modified", ""))
        if response.status == 206:
            self._check_range(named.get("Content-Range", ""), same=same or "ETag" not in named)
        elif response.status == 200 and same:
            await self._skip(self._offset)
        else:
            raise self._replaced()

    def _check_range(self, content_range: str, *, same: bool) -> None:
        match = CONTENT_RANGE.fullmatch(content_range.strip())
        if match is None or int(match[1]) != self._offset:
            raise BadSourceAnswer(f"{self._shown} sends another range than was asked for.")
        total = None if match[3] == "*" else int(match[3])
        if not same or (None not in (total, self._size) and total != self._size):
            raise self._replaced()

    async def _skip(self, size: int) -> None:
        """Read past what has come already: this server has no ranges."""
        assert self._response is not None
        left = size
        while left:
            data = await self._response.content.read(min(left, PIECE_BYTES))
            if not data:
                raise self._replaced()
            left -= len(data)

    async def _requested(self, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        """Send the request, several times if the server cannot answer now."""
        pause = PAUSE_SECONDS
        for attempt in range(1, TRIES + 1):
            try:
                self._response = await self._client.get(
                    self.sessions, self._url, self._credential, headers
                )
                error = self._refusal(self._response)
            except SourceUnavailable as unavailable:
                error = unavailable
            if error is None:
                assert self._response is not None
                return self._response
            self.close()
            if not isinstance(error, SourceUnavailable) or attempt == TRIES:
                raise error
            await asyncio.sleep(pause)
            pause *= 2
        raise AssertionError("the last attempt returns or raises")

    def _refusal(self, response: aiohttp.ClientResponse) -> GranulaError | None:
        status = response.status
        if status in MISSING:
            return SourceMissing(f"{self._shown} answers {status}: there is no such file.")
        if status in DENIED:
            return SourceForbidden(f"{self._shown} answers {status}: access is denied.")
        if status in (412, 416):
            return self._replaced()
        if status in PASSING:
            after = response.headers.get("Retry-After", "")
            seconds = float(after[:6]) if after.isascii() and after.isdecimal() else None
            return SourceUnavailable(f"{self._shown} answers {status}.", retry_after=seconds)
        return None

    def _replaced(self) -> SourceReplaced:
        return SourceReplaced(f"{self._shown} changed while it was read.")


def without_query(url: str) -> str:
    """Return the URL without its query, which may hold a signature."""
    return url.partition("?")[0].partition("#")[0]


def _name(response: aiohttp.ClientResponse, url: str) -> str:
    """Return the name of the file: what the server calls it, else the end of the path."""
    disposition = response.content_disposition
    named = disposition.filename if disposition is not None else None
    path = unquote(urlsplit(url).path, errors="replace")
    name = (named or path).replace("\\", "/").rstrip("/").rpartition("/")[2]
    return "".join(char for char in name if char.isprintable())[:255] or urlsplit(url).netloc[:255]
