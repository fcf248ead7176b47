"""What a processor is: rows in, results and rejects out. It never sees the database, a file or the
network's retries.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar
from uuid import UUID

from app.formats.base import Reject, Results, Rows
from app.processors.options import NoOptions, Options
from app.processors.pieces import Pieces
from app.processors.stages import IN_WORK, Stages
from app.processors.tables import NewTable
from app.schemas.base import RecordSchema


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
    """What a processor may know of the chunk it works on. `key` is the same for every attempt at
    this chunk.
    """

    job_id: UUID
    chunk_index: int
    attempt: int
    options: Any
    """Of this job: an instance of the processor's `options`."""
    delimiter: str = ","
    """Of a CSV file."""
    compute: Callable[..., Any] = compute_here
    """`compute(function, *arguments)` calls a function of a module in a process beside the service
    and returns its result or raises its exception: for Python that needs a core, and for native
    code that may crash. A process that dies raises WorkerDied, which costs the chunk an attempt;
    one that takes more memory than it may raises OutOfMemory, which fails it.
    """
    in_thread: Callable[..., Awaitable[Any]] = _at_once
    """`await context.in_thread(work, *arguments)`: for the parts of a coroutine that compute
    instead of waiting.
    """
    encode_table: TableEncoder = as_given
    """`encode_table(table, rows)`: rows of a typed table in the form in which the database takes
    them, for the `tables` of an outcome. It may be handed to `compute`. Needed for tables with a
    key of their own (transactions, predictions).
    """

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
    """Each row given must be in `results` or in `rejects`, under its own number; the runner checks
    that the counts close. It also fills in where a rejected row stands (line, bytes) if the
    processor leaves `byte_end` at 0.
    """

    results: Results
    rejects: list[Reject] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, list[Any]] = field(default_factory=dict)
    """Rows for typed tables, by table (app/processors/tables.py), written in the same transaction
    as the results.
    """
    output: Output | None = None
    """Of a processor that makes a file: it lies on disk before the transaction names it."""


