"""Parts that chunks write for the file of their job, and their records in the database."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any
from uuid import UUID

from app.destinations.assembly import PartFile
from app.processors.base import Output
from app.sources.places import Outputs


def write_part(
    parts: Outputs, job_id: UUID, stem: str, outputs: Sequence[Output]
) -> dict[str, Any]:
    """Write the part; return for the summary of the chunk: `name` (none if it is empty), `size`,
    `crc32`, and, if values must be unique, `keys`: the counts of each piece of the key file. Raises
    DiskFull.
    """
    size = sum(output.data.size for output in outputs)
    name = f"{stem}.part" if size else None
    crc32 = (
        parts.write(
            job_id, name, size, chain.from_iterable(output.data.blocks() for output in outputs)
        )
        if name
        else 0
    )
    part: dict[str, Any] = {"name": name, "size": size, "crc32": crc32}
    counts = [list(piece) for output in outputs for piece in output.key_counts if piece]
    if counts:
        keys = sum(output.keys.size for output in outputs)
        parts.write(
            job_id,
            f"{stem}.keys",
            keys,
            chain.from_iterable(output.keys.blocks() for output in outputs),
        )
        part |= {"keys": counts, "key_file": f"{stem}.keys"}
    return part


def part_file(summary: dict[str, Any]) -> PartFile:
    part = summary["part"]
    return PartFile(part["name"], part["size"], part["crc32"])
