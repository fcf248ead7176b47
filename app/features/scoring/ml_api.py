"""The client of the model service: sends transactions, and returns a prediction or a refusal for
each, whatever the service does.

`POST {ML_API_URL}/predict` takes `{"transactions": [{"id": "1", ...}, ...]}` and returns
`{"model_version": "...", "predictions": [{"id": "1", "prediction": "fraud", "fraud_score": 0.97},
...]}`, in any order.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import random
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from app.errors import MLApiMisconfigured, MLApiUnavailable, NotConfigured
from app.failpoints import hit
from app.features.scoring.answers import Answer, Prediction, Refusal
from app.features.scoring.limit import AdaptiveLimit, CircuitBreaker
from app.lazy import LazyModule

if TYPE_CHECKING:
    import aiohttp
else:
    aiohttp = LazyModule("aiohttp")

logger = logging.getLogger(__name__)
MAX_ANSWER_BYTES = 10 << 20
MAX_PAUSE_SECONDS = 300.0
LONG_PAUSE_SECONDS = 5.0
"""For a longer pause, the chunk is given back and its job shows the reason."""
BASE_DELAY_SECONDS, MAX_DELAY_SECONDS = 0.1, 5.0
ATTEMPTS = 4
REMEMBERED_BATCHES = 500


class Item(msgspec.Struct, frozen=True, gc=False):
    """A transaction to send. `id` is unique within a call and is returned with the prediction."""

    id: str
    body: bytes
    """A JSON object with the member `id`."""


class _Predicted(msgspec.Struct, gc=False):
    id: str | int
    prediction: str | int | bool
    fraud_score: float


class _Body(msgspec.Struct):
    predictions: list[_Predicted]
    model_version: str = ""


_decoder = msgspec.json.Decoder(_Body)


class _Busy(Exception):
    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds


class _Refused(Exception):
    """The content of the batch was rejected: a retry would not help."""


class _Failed(Exception):
    def __init__(self, code: str, reason: str, *, overloaded: bool = False) -> None:
        super().__init__(reason)
        self.code = code
        self.overloaded = overloaded


class MLApi:
    """One client for each process. All jobs share its limit, so that the service never gets more
    than `max_workers` concurrent calls.
    """

    def __init__(
        self, url: str, *, batch_size: int, max_workers: int, timeout_seconds: float
    ) -> None:
        self.url = url.rstrip("/")
        self._batch_size = batch_size
        self._timeout_seconds = timeout_seconds
        self._max_workers = max_workers
        self.limit = AdaptiveLimit(max_workers)
        self._breaker = CircuitBreaker()
        self._busy_in_a_row = 0
        self._client: aiohttp.ClientSession | None = None
        self._remembered: OrderedDict[str, list[Answer]] = OrderedDict()

    def check_configured(self) -> None:
        """Raises NotConfigured."""
        if not self.url:
            raise NotConfigured("No model service is configured: set ML_API_URL.")

    def check_available(self) -> None:
        """Raises MLApiUnavailable if a call would not be made now, before work is done for it.
        Returns once when the next probe is due; that caller should make a call.
        """
        if (seconds := self._breaker.seconds_until_probe()) > 0:
            raise self._away(seconds)
        if (seconds := self.limit.seconds_paused) > LONG_PAUSE_SECONDS:
            raise MLApiUnavailable(
                f"The model service asked for a pause of {seconds:.0f} s more.", retry_after=seconds
            )

    def _away(self, seconds: float) -> MLApiUnavailable:
        return MLApiUnavailable(
            f"The model service {self.url} does not answer.", retry_after=seconds
        )

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def score(self, job_id: str, items: Sequence[Item]) -> list[Answer]:
        """Return an answer for each item, in order.

        Raises MLApiUnavailable if the service does not respond or asks for a long pause (a retry
        may succeed, and batches answered by now are not sent again); MLApiMisconfigured if it can
        never answer these calls.
        """
        self.check_configured()
        size = self._batch_size
        batches = [items[start : start + size] for start in range(0, len(items), size)]
        answers: list[list[Answer]] = []
        while self._breaker.is_open and len(answers) < len(batches):
            # Sequential: callers that are rejected would take the probe down with them.
            answers.append(await self._batch(job_id, batches[len(answers)]))
        answers += await self._all_or_first_error(job_id, batches[len(answers) :])
        return [answer for batch in answers for answer in batch]

    async def _all_or_first_error(
        self, job_id: str, batches: Sequence[Sequence[Item]]
    ) -> list[list[Answer]]:
        """Return all answers. Raises the first error once none of the calls is running any more."""
        tasks: list[asyncio.Task[list[Answer]]] = []
        try:
            for batch in batches:
                tasks.append(asyncio.create_task(self._batch(job_id, batch)))
                # answers to other batches need not wait for all bodies
                await asyncio.sleep(0)
            if tasks:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled() and (error := task.exception()):
                raise error
        return [task.result() for task in tasks]

    # ------------------------------------------------------------------ a batch

    async def _batch(self, job_id: str, items: Sequence[Item]) -> list[Answer]:
        """Send a batch. If its content is rejected, halve it until the rows at fault are
        isolated.
        """
        try:
            return await self._ask(job_id, items)
        except _Refused as error:
            return await self._halve(job_id, items, Refusal("ml_refused", str(error)))
        except _Failed as error:
            return await self._halve(job_id, items, Refusal(error.code, str(error)))

    async def _halve(self, job_id: str, items: Sequence[Item], why: Refusal) -> list[Answer]:
        if len(items) == 1:
            return [why]
        middle = len(items) // 2
        first = await self._batch(job_id, items[:middle])
        second = items[middle:]
        if len(second) > 1 and not any(isinstance(answer, Refusal) for answer in first):
            return first + await self._halve(
                job_id, second, why
            )  # the cause must be in this half: no need to send the whole
        return first + await self._batch(job_id, second)

    async def _ask(self, job_id: str, items: Sequence[Item]) -> list[Answer]:
        body = b'{"transactions":[' + b",".join(item.body for item in items) + b"]}"
        key = hashlib.sha256(job_id.encode() + body).hexdigest()[:40]
        if (known := self._remembered.get(key)) is not None:
            return known
        attempt = 0
        while True:
            try:
                answers = await self._call(body, key, items)
            except _Busy as busy:
                await self._wait_as_told(busy)
            except _Failed:
                attempt += 1
                if attempt == ATTEMPTS:
                    raise
                await asyncio.sleep(_jittered(attempt))
            else:
                self._remembered[key] = answers
                if len(self._remembered) > REMEMBERED_BATCHES:
                    self._remembered.popitem(last=False)
                return answers

    async def _wait_as_told(self, busy: _Busy) -> None:
        """Wait as a 429 requests. It is not a failure: it costs no attempt, and all calls wait."""
        self._busy_in_a_row += 1
        seconds = (
            _jittered(self._busy_in_a_row)
            if busy.seconds is None
            else min(busy.seconds, MAX_PAUSE_SECONDS)
        )
        self.limit.pause(seconds)
        if seconds > LONG_PAUSE_SECONDS:
            raise MLApiUnavailable(
                f"The model service asked for a pause of {seconds:.0f} s.", retry_after=seconds
            )

    async def _call(self, body: bytes, key: str, items: Sequence[Item]) -> list[Answer]:
        async with self.limit.slot() as began:
            if (seconds := self._breaker.seconds_closed_to_all()) > 0:
                raise self._away(seconds)
            try:
                content, latency_ms = await self._post(body, key)
            except _Busy:
                self._breaker.succeeded()  # the service is alive
                self.limit.overloaded(began)
                raise
            except _Refused:
                self._breaker.succeeded()
                raise
            except _Failed as error:
                if error.overloaded:
                    self.limit.overloaded(began)
                self._failed(error)
                raise
        # the next call sends first: this answer can be decoded while that one is waiting
        await asyncio.sleep(0)
        try:
            answers = _matched(content, items, latency_ms)
        except _Failed as error:
            self._failed(error)
            raise
        self._breaker.succeeded()
        self.limit.succeeded()
        self._busy_in_a_row = 0
        hit("ml.after_response")
        return answers

    def _failed(self, error: _Failed) -> None:
        if self._breaker.failed() or self._breaker.failures == 1:
            logger.warning("Failed to get predictions: %s (%s)", error, self.url)

    # ------------------------------------------------------------------ one request

    async def _post(self, body: bytes, key: str) -> tuple[bytes, float]:
        """Send one request; return (content, duration in milliseconds)."""
        start = time.perf_counter()
        try:
            # covers the whole call, however slowly it responds
            async with asyncio.timeout(self._timeout_seconds):
                status, headers, content = await self._exchange(body, key)
        except TimeoutError:
            raise _Failed(
                "ml_timeout", f"No answer within {self._timeout_seconds:g} s", overloaded=True
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            raise _Failed("ml_unreachable", _reason(error)) from error
        latency_ms = (time.perf_counter() - start) * 1000
        if status == 200:
            return content, latency_ms
        raise self._unwelcome(status, headers, content)

    async def _exchange(self, body: bytes, key: str) -> tuple[int, Mapping[str, str], bytes]:
        if self._client is None:
            # aiohttp instead of httpx, which takes ten times the CPU for each call, on the event
            # loop.
            self._client = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._max_workers),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),  # the caller's timeout applies
            )
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        async with self._client.post(
            f"{self.url}/predict", data=body, headers=headers, allow_redirects=False
        ) as response:
            content = bytearray()
            async for piece in response.content.iter_any():
                content += piece
                if len(content) > MAX_ANSWER_BYTES:
                    # the rest is not worth reading, even to reuse the connection
                    response.close()
                    raise _Failed(
                        "ml_bad_response", f"The answer is longer than {MAX_ANSWER_BYTES} bytes"
                    )
            return response.status, response.headers, bytes(content)

    def _unwelcome(self, status: int, headers: Mapping[str, str], content: bytes) -> Exception:
        if status == 429 or (status == 503 and "Retry-After" in headers):
            return _Busy(_retry_after(headers.get("Retry-After")))
        text = content[:200].decode("utf-8", "replace")
        if status in (400, 413, 422):
            return _Refused(f"The model service answered {status}: {text}")
        if status >= 500 or status == 408:
            return _Failed("ml_error", f"The model service answered {status}")
        return MLApiMisconfigured(
            f"{self.url}/predict answered {status}. Check ML_API_URL and its access rules."
        )


def _matched(content: bytes, items: Sequence[Item], latency_ms: float) -> list[Answer]:
    """Match the answers by id, never by order."""
    try:
        body = _decoder.decode(content)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise _Failed("ml_bad_response", f"The answer cannot be read: {str(error)[:200]}") from None
    ordered = body.predictions
    if [p.id for p in ordered] != [item.id for item in items]:
        by_id = {str(p.id): p for p in ordered}
        if len(ordered) != len(items) or any(item.id not in by_id for item in items):
            raise _Failed(
                "ml_bad_response",
                f"{len(items)} transactions were sent, but the predictions are for {len(by_id)} "
                "or other ids",
            )
        ordered = [by_id[item.id] for item in items]
    for score in (min(p.fraud_score for p in ordered), max(p.fraud_score for p in ordered)):
        if not 0 <= score <= 1:
            raise _Failed("ml_bad_response", f"A fraud_score is {score}, not between 0 and 1")
    version, latency_ms = body.model_version[:100].replace("\0", ""), round(latency_ms, 3)
    return [Prediction(_label(p.prediction), p.fraud_score, version, latency_ms) for p in ordered]


@lru_cache(1000, typed=True)
def _label(value: str | int | bool) -> str:
    return str(int(value) if isinstance(value, bool) else value)[:40].replace("\0", "")


def _jittered(attempt: int) -> float:
    return random.uniform(0, min(MAX_DELAY_SECONDS, BASE_DELAY_SECONDS * 2 ** min(attempt, 16)))


def _retry_after(value: str | None) -> float | None:
    """Return the seconds of a number or a date; None if the header is unusable."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (
                parsedate_to_datetime(value).astimezone(UTC) - datetime.now(UTC)
            ).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
    return seconds if 0 <= seconds < float("inf") else None


def _reason(error: BaseException) -> str:
    """Return the operating system's message if there is one: `Connection refused` says more than
    `All attempts failed`.
    """
    pending: list[BaseException] = [error]
    while pending:
        cause = pending.pop()
        if isinstance(cause, OSError) and cause.errno and cause.strerror:
            return os.strerror(cause.errno)
        if isinstance(cause, BaseExceptionGroup):
            pending += cause.exceptions
        pending += [c for c in (cause.__cause__, cause.__context__) if c is not None]
    return f"{type(error).__name__}: {error}"[:200]
