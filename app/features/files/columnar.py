"""Parquet and Arrow files of results, made here or, if they are large, in a process of their own:
pyarrow and its buffers take more memory than the service may.
"""

from __future__ import annotations

import multiprocessing
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from multiprocessing.connection import Connection
from typing import Any, Protocol

from app.db.rows import PageRow
from app.errors import OutOfMemory
from app.features.files.encoders import Encoder
from app.pipeline import memory
from app.pipeline.processes import WorkerDied, begin

LARGE_BYTES = 4 << 20
"""Size of the smallest file whose results are encoded in another process: starting that takes half
a second.
"""
MEMORY_BYTES = 1 << 30
ARROW_TYPES = (
    (re.compile(r"u?int\d+|decimal"), "number"),
    (re.compile(r"double|float|halffloat"), "float"),
    (re.compile(r"date|timestamp"), "date"),
    (re.compile(r"bool"), "boolean"),
)
"""What the types of a columnar file are for `TypeFinder`."""


def hints_of(types: Mapping[str, str]) -> dict[str, str]:
    """Return hints for the columns of a columnar file, by the names of their types."""
    return {
        column: hint
        for column, kind in types.items()
        for pattern, hint in ARROW_TYPES
        if pattern.match(kind)
    }


class ColumnarFile(Encoder, Protocol):
    """An encoder whose columns get types if all rows are seen before the first one is encoded."""

    def look_for_types(self, hints: Mapping[str, str]) -> bool:
        """Return whether rows must be seen. `hints` as for a TypeFinder."""

    def see(self, pages: Sequence[PageRow]) -> bool:
        """Look at the next rows; return whether those after them must be seen."""

    def close(self) -> None:
        """Release everything; the file may be incomplete."""


def new_file(format: str, columns: Sequence[str], stored_bytes: int) -> ColumnarFile:
    """Return a file for the results of a job whose file has so many bytes. Blocking."""
    kind = FileElsewhere if stored_bytes >= LARGE_BYTES else FileHere
    return kind(format, columns)


class FileHere:
    def __init__(self, format: str, columns: Sequence[str]) -> None:
        from app.features.files.parquet import ArrowEncoder, ParquetEncoder

        self._columns = columns
        self._make = ParquetEncoder if format == "parquet" else ArrowEncoder
        self._finder: Any = None

    @cached_property
    def _encoder(self) -> Encoder:
        return self._make(self._columns, {} if self._finder is None else self._finder.types())

    def look_for_types(self, hints: Mapping[str, str]) -> bool:
        from app.features.files.typed import TypeFinder

        self._finder = TypeFinder(self._columns, hints)
        return not self._finder.are_all_text()

    def see(self, pages: Sequence[PageRow]) -> bool:
        for page in pages:
            self._finder.add(page)
        return not self._finder.are_all_text()

    def encode(self, page: PageRow) -> Iterator[bytes]:
        return self._encoder.encode(page)

    def encode_all(self, pages: Sequence[PageRow]) -> Iterator[bytes]:
        return chain.from_iterable(map(self.encode, pages))

    def finish(self) -> bytes:
        return self._encoder.finish()

    def close(self) -> None: ...


class FileElsewhere:
    """Sends each call to a process. Raises WorkerDied if that ends, OutOfMemory if it takes more
    than MEMORY_BYTES.
    """

    def __init__(self, format: str, columns: Sequence[str]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        # get_context is typed as one of several, which all have it
        self._process: Any = context.Process(
            target=_serve, args=(theirs, format, list(columns)), daemon=True
        )
        self._process.start()
        theirs.close()

    def look_for_types(self, hints: Mapping[str, str]) -> bool:
        return bool(self._call("look_for_types", dict(hints)))

    def see(self, pages: Sequence[PageRow]) -> bool:
        return bool(self._call("see", pages))

    def encode(self, page: PageRow) -> Iterator[bytes]:
        return self.encode_all([page])

    def encode_all(self, pages: Sequence[PageRow]) -> Iterator[bytes]:
        return iter(self._call("encode_all", pages))

    def finish(self) -> bytes:
        data: bytes = self._call("finish")
        return data

    def close(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def _call(self, name: str, *arguments: Any) -> Any:
        try:
            self._pipe.send((name, arguments))
            answer = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise WorkerDied("The process that encoded this file ended abruptly.") from error
        if memory.private_bytes(self._process.pid) > MEMORY_BYTES:
            raise OutOfMemory(_TOO_MUCH)
        if isinstance(answer, Exception):
            raise answer
        return answer


_TOO_MUCH = f"Encoding this file takes more than {MEMORY_BYTES >> 20} MiB."


def _serve(pipe: Connection, format: str, columns: Sequence[str]) -> None:
    begin(MEMORY_BYTES)
    file = FileHere(format, columns)
    while True:
        try:
            name, arguments = pipe.recv()
        except EOFError:
            return
        try:
            answer = getattr(file, name)(*arguments)
            if name == "encode_all":
                answer = list(answer)
        except MemoryError:
            answer = OutOfMemory(_TOO_MUCH)
        except Exception as error:
            answer = error
        pipe.send(answer)
