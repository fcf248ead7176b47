"""What a processor is: rows in, results and rejects out. It never sees the database, a file or the network's retries."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from app.formats.base import Reject, Results, Rows
from app.processors.pieces import Pieces


def compute_here(function: Callable[..., Any], *arguments: Any) -> Any:
    """In the calling thread: what a processor gets where there are no processes to compute in."""
    return function(*arguments)


TableEncoder = Callable[[str, Sequence[tuple[Any, ...]]], list[Any]]


def as_given(name: str, rows: Sequence[tuple[Any, ...]]) -> list[Any]:
    """What a processor gets as `encode_table` where nothing is to be stored."""
    return list(rows)


async def _at_once(work: Callable[..., Any], *arguments: Any) -> Any:
    return work(*arguments)


@dataclass(frozen=True, slots=True)
class ChunkContext:
    """What a processor may know of the chunk it works on. `key` is the same for every attempt at this chunk."""

    job_id: UUID
    chunk_index: int
    attempt: int
    options: dict[str, Any]
    delimiter: str = ","
    """Of a CSV file."""
    compute: Callable[..., Any] = compute_here
    """`compute(function, *arguments)` calls a function of a module in a process beside the service and returns its result
    or raises its exception: for Python that needs a core, and for native code that may crash. A process that dies raises
    WorkerDied, which costs the chunk an attempt; one that takes more memory than it may raises OutOfMemory, which fails it."""
    in_thread: Callable[..., Awaitable[Any]] = _at_once
    """`await context.in_thread(work, *arguments)`: for the parts of a coroutine that compute instead of waiting."""
    encode_table: TableEncoder = as_given
    """`encode_table(table, rows)`: rows of a typed table in the form in which the database takes them, for the `tables` of an
    outcome. It may be handed to `compute`. Needed for tables with a key of their own (transactions, predictions)."""

    @property
    def key(self) -> str:
        return f"{self.job_id}/{self.chunk_index}"


@dataclass(frozen=True, slots=True)
class Output:
    """What some rows become in the file that the job makes."""

    data: Pieces
    keys: Pieces
    """What the whole file needs to find values that are there twice."""
    key_counts: Sequence[Sequence[int]] = ()
    """How many keys each piece has for each rule."""


@dataclass(slots=True)
class ChunkOutcome:
    """Each row given must be in `results` or in `rejects`, under its own number; the runner checks that the counts close.
    It also fills in where a rejected row stands (line, bytes) if the processor leaves `byte_end` at 0."""

    results: Results
    rejects: list[Reject] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, list[Any]] = field(default_factory=dict)
    """Rows for typed tables, by table (app/destinations/tables.py), written in the same transaction as the results."""
    output: Output | None = None
    """Of a processor that makes a file: it lies on disk before the transaction names it."""


class OutputMaker(Protocol):
    """How the file of a job is made from what its chunks left: the `output` of a processor that makes one. The last four are
    functions of a module; they are called in a process beside the service, with the document of the job."""

    preview_rows: int

    def document(self, options: dict[str, Any]) -> bytes:
        """What is to be done, for the functions below."""

    def format(self, options: dict[str, Any]) -> str:
        """csv, jsonl or parquet."""

    def is_dry_run(self, options: dict[str, Any]) -> bool:
        """Whether the job only looks what would become of the rows."""

    find_repeated: Callable[..., int]
    """(folder, [(key file, keys of each piece)], rows of the job): how many rows repeat what must be unique. It leaves a file
    `rule` in the folder, a byte for each row: 0 where it repeats nothing."""
    described: Callable[..., tuple[bytes, list[tuple[str, str]]]]
    """(document): the header of the file, and names and types of its columns."""
    repeated_values: Callable[..., list[tuple[str, str, int]]]
    """(document, folder, part, rows): for each row the column, the value and the row that has it first."""
    encoded: Callable[..., Any]
    """(document, folder, parts, path, without repeated rows): the file, written to the path from parts that are no final
    pieces."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What is known of a job's file when its chunks are final."""

    filename: str
    format: str
    dialect: dict[str, Any]
    size_bytes: int
    sha256: str
    rows: int
    """Rows of the file, however they ended."""
    rejects: dict[str, int]
    """Rejected rows by code."""


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What a job ends with, where that is more than its rows."""

    summary: dict[str, Any]
    """Small: part of every status."""
    result: dict[str, Any]
    """For the result route."""
    state: str | None = None
    """What other jobs may go on from."""
    file: Any = None
    """The row of the file that the job made."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a job, at its end."""

    file_id: UUID
    filename: str
    columns: Sequence[str]
    result: dict[str, Any]
    state: str | None


