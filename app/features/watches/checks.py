"""The checks of watches: list what is there, compare it with what was seen, and create a job for each
version that is new, once.

The state is in the database. The transaction that creates a job also marks the version, and is
fenced by the lease of the check: a process that dies leaves either both or nothing, and of two
processes one gets through.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.engine import Database
from app.errors import (
    GranulaError,
    InsufficientStorage,
    InternalError,
    LeaseLost,
    NotConfigured,
    ObjectNotFound,
    QuotaExceeded,
    RequestError,
    SourceMissing,
    SourceNotFound,
    SourceReplaced,
    TransientError,
    Unavailable,
)
from app.failpoints import hit
from app.features.job_types.requests import NewJob
from app.features.job_types.service import JobStarter
from app.features.watches import queries as watches
from app.features.watches.queries import NewObject, SeenObject, WatchRow
from app.jobs.file_jobs import SubmittedJob
from app.jobs.objects import as_request_error, printable
from app.sources.base import Sources
from app.sources.remote import Object, Source

logger = logging.getLogger(__name__)
POLL_SECONDS = 1.0
LEASE_SECONDS, HEARTBEAT_SECONDS = 10.0, 3.0
AT_ONCE = 4
"""Checks at the same time in one process."""
BATCH = 500
"""Objects that are compared at once."""
MAX_UNAVAILABLE = 3
"""Objects in a row that cannot be read now until the check ends: the source itself does not answer."""
SHORTEST_WAIT_SECONDS = 1.0
MAX_BACKOFF_SECONDS = 3600.0


@dataclass(slots=True)
class _Progress:
    """What a check has done so far."""

    began: float
    objects: int = 0
    jobs: int = 0
    failed: int = 0
    unavailable: int = 0
    """Objects in a row that could not be read now."""

    def outcome(self, error: GranulaError | None = None) -> dict[str, Any]:
        body: dict[str, Any] = {
            "outcome": "checked" if error is None else "failed",
            "objects": self.objects,
            "jobs": self.jobs,
            "failed": self.failed,
            "seconds": round(time.monotonic() - self.began, 3),
        }
        return body if error is None else body | _error(error)


class WatchChecks:
    def __init__(self, database: Database, sources: Sources, starter: JobStarter) -> None:
        self._database = database
        self._sources = sources
        self._starter = starter
        self._checks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Check what is due, until cancelled."""
        try:
            while True:
                try:
                    await self.begin_due()
                except TransientError as error:
                    logger.warning("Watches are waiting: %s", error)
                except Exception:
                    logger.exception("Unhandled error in watches")
                await asyncio.sleep(POLL_SECONDS)
        finally:
            await self._cancel()

    async def _cancel(self) -> None:
        for check in self._checks:
            check.cancel()
        if self._checks:
            await asyncio.wait(set(self._checks))

    async def begin_due(self) -> None:
        """Begin the checks that are due, as many as this process may do at the same time."""
        while len(self._checks) < AT_ONCE:
            token = uuid4()
            row = await self._database.transact(
                lambda c, token=token: watches.claim(c, token, LEASE_SECONDS)  # type: ignore[misc]
            )
            if row is None:
                return
            check = asyncio.create_task(self._check(row, token), name=f"watch {row.id}")
            self._checks.add(check)
            check.add_done_callback(self._ended)

    def _ended(self, check: asyncio.Task[None]) -> None:
        self._checks.discard(check)
        if not check.cancelled() and (error := check.exception()) is not None:
            logger.error("A check of a watch failed; retrying later", exc_info=error)

    async def _check(self, row: WatchRow, token: UUID) -> None:
        """Make one check under the lease `token`, and store its outcome."""
        progress = _Progress(time.monotonic())
        error: GranulaError | None = None
        try:
            async with self._leased(row, token):
                await self._compare(row, token, progress)
        except LeaseLost:
            logger.warning("Watch %s: another process continues this check", row.id)
            return
        except asyncio.CancelledError:
            with suppress(GranulaError):
                await self._database.transact(lambda c: watches.release(c, row.id, token))
            raise
        except GranulaError as failure:
            error = failure
            logger.warning("Watch %s: %s", row.id, failure.detail)
        except Exception:
            logger.exception("Unhandled error in watch %s", row.id)
            error = InternalError()
        failures = 0 if error is None else row.failures + 1
        wait_seconds = await self._wait_seconds(row, failures)
        await self._database.transact(
            lambda c: watches.end_check(
                c,
                row.id,
                token,
                progress.outcome(error),
                wait_seconds=wait_seconds,
                failures=failures,
            )
        )

    async def _wait_seconds(self, row: WatchRow, failures: int) -> float:
        """Return the seconds until the next check."""
        if failures:
            longest = max(row.every_seconds, MAX_BACKOFF_SECONDS)
            return float(min(row.every_seconds * 2 ** min(failures, 20), longest))
        async with self._database.reading() as connection:
            waiting = await watches.count_waiting(connection, row.id)
        if not waiting or not row.settle_seconds:
            return row.every_seconds
        return min(row.every_seconds, max(row.settle_seconds, SHORTEST_WAIT_SECONDS))

    @asynccontextmanager
    async def _leased(self, row: WatchRow, token: UUID) -> AsyncIterator[None]:
        """Renew the lease during the block; raises LeaseLost into it once it is lost."""
        checking = asyncio.current_task()
        assert checking is not None
        is_lost = False

        async def renew() -> None:
            nonlocal is_lost
            while True:
                await asyncio.sleep(HEARTBEAT_SECONDS)
                with suppress(TransientError):
                    if not await self._database.transact(
                        lambda c: watches.renew(c, row.id, token, LEASE_SECONDS)
                    ):
                        is_lost = True
                        checking.cancel()
                        return

        renewing = asyncio.create_task(renew(), name=f"lease of watch {row.id}")
        try:
            yield
        except asyncio.CancelledError:
            if not is_lost:
                raise
            checking.uncancel()
            raise LeaseLost from None
        finally:
            renewing.cancel()

    # ------------------------------------------------------------------ one check

    async def _compare(self, row: WatchRow, token: UUID, progress: _Progress) -> None:
        """Raises LeaseLost, RequestError, TransientError."""
        job = NewJob.model_validate(row.job)
        source = self._sources.of(row.source)
        source.check_configured()
        async with self._database.reading() as connection:
            began_at = await watches.database_time(connection)
        with _closing(_listing(source, row.source)) as listing:
            while objects := await as_request_error(asyncio.to_thread(_batch, listing)):
                progress.objects += len(objects)
                await self._compare_batch(row, token, job, objects, progress)
        await self._database.transact(lambda c: watches.drop_vanished(c, row.id, began_at))

    async def _compare_batch(
        self,
        row: WatchRow,
        token: UUID,
        job: NewJob,
        objects: Sequence[Object],
        progress: _Progress,
    ) -> None:
        by_key = {_version_key(object_): object_ for object_ in objects}
        seen = await self._seen(row, token, by_key)
        waiting = [version for version in seen if version.status == "waiting"]
        if waiting:
            numbers = [version.number for version in waiting]
            await self._database.transact(lambda c: watches.touch(c, numbers))
        for version in waiting:
            if version.is_due:
                await self._start(row, token, job, version, by_key[version.version_key], progress)

    async def _seen(
        self, row: WatchRow, token: UUID, by_key: dict[bytes, Object]
    ) -> list[SeenObject]:
        """Return all of these versions as the database knows them, after adding those that are
        new. Raises LeaseLost.
        """
        keys = list(by_key)
        async with self._database.reading() as connection:
            seen = await watches.find_seen(connection, row, keys)
        known = {version.version_key for version in seen}
        new = [
            NewObject(
                watch_id=row.id,
                uri=printable(object_.uri),
                version_key=key,
                size_bytes=object_.size,
                etag=object_.etag[:300],
            )
            for key, object_ in by_key.items()
            if key not in known
        ]
        if not new:
            return seen

        async def add(connection: AsyncConnection) -> list[SeenObject]:
            if not await watches.renew(connection, row.id, token, LEASE_SECONDS):
                raise LeaseLost
            await watches.insert_objects(connection, new)
            return await watches.find_seen(connection, row, keys)

        seen = await self._database.transact(add)
        hit("watch.seen")
        return seen

    async def _start(
        self,
        row: WatchRow,
        token: UUID,
        job: NewJob,
        version: SeenObject,
        object_: Object,
        progress: _Progress,
    ) -> None:
        """Create the job of one version. What only waiting can mend is tried again later, all else
        fails the version. Raises LeaseLost, and what would also stop all others.
        """

        async def take(connection: AsyncConnection, submitted: SubmittedJob) -> None:
            number, job_id = version.number, submitted.job_id
            if not await watches.take(connection, row.id, token, number, job_id):
                raise LeaseLost
            hit("watch.before_commit")

        of_object = job.model_copy(update={"source": object_.uri})
        try:
            await self._starter.start(
                row.owner, of_object, fresh=True, recorded=take, pinned=object_
            )
        except (TransientError, QuotaExceeded, InsufficientStorage, NotConfigured):
            raise
        except (SourceReplaced, SourceMissing, ObjectNotFound):
            return  # there is another version, or none: the next listing shows it
        except Unavailable as error:
            progress.unavailable += 1
            await self._postpone(row, version, error)
            if progress.unavailable >= MAX_UNAVAILABLE:
                raise
        except RequestError as error:
            progress.failed += 1
            await self._fail(version, error)
        else:
            progress.jobs += 1
            progress.unavailable = 0
            hit("watch.after_commit")

    async def _postpone(self, row: WatchRow, version: SeenObject, error: GranulaError) -> None:
        wait_seconds = row.every_seconds * 2 ** min(version.attempts, 20)
        wait_seconds = min(wait_seconds, MAX_BACKOFF_SECONDS)
        why = _error(error)
        await self._database.transact(
            lambda c: watches.postpone(c, version.number, why, wait_seconds)
        )

    async def _fail(self, version: SeenObject, error: GranulaError) -> None:
        why = _error(error)
        await self._database.transact(lambda c: watches.fail(c, version.number, why))


@contextmanager
def _closing(listing: Generator[Object, None, None]) -> Iterator[Iterator[Object]]:
    try:
        yield listing
    finally:
        with suppress(ValueError):  # a cancelled check leaves it to a thread that still lists
            listing.close()


def _listing(source: Source, uri: str) -> Generator[Object, None, None]:
    """Yield what the URI stands for now. Blocking."""
    try:
        single = source.single(uri)
    except (SourceNotFound, SourceMissing):
        return  # it may come
    if single is not None:
        yield single
        return
    yield from source.matching(uri)


def _batch(listing: Iterator[Object]) -> list[Object]:
    return list(islice(listing, BATCH))


def _version_key(object_: Object) -> bytes:
    """Return the same for the same version of the same object."""
    same = f"{object_.etag}\0{object_.size}\0{object_.uri}"
    return hashlib.sha256(same.encode("utf-8", "surrogateescape")).digest()


def _error(error: GranulaError) -> dict[str, Any]:
    return {"code": getattr(error, "code", "unavailable"), "message": error.detail[:500]}