class OutputMaker(ABC):
    """How the file of a job is made from what its chunks left: the `output` of a MakesFile.

    Where the pieces of the chunks one after the other are the file, `described` is all that has to
    be written. The last three are for values that must be unique in the whole file, and for
    parquet. `described` and those three are called in a process beside the service, with the
    document of the job.
    """

    preview_rows = 20

    def document(self, options: Any) -> bytes:
        """What is to be done, for the functions below; `options` are those of the job, as JSON if
        not said otherwise.
        """
        return options.model_dump_json().encode()  # type: ignore[no-any-return]

    def format(self, options: Any) -> str:
        """csv, jsonl or parquet."""
        return "csv"

    def is_dry_run(self, options: Any) -> bool:
        """Whether the job only looks what would become of the rows."""
        return False

    @abstractmethod
    def described(self, document: bytes) -> tuple[bytes, list[tuple[str, str]]]:
        """The header of the file, and names and types of its columns."""

    def find_repeated(self, folder: str, key_files: Sequence[tuple[str, Any]], rows: int) -> int:
        """How many rows repeat what must be unique, from (key file, keys of each piece) and the
        rows of the job. It leaves a file `rule` in the folder, a byte for each row: 0 where it
        repeats nothing.
        """
        raise NotImplementedError

    def repeated_values(
        self, document: bytes, folder: str, part: Any, rows: Sequence[int]
    ) -> list[tuple[str, str, int]]:
        """For each of these rows of a part the column, the value and the row that has it first."""
        raise NotImplementedError

    def encoded(
        self, document: bytes, folder: str, parts: Sequence[Any], path: str, without_repeated: bool
    ) -> Any:
        """The file, written to the path from parts that are no final pieces."""
        raise NotImplementedError


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


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a job, at its end."""

    file_id: UUID
    filename: str
    columns: Sequence[str]
    result: dict[str, Any]
    state: str | None


class Processor(ABC):
    """What is done with each row. Subclass it; only `name` and `process` have no default.

    One is made per process, and called from several threads at a time. What it can do besides is
    the class that it derives from: Reduces, ReducesParts, CollectsFiles, MakesFile, WritesTables,
    WaitsForService, ChecksRecords. They combine.
    """

    name: str
    """By which uploads and jobs name it."""
    title: str = ""
    """For people who choose from a list; the name if it is empty."""
    options: ClassVar[type[Options]] = NoOptions
    """What a job may say: a pydantic model, and part of the OpenAPI document. A bad value is
    refused with 422.
    """
    job_type: str = ""
    """Its name as a type of jobs, if that is not `name`."""
    version: str | None = None
    """A text that changes whenever the results would, of a processor whose results depend on bytes
    and options alone: then a finished job may be answered with again.
    """
    made_by: str = ""
    """A sentence on how its jobs are made, if no upload and no job can name it: a feature makes
    them.
    """
    stores_results: bool = True
    """Whether the rows that come out are kept."""
    chunk_size: int | None = None
    """Rows of a chunk, if not the usual number."""
    chunk_bytes: int | None = None
    """Bytes of a chunk at most, if not the usual number."""
    computes_with: Sequence[str] = ()
    """Modules that `compute` needs: they are imported in its processes when a job begins."""
    stages: Stages = IN_WORK
    """What the status of a job names as its stages."""

    needs: str = ""
    """The extra that installs what it imports (app/extras.py)."""

    is_configured: bool = True
    """Whether the settings name all that it needs."""

    @property
    def is_uploadable(self) -> bool:
        """Whether it works on one file by itself."""
        return not self.made_by

    def check(self, options: Any) -> None:  # noqa: B027
        """Raises a RequestError for options of the right types that cannot be used all the same."""

    def columns(self, header: Sequence[str], options: Any) -> Sequence[str]:
        """The columns of the results for a file with these columns; raises MissingColumn if one
        that is needed is not there. `header` is empty for JSON, whose columns are known only when
        all of it has been read.
        """
        return header

    @abstractmethod
    def process(
        self, rows: Rows, context: ChunkContext
    ) -> ChunkOutcome | Coroutine[Any, Any, ChunkOutcome]:
        """The results of these rows. It runs in a thread, and for WaitsForService on the event
        loop. It may be called again for the same rows, or for a part of them when one of them makes
        it raise. TransientError means later; any other exception is tried MAX_RETRIES times, then
        the rows are halved until the bad ones are alone.
        """

    def combine(self, summaries: Iterable[dict[str, Any]]) -> dict[str, Any]:
        """The summary of the job from those of its chunks, in any order. As it is, it adds up
        counts of the same name, and leaves out what is no number.
        """
        total: dict[str, Any] = {}
        for summary in summaries:
            for name, count in summary.items():
                if isinstance(count, int | float):
                    total[name] = total.get(name, 0) + count
        return total

    def without(
        self, summary: dict[str, Any], removed: Mapping[str, Sequence[Mapping[str, Any]]]
    ) -> dict[str, Any]:
        """The summary as if some rejects had never been: their rows were corrected and are run
        again. `removed` has, by typed table, the rows that were written for them. As it is, the
        summary counts no rejects.
        """
        return summary

    def depends_on(self, options: Any) -> str | None:
        """What the results depend on besides bytes, options and `version`, such as the precision of
        a model; None if equal ones may give other results the next time.
        """
        return ""

    async def close(self) -> None:  # noqa: B027
        """Let go of what it holds, such as connections to others."""


class Reduces(Processor):
    """Looks at rows without storing them; the job ends with a result. Its summaries count what they
    cover as `rows`.
    """

    stores_results = False

    @abstractmethod
    def conclude(self, combined: dict[str, Any], facts: FileFacts) -> Conclusion:
        """From what `combine` made of all chunks. Like `combine`, it is called in a process of its
        own, so the processor must be picklable.
        """


class ReducesParts(Processor):
    """Its job is made of others, and ends with what they found out. It never sees a row."""

    def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome:
        raise AssertionError("the parts of the job have the rows")

    def combine(self, summaries: Iterable[dict[str, Any]]) -> dict[str, Any]:
        """What the parts counted is theirs."""
        return {}

    @abstractmethod
    async def conclude_parts(
        self,
        parts: Sequence[Part],
        options: Any,
        compute: Callable[..., Awaitable[Any]],
        in_thread: Callable[..., Awaitable[Any]],
    ) -> Conclusion:
        """The last two are called like those of a ChunkContext, and awaited. Raises TransientError
        to be asked later.
        """


class CollectsFiles(Processor):
    """Its job is made of others, one for each of many files, and ends with what became of them. It
    never sees a row.
    """

    def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome:
        raise AssertionError("the parts of the job have the rows")

    def combine(self, summaries: Iterable[dict[str, Any]]) -> dict[str, Any]:
        """Its parts may be of any type: their summaries are not added up."""
        return {}

    @abstractmethod
    def collected(self, options: Any) -> Mapping[UUID, UUID | None]:
        """The files in the order in which they are told, each with the earlier job whose result is
        used for it; None where a part of the job has it.
        """

    @abstractmethod
    def report(self, options: Any, children: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """For the result route, from what became of each file: see ChildOutcome of the feature
        `batch_jobs`.
        """


class MakesFile(Processor):
    """Its job ends with a file, made from the `output` of each outcome."""

    stores_results = False
    output: OutputMaker


class WritesTables(Processor):
    """Its outcomes carry rows for typed tables."""

    tables: tuple[str | NewTable, ...]
    """Names of tables that a feature registers in its `feature.py`, and tables of its own."""


class WaitsForService(Processor):
    """Waits for others instead of computing: it holds no worker meanwhile. What it computes goes
    through `context.in_thread`.
    """

    @abstractmethod
    async def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome: ...

    def check_available(self) -> None:
        """Raises a TransientError while the others are known to be away: then chunks are not even
        read.
        """


class ChecksRecords(Processor):
    """Holds rows against a schema, whose name is that of the processor."""

    schema: type[RecordSchema]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a processor can do besides processing rows. Each is the processor itself, or None if it
    cannot.
    """

    reduces: Reduces | None = None
    reduces_parts: ReducesParts | None = None
    collects: CollectsFiles | None = None
    makes_file: MakesFile | None = None
    waits: WaitsForService | None = None
    records: ChecksRecords | None = None
    tables: frozenset[str] = frozenset()
    """That it may write to."""

    @classmethod
    def of(cls, processor: Processor) -> Capabilities:
        return cls(
            reduces=processor if isinstance(processor, Reduces) else None,
            reduces_parts=processor if isinstance(processor, ReducesParts) else None,
            collects=processor if isinstance(processor, CollectsFiles) else None,
            makes_file=processor if isinstance(processor, MakesFile) else None,
            waits=processor if isinstance(processor, WaitsForService) else None,
            records=processor if isinstance(processor, ChecksRecords) else None,
            tables=_names_of_tables(processor),
        )


def _names_of_tables(processor: Processor) -> frozenset[str]:
    if not isinstance(processor, WritesTables):
        return frozenset()
    return frozenset(
        table.table.name if isinstance(table, NewTable) else table for table in processor.tables
    )


def version_of(processor: Processor, options: Any) -> str | None:
    """What the results depend on besides bytes and options; None if equal ones may give other
    results the next time.
    """
    depends = None if processor.version is None else processor.depends_on(options)
    return None if depends is None else f"{processor.version}/{depends}"
