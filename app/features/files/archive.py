"""A zip archive of everything that belongs to a job, written while it is sent. Its index is at its end,
so an archive that breaks off cannot be opened.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.db.engine import Database
from app.destinations.registry import Destinations
from app.errors import NotFound, StoredBytesGone
from app.features.files import downloads, exports
from app.features.files.drain import Archive, Drain
from app.features.jobs import proof
from app.jobs.progress import Statuses
from app.sources.base import Sources

COMPRESSION = 3
COMPRESSED = ("parquet", "arrow", "xlsx")
LARGE_BYTES = 1 << 30
"""Estimated size of a file beyond which the archive uses the fields for large files: some readers do
not know them.
"""
KEY_BYTES = 8
"""Bytes of JSON Lines for each cell besides its column's name and value."""


@dataclass(frozen=True, slots=True)
class Member:
    name: str
    pieces: AsyncIterator[bytes]
    size: int
    """Estimated bytes."""
    is_compressed: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request asks for."""

    identifier: UUID
    owner: str
    format: str
    """Format of results and rejects."""
    formula_guard: bool


class Archives:
    """Makes archives of jobs."""

    def __init__(
        self,
        database: Database,
        destinations: Destinations,
        sources: Sources,
        statuses: Statuses,
    ) -> None:
        self._database = database
        self._destinations = destinations
        self._sources = sources
        self._statuses = statuses

    async def pieces(self, export: exports.Export, wanted: Wanted) -> AsyncIterator[bytes]:
        """Yield the archive: results, rejects, the stored file, the output of a transform, status,
        proof, and `contents.json` with size and hash of each and what is left out.

        Raises the errors of a download of results; those before the first piece are answered.
        """
        out = Drain()
        contents: list[dict[str, Any]] = []
        left_out: list[dict[str, str]] = []
        archive = Archive(out, "w", zipfile.ZIP_DEFLATED, compresslevel=COMPRESSION)
        async for member in self._members(export, wanted, left_out):
            sha256, size = hashlib.sha256(), 0
            info = zipfile.ZipInfo(member.name, export.job.created_at.timetuple()[:6])
            info.compress_type = (
                zipfile.ZIP_STORED if member.is_compressed else zipfile.ZIP_DEFLATED
            )
            entry = archive.open(info, "w", force_zip64=member.size > LARGE_BYTES)
            async for piece in member.pieces:
                await asyncio.to_thread(_write, entry, sha256, piece)
                size += len(piece)
                if data := out.take():
                    yield data
            await asyncio.to_thread(entry.close)
            contents.append({"name": member.name, "bytes": size, "sha256": sha256.hexdigest()})
        summary = {
            "job_id": str(export.job.id),
            "complete": export.is_complete and not left_out,
            "files": contents,
            "left_out": left_out,
        }
        archive.writestr("contents.json", _json(summary))
        archive.close()
        yield out.take()

    async def _members(
        self, export: exports.Export, wanted: Wanted, left_out: list[dict[str, str]]
    ) -> AsyncIterator[Member]:
        job, format = export.job, wanted.format
        columns = await exports.columns_of(self._database, export, format)
        size = _text_size(export, columns)
        is_compressed = format in COMPRESSED
        if job.stores_results:
            results = exports.result_bytes(
                self._database,
                export,
                columns,
                format=format,
                gzip=False,
                formula_guard=wanted.formula_guard,
            )
            yield Member(f"results.{format}", results, size, is_compressed)
        rejects = exports.reject_bytes(
            self._database,
            self._sources,
            export,
            format=format,
            formula_guard=wanted.formula_guard,
        )
        yield Member(f"rejects.{format}", rejects, size, is_compressed)
        for folder, file_id in (("original", job.file_id), ("output", job.result_file_id)):
            if file_id is None:
                continue
            try:
                file = await downloads.find(self._database, self._sources, file_id, wanted.owner)
            except (NotFound, StoredBytesGone) as error:
                left_out.append({"name": folder, "why": error.detail})
                continue
            name = f"{folder}/{_safe(file.filename)}"
            yield Member(name, _blocks(file.open), file.size)
        status = await self._statuses.get(wanted.identifier, wanted.owner)
        yield Member("status.json", _whole(_json(status)), 0)
        proved = await proof.prove(
            self._database, self._destinations, wanted.identifier, wanted.owner
        )
        yield Member("proof.json", _whole(_json(proved)), 0)


def _write(entry: Any, sha256: Any, piece: bytes) -> None:
    entry.write(piece)
    sha256.update(piece)


def _text_size(export: exports.Export, columns: Any) -> int:
    """Return about how many bytes the rows have as JSON Lines."""
    of_row = sum(len(column) + KEY_BYTES for column in columns)
    return (export.results + export.rejects) * of_row + 2 * export.job.stored_bytes


def _safe(filename: str) -> str:
    """Return a name that stays in its folder wherever the archive is unpacked."""
    return "".join("_" if c in "/\\:\0" or c < " " else c for c in filename).lstrip(".") or "file"


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=2, default=str).encode()


async def _whole(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def _blocks(open_file: Callable[[], Any]) -> AsyncIterator[bytes]:
    file = await asyncio.to_thread(open_file)
    try:
        blocks: Iterator[bytes] = iter(lambda: file.read(downloads.BLOCK_BYTES), b"")
        while block := await asyncio.to_thread(next, blocks, b""):
            yield block
    finally:
        await asyncio.to_thread(file.close)
