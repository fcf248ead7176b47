"""VectorService: computes the vectors of valid records in the background, some hundred records at a
time.

The tasks are in `vector_tasks`, written in the transaction of the records themselves. A task and
its vectors are committed together, so that a crash costs only the vectors in progress.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.engine import Database
from app.destinations.registry import Destinations
from app.embeddings.model import Embedder
from app.errors import ModelUnavailable, TransientError
from app.failpoints import hit
from app.features.imports import halfvecs, words
from app.features.imports import queries as records
from app.features.imports.queries import TaskRow
from app.schemas.base import RecordSchema

logger = logging.getLogger(__name__)
IDLE_SECONDS = 0.5
BACKFILL_ROWS = 1_000
TASKS_LOOKED_AT = 16
"""Number of tasks to read, to get one that no other process works on."""
KEPT_QUERIES = 512
"""Number of cached vectors of queries, of 1.5 KiB each: for pages of one search, and for common
searches.
"""


class VectorService:
    def __init__(
        self,
        database: Database,
        destinations: Destinations,
        embedder: Embedder,
        schemas: dict[str, type[RecordSchema]],
        *,
        is_shared: bool = False,
    ) -> None:
        """`schemas` are those with something to embed, by the name of their processor. `is_shared`:
        other processes work on the same tasks.
        """
        self._is_shared = is_shared
        self._database = database
        self._vectors = destinations.tables["record_vectors"]
        self._schemas = schemas
        self.embedder = embedder
        # One thread for the records, since the model itself uses every core, and others for the
        # queries, which must not queue behind a thousand records.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embed")
        self._query_threads = ThreadPoolExecutor(
            os.cpu_count() or 1, thread_name_prefix="embed-query"
        )
        self._queries: OrderedDict[str, Any] = OrderedDict()
        self._has_halfvecs: bool | None = False if database.is_sqlite else None
        self._has_trigrams = not database.is_sqlite
        """Whether PostgreSQL may have pg_trgm; False once it has refused it."""
        self._preparing = asyncio.Lock()
        self._is_index_tended = False

    async def has_halfvecs(self) -> bool:
        """Return whether this database has pgvector. It is set up at the first call: at the first
        vector or search.
        """
        if self._has_halfvecs is None:
            async with self._preparing:
                if self._has_halfvecs is None:
                    self._has_halfvecs = await self._prepare_halfvecs()
        return self._has_halfvecs

    async def _prepare_halfvecs(self) -> bool:
        try:
            async with self._database.working() as connection:
                if await halfvecs.is_prepared(connection):
                    return True
            await self._database.transact(halfvecs.prepare)
        except DBAPIError as error:
            async with self._database.working() as connection:
                if await halfvecs.is_prepared(connection):  # another process was faster
                    return True
            logger.info(
                "pgvector is not available, so searches by meaning are slower: %s",
                str(error.orig).partition("\n")[0],
            )
            return False
        return True

    async def prepare(self) -> None:
        """Retry at the start what could not be embedded, since a missing model may be there now."""
        await self._database.transact(records.forget_vectors_errors)
        async with self._database.working() as connection:
            self._is_index_tended = not await records.has_vectors(connection)

    async def run(self) -> None:
        while True:
            if await self.run_once():
                self._is_index_tended = False
            elif not self._is_index_tended:
                self._is_index_tended = not await self._tend_index()
            else:
                await asyncio.sleep(IDLE_SECONDS)

    async def run_once(self) -> bool:
        """Do the next task; return False if none is left."""
        async with self._database.working() as connection:
            tasks = await records.next_tasks(connection, TASKS_LOOKED_AT if self._is_shared else 1)
        for task in tasks:
            if not self._is_shared:
                return await self._do(task)
            async with self._database.alone(f"vectors {task.job_id} {task.first_row}") as is_mine:
                if is_mine:
                    return await self._do(task)
        return False

    async def _do(self, task: TaskRow) -> bool:
        try:
            await self._embed(task)
        except ModelUnavailable as error:
            logger.error(
                "Could not compute vectors for the records of job %s: %s", task.job_id, error.detail
            )
            await self._give_up(task.job_id, {"code": error.code, "message": error.detail})
        except TransientError:
            raise
        except Exception as error:
            logger.exception("Could not compute vectors for the records of job %s", task.job_id)
            message = f"{type(error).__name__}: {error}"[:500]
            await self._give_up(task.job_id, {"code": "embedding_failed", "message": message})
        return True

    async def _give_up(self, job_id: UUID, error: dict[str, Any]) -> None:
        """Give up this job alone, until the next start."""
        await self._database.transact(lambda c: records.set_vectors_error(c, job_id, error))

    async def encode_query(self, text: str) -> Any:
        """Return the vector, (384,) float32, computed off the loop; raises ModelUnavailable."""
        if (cached := self._queries.get(text)) is not None:
            self._queries.move_to_end(text)
            return cached
        loop = asyncio.get_running_loop()
        vector = await loop.run_in_executor(self._query_threads, self.embedder.encode_query, text)
        self._queries[text] = vector
        while len(self._queries) > KEPT_QUERIES:
            self._queries.popitem(last=False)
        return vector

    async def _encode(self, texts: Sequence[str]) -> Any:
        """Return vectors, (len(texts), 384) float32."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self.embedder.encode, texts)

    async def _embed(self, task: TaskRow) -> None:
        job_id, schema = task.job_id, self._schemas[task.processor]
        between = task.first_row, task.last_row
        model, precision = self.embedder.model_id, self.embedder.precision
        async with self._database.working() as connection:
            valid = await records.valid_records(connection, job_id, *between)
            # Records with a vector got it before a correction.
            done = await records.rows_with_vectors(connection, job_id, *between)
            missing = [(number, data) for number, data in valid if number not in done]
            texts = [schema.text_of(data) for _, data in missing]
            hashes = [_hash_of(text) for text in texts]
            vectors = await records.known_vectors(
                connection,
                task.owner,
                dict.fromkeys(hashes),
                model,
                precision,
            )
        new = {
            text_hash: text
            for text_hash, text in zip(hashes, texts, strict=True)
            if text_hash not in vectors
        }
        if new:
            encoded = np.asarray(await self._encode(list(new.values())), "<f4")
            for text_hash, vector in zip(new, encoded, strict=True):
                vectors[text_hash] = vector.tobytes()
        hit("vectors.encoded")
        rows = [
            (number, model, precision, text_hash, vectors[text_hash])
            for (number, _), text_hash in zip(missing, hashes, strict=True)
        ]
        has_halfvecs = await self.has_halfvecs()

        async def write(connection: AsyncConnection) -> None:
            if not await records.finish_task(connection, task):
                return  # deleted, done by another process, or replaced by a correction
            if rows:
                await self._vectors.write(connection, job_id, rows)
            await words.add(connection, task)
            if has_halfvecs:
                numbers, with_vectors = [row[0] for row in rows], [row[4] for row in rows]
                await halfvecs.insert(connection, job_id, numbers, with_vectors)
            hit("vectors.before_commit")

        await self._database.transact(write)
        hit("vectors.after_commit")

    async def _tend_index(self) -> bool:
        """Take a step for the indexes when there is no other work: the index of the words, vectors
        from before pgvector, and their index once there are enough. Return True if there may be
        more.
        """
        if self._has_trigrams:
            await self._index_words()
        if not await self.has_halfvecs():
            return False
        async with self._database.working() as connection:
            missing = await halfvecs.missing(connection, BACKFILL_ROWS)
            wants_index = not missing and await halfvecs.wants_index(connection)
        for job_id in {job_id for job_id, _, _ in missing}:
            rows = [(row, vector) for owner, row, vector in missing if owner == job_id]
            await self._database.transact(
                lambda c, j=job_id, r=rows: halfvecs.insert(
                    c, j, [row for row, _ in r], [v for _, v in r]
                )  # type: ignore[misc]
            )
        if wants_index:
            async with self._database.working_singly() as connection:
                # may take hours, so a shutdown must be able to cancel it
                await halfvecs.build_index(connection)
        return bool(missing)

    async def _index_words(self) -> None:
        async with self._database.working() as connection:
            if not await words.wants_index(connection):
                return
        try:
            await self._database.transact(words.prepare)
        except DBAPIError as error:
            logger.info(
                "pg_trgm is not available, so searches by text and meaning are slower: %s",
                str(error.orig).partition("\n")[0],
            )
            self._has_trigrams = False
            return
        async with self._database.working_singly() as connection:
            await words.build_index(connection)

    def close(self) -> None:
        for thread in (self._thread, self._query_threads):
            thread.shutdown(wait=False, cancel_futures=True)


def _hash_of(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
