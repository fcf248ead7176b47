"""Sends webhooks over HTTP: one message to one receiver, signed as in Standard Webhooks, to public
addresses only.

Addresses are checked when the connection is made, after its own resolution of the name: earlier
resolutions and other parsings of the URL do not count.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from app import __version__
from app.errors import WebhookUrlRefused
from app.features.webhooks.addresses import AddressRefused, is_public
from app.lazy import LazyModule

if TYPE_CHECKING:
    import aiohttp
    import yarl
    from aiohttp.abc import AbstractResolver
else:
    aiohttp = LazyModule("aiohttp")
    yarl = LazyModule("yarl")

MAX_URL_CHARACTERS = 2048
FIRST_FREE_PORT = 1024
MAX_PAUSE_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of one attempt. The body of the response is not read."""

    status_code: int | None
    error: str | None
    """Why there is no status code: address_refused, unknown_host, tls_failed, connection_failed,
    timeout, bad_answer.
    """
    duration_ms: int
    retry_after: float | None = None
    """Seconds to wait, if the receiver requested it."""

    @property
    def is_success(self) -> bool:
        return self.status_code is not None and 200 <= self.status_code < 300


class WebhookSender:
    """One sender for each process."""

    def __init__(
        self,
        *,
        timeout_seconds: float,
        allow_private: bool,
        resolver: AbstractResolver | None = None,
    ) -> None:
        """`allow_private` allows http and private addresses. `resolver` is the system's by
        default.
        """
        self._timeout_seconds = timeout_seconds
        self._allow_private = allow_private
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def check_url(self, url: str) -> None:
        """Raises WebhookUrlRefused for a URL that can never be used. Names are resolved only when
        sending.
        """
        if reason := self._objection(url):
            raise WebhookUrlRefused(reason)

    def _objection(self, url: str) -> str | None:
        if len(url) > MAX_URL_CHARACTERS:
            return f"The URL has more than {MAX_URL_CHARACTERS} characters."
        try:
            parts, target = urlsplit(url), yarl.URL(url)
            port, host = target.port, target.raw_host
        except ValueError:
            return "The URL cannot be read."
        if target.scheme not in (("https", "http") if self._allow_private else ("https",)):
            return "The URL must begin with https://."
        if not host or any(ord(character) <= 32 or ord(character) == 127 for character in url):
            return "The URL has no host, or characters that no URL has."
        if "@" in parts.netloc or "#" in url:
            return "The URL must not hold a user, a password or a fragment."
        if self._allow_private:
            return None
        if port not in (None, 443) and port < FIRST_FREE_PORT:
            return f"The port must be 443, or {FIRST_FREE_PORT} and above."
        # A host that a socket would parse as an address ends in a number; no name does.
        is_number = ":" in host or host.rstrip(".").rpartition(".")[2][:1].isdigit()
        if (is_number and not is_public(host)) or host.lower().rstrip(".") == "localhost":
            return "The address of the URL is not one of the public Internet."
        return None

    async def send(self, url: str, message_id: str, body: str, secrets: Sequence[bytes]) -> Answer:
        """Make one attempt; never raises for anything that the receiver does."""
        if self._objection(url):
            # the settings were different when it was created
            return Answer(None, "address_refused", 0)
        data = body.encode()
        timestamp = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"Granula/{__version__}",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": " ".join(
                signature(secret, message_id, timestamp, data) for secret in secrets
            ),
        }
        begin = time.monotonic()
        status, error, retry_after = None, None, None
        try:
            async with self._client().post(
                url, data=data, headers=headers, allow_redirects=False
            ) as response:
                status = response.status
                retry_after = _retry_after(response.headers.get("Retry-After", ""))
                response.close()  # its body does not matter, and may be endless
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as failure:
            error = _reason(failure)
        return Answer(status, error, round((time.monotonic() - begin) * 1000), retry_after)

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            from app.features.webhooks.resolver import PublicResolver

            resolver = self._resolver or aiohttp.ThreadedResolver()
            connector = aiohttp.TCPConnector(
                resolver=resolver if self._allow_private else PublicResolver(resolver),
                socket_factory=None if self._allow_private else _public_socket,
                use_dns_cache=False,
                # a kept connection would use an address that was resolved earlier
                force_close=True,
                limit=0,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=self._timeout_seconds),
                trust_env=False,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


def signature(secret: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """Return one part of the header `webhook-signature`."""
    signed = b"%b.%d.%b" % (message_id.encode(), timestamp, body)
    return "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()


def _public_socket(info: Any) -> socket.socket:
    """Check the address that is about to be connected to. A URL may contain an address, which needs
    no resolver.
    """
    family, kind, protocol, _, address = info
    if not is_public(address[0]):
        raise AddressRefused
    return socket.socket(family, kind, protocol)


def _reason(error: BaseException) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, AddressRefused):
            return "address_refused"
        cause = getattr(cause, "os_error", None) or cause.__cause__
    for kind, reason in (
        (TimeoutError, "timeout"),
        (aiohttp.ClientConnectorDNSError, "unknown_host"),
        (aiohttp.ClientSSLError, "tls_failed"),
        (aiohttp.InvalidURL, "address_refused"),
        (aiohttp.ClientResponseError, "bad_answer"),
    ):
        if isinstance(error, kind):
            return reason
    return "connection_failed"


def _retry_after(value: str) -> float | None:
    """Return the seconds of a number or a date, at most a day."""
    if value.isascii() and value.isdecimal():
        seconds = float(value[:9])
    else:
        try:
            moment = parsedate_to_datetime(value)
            seconds = (
                moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)
            ).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(seconds, 0.0), MAX_PAUSE_SECONDS)