def stores_results(processor: Processor) -> bool:
    return bool(getattr(processor, "stores_results", True))


def is_uploadable(processor: Processor) -> bool:
    return bool(getattr(processor, "is_uploadable", True))


def makes_file(processor: Processor) -> bool:
    return output_of(processor) is not None


def output_of(processor: Processor) -> OutputMaker | None:
    return getattr(processor, "output", None)


def version_of(processor: Processor, options: dict[str, Any]) -> str | None:
    """What the results depend on besides bytes and options; None if equal ones may give other results the next time."""
    version = getattr(processor, "version", None)
    if version is None:
        return None
    more = getattr(processor, "depends_on", None)
    depends = "" if more is None else more(options)
    return None if depends is None else f"{version}/{depends}"


class Processor(Protocol):
    """A processor is made once per process and called from several threads at a time.

    One that waits for others may have a method `check_available()` that raises a TransientError while they are known to be
    away: then chunks are not even read.

    One that computes in processes may name in `computes_with` the modules that these need: they are imported there when a
    job begins.

    One that works on files that are here already, or on several of them, says `is_uploadable = False`: an upload cannot
    name it, and its `check` refuses.

    One whose chunks should not be of the usual size says so by `chunk_size` (rows) and `chunk_bytes`.

    One that takes options has a method `check(options)` besides, which raises a RequestError for those it cannot use; if
    its columns depend on them, it has `columns_given(header, options)`, which is asked instead of `columns`.
    One that looks at rows without storing them says `stores_results = False` and has, besides, a method
    `conclude(combined, facts) -> Conclusion`, called like its `combine` in a process of its own (so it must be
    picklable); its summaries count what they cover as `rows`. One whose summary counts rejects has
    `without(summary, removed) -> dict`: the summary as if the rows, by table, that were written for some rejects had
    never been (these rows were corrected and run again). One whose job is made of
    others has `async conclude_parts(parts, options, compute, in_thread) -> Conclusion`, which may raise TransientError to be
    asked later; the last two are called like those of a ChunkContext, and awaited.

    One whose results depend on bytes and options alone says so by a `version`, a text that changes whenever the results
    would: then a finished job may be answered with again. A method `depends_on(options) -> str | None` may add what else
    they depend on, such as the precision of a model, or forbid it by None where others are asked.
    """

    name: str

    def columns(self, header: Sequence[str]) -> Sequence[str]:
        """The columns of the results for a file with these columns; raises MissingColumn if one that is needed is not
        there. `header` is empty for JSON, whose columns are known only when all of it has been read."""

    def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome | Coroutine[Any, Any, ChunkOutcome]:
        """The results of these rows. It runs in a thread; a coroutine function, which is for processors that wait for
        others, runs on the event loop and holds no worker while it waits. It may be called again for the same rows, or
        for a part of them when one of them makes it raise. TransientError means later; any other exception is tried
        MAX_RETRIES times, then the rows are halved until the bad ones are alone."""

    def combine(self, summaries: Iterable[dict[str, Any]]) -> dict[str, Any]:
        """The summary of the job from those of its chunks, in any order."""
