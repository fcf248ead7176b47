"""Sends webhooks over HTTP: one message to one receiver, signed as in Standard Webhooks, to public
addresses only.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from app import __version__
from app.clients.guarded import objection, open_session, reason_of
from app.errors import WebhookUrlRefused
from app.lazy import LazyModule

if TYPE_CHECKING:
    import aiohttp
    from aiohttp.abc import AbstractResolver
else:
    aiohttp = LazyModule("aiohttp")

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
        if reason := objection(url, allow_private=self._allow_private):
            raise WebhookUrlRefused(reason)

    async def send(self, url: str, message_id: str, body: str, secrets: Sequence[bytes]) -> Answer:
        """Make one attempt; never raises for anything that the receiver does."""
        if objection(url, allow_private=self._allow_private):
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
            error = reason_of(failure)
        return Answer(status, error, round((time.monotonic() - begin) * 1000), retry_after)

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = open_session(
                aiohttp.ClientTimeout(total=self._timeout_seconds),
                allow_private=self._allow_private,
                resolver=self._resolver,
            )
        return self._session


def signature(secret: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """Return one part of the header `webhook-signature`."""
    signed = b"%b.%d.%b" % (message_id.encode(), timestamp, body)
    return "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()


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
