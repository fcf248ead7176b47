"""The decoder of Parquet, Arrow and ORC: takes the whole file, and has it read by a process with limits."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from app import extras
from app.decoders.base import Kind, Wanted
from app.decoders.process import ProcessDecoder
from app.errors import (
    BadHeader,
    CorruptDataFile,
    DataFileTooLarge,
    EncryptedDataFile,
    NotConfigured,
    RequestError,
)

PROGRAM = ("-m", "app.decoders.columnar")
MAX_RATIO = 10_000
"""Canonical bytes for each of the file: JSON Lines repeat the names of all columns in each row, and a
column of equal values takes almost no bytes.
"""
CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")
STREAM = re.compile(rb"\xff{4}[\x00-\xff]{3}[\x00-\x0f][\x08-\x40]\x00\x00\x00")
"""Beginning of an Arrow stream: a mark, the size of the schema, and the offset of its root table."""


class ColumnarDecoder(ProcessDecoder):
    # The allocator of pyarrow reserves more address space than the limit.
    ENVIRONMENT: ClassVar[Mapping[str, str]] = {"ARROW_DEFAULT_MEMORY_POOL": "system"}

    def program(self, wanted: Wanted) -> tuple[Sequence[str], Sequence[str]]:
        if not extras.is_installed("analysis"):
            raise NotConfigured(
                "Parquet, Arrow and ORC need packages that are not installed:"
                f" {extras.how_to_install('analysis')}."
            )
        return PROGRAM, ()

    def too_large(self, detail: str) -> RequestError:
        return DataFileTooLarge(detail)

    def refusal(self, code: str, detail: str) -> RequestError:
        match code:
            case "encrypted":
                return EncryptedDataFile()
            case "bad_columns":
                return BadHeader(f"The file cannot be read: {detail}.")
            case _:
                return CorruptDataFile(f"The file is damaged: {detail}.")

    def read_as(self, facts: dict[str, Any]) -> dict[str, Any]:
        """JSON Lines, or an empty array for a table without rows."""
        return {"format": "jsonl" if facts["rows"] else "json", "encoding": "utf-8"}


def _begins_with(*magic: bytes) -> Callable[[bytes], bool]:
    """Return a test whether a file begins so and is no text."""
    return lambda start: start.startswith(magic) and CONTROL.search(start) is not None


def _kind(name: str, recognises: Callable[[bytes], bool], *endings: str) -> Kind:
    return Kind(
        name,
        recognises,
        codings=(),
        open=ColumnarDecoder,
        endings=endings,
        is_compression=False,
        is_heavy=True,
        max_ratio=MAX_RATIO,
    )


COLUMNAR = (
    _kind("parquet", _begins_with(b"PAR1", b"PARE"), ".parquet", ".pq"),
    _kind(
        "arrow",
        lambda start: start.startswith(b"ARROW1\0\0") or STREAM.match(start) is not None,
        ".arrow",
        ".arrows",
        ".feather",
        ".ipc",
    ),
    _kind("orc", _begins_with(b"ORC"), ".orc"),
)
COLUMNAR_NAMES = frozenset(kind.name for kind in COLUMNAR)
