"""The processor contract: rows in, results and rejects out. A processor never sees the database, a
file or the retries.
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
    """Call the function in this thread: the `compute` of a context without compute processes."""
    return function(*arguments)


TableEncoder = Callable[[str, Sequence[tuple[Any, ...]]], list[Any]]


def as_given(name: str, rows: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Return the rows unchanged: the `encode_table` of a context that stores nothing."""
    return list(rows)


async def _at_once(work: Callable[..., Any], *arguments: Any) -> Any:
    return work(*arguments)


@dataclass(frozen=True, slots=True)
class ChunkContext:
    """The chunk as a processor sees it. `key` is the same for every attempt at this chunk."""

    job_id: UUID
    chunk_index: int
    attempt: int
    options: Any
    """Options of the job: an instance of the processor's `options`."""
    delimiter: str = ","
    """Delimiter of a CSV file."""
    compute: Callable[..., Any] = compute_here
    """`compute(function, *arguments)` calls a module's function in a compute process and returns
    its result or raises its exception. Use it for Python that needs a core, and for native code
    that may crash. A process that dies raises WorkerDied, which counts as an attempt; one that
    exceeds its memory raises OutOfMemory, which fails the chunk.
    """
    in_thread: Callable[..., Awaitable[Any]] = _at_once
    """`await context.in_thread(work, *arguments)` runs the computing parts of a coroutine."""
    encode_table: TableEncoder = as_given
    """`encode_table(table, rows)` encodes rows of a typed table for the database, for the `tables`
    of an outcome. It may be passed to `compute`. Tables with a key (transactions, predictions) need
    it.
    """

    @property
    def key(self) -> str:
        return f"{self.job_id}/{self.chunk_index}"


@dataclass(frozen=True, slots=True)
class Output:
    """The rows of a chunk in the output file of the job."""

    data: Pieces
    keys: Pieces
    """The keys of the whole file, for finding repeated values."""
    key_counts: Sequence[Sequence[int]] = ()
    """Number of keys in each piece for each rule."""


@dataclass(slots=True)
class ChunkOutcome:
    """Each row must be in `results` or in `rejects`, under its own number; the runner checks that
    the counts add up. It also fills in the place of a reject (line, bytes) if the processor leaves
    `byte_end` at 0.
    """

    results: Results
    rejects: list[Reject] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, list[Any]] = field(default_factory=dict)
    """Rows for typed tables, by table (app/processors/tables.py), written in the transaction of the
    results.
    """
    output: Output | None = None
    """Output of a processor that makes a file. It is on disk before the transaction names it."""


class OutputMaker(ABC):
    """Makes the output file of a job from the `output` of a MakesFile's chunks.

    If the concatenated pieces of the chunks are the file, `described` is all that has to be
    written. The last three methods are for values that must be unique in the whole file, and for
    parquet, arrow and xlsx. These and `described` run in a compute process, with the document of the job.
    """

    preview_rows = 20

    def document(self, options: Any) -> bytes:
        """Return the job's document for the methods below; `options` are those of the job, as JSON
        unless stated otherwise.
        """
        return options.model_dump_json().encode()  # type: ignore[no-any-return]

    def format(self, options: Any) -> str:
        """Return csv, jsonl, parquet, arrow or xlsx."""
        return "csv"

    def is_dry_run(self, options: Any) -> bool:
        """Return whether the job only shows what would become of the rows."""
        return False

    @abstractmethod
    def described(self, document: bytes) -> tuple[bytes, list[tuple[str, str]]]:
        """Return the header of the file, and names and types of its columns."""

    def find_repeated(self, folder: str, key_files: Sequence[tuple[str, Any]], rows: int) -> int:
        """Return the number of rows that repeat a unique value, from (key file, keys of each piece)
        and the number of rows of the job. Writes a file `rule` to the folder, a byte for each row:
        0 if it repeats nothing.
        """
        raise NotImplementedError

    def repeated_values(
        self, document: bytes, folder: str, part: Any, rows: Sequence[int]
    ) -> list[tuple[str, str, int]]:
        """Return for each of these rows of a part the column, the value, and the first row with the
        value.
        """
        raise NotImplementedError

    def encoded(
        self, document: bytes, folder: str, parts: Sequence[Any], path: str, without_repeated: bool
    ) -> Any:
        """Write the file from parts that are not final pieces."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class FileFacts:
    """Facts about a job's file once its chunks are final."""

    filename: str
    format: str
    dialect: dict[str, Any]
    size_bytes: int
    sha256: str
    rows: int
    """Rows of the file with any outcome."""
    rejects: dict[str, int]
    """Number of rejects by code."""


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The result of a job that is more than its rows."""

    summary: dict[str, Any]
    """Small: part of every status."""
    result: dict[str, Any]
    """For the result endpoint."""
    state: str | None = None
    """State for later jobs."""


@dataclass(frozen=True, slots=True)
class RowSample:
    """Some rows of a file, in their order."""

    columns: Sequence[str]
    """Columns of the header; of JSON the columns that the rows have."""
    numbers: Sequence[int]
    rows: Sequence[list[str | None] | bytes]
    """The cells of each row, or the JSON of each object."""


NO_ROWS = RowSample((), (), ())


async def no_sample() -> RowSample:
    """Return no rows: the sample of a part whose file cannot be read."""
    return NO_ROWS


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a job at its end."""

    file_id: UUID
    filename: str
    columns: Sequence[str]
    result: dict[str, Any]
    state: str | None
    sample: Callable[[], Awaitable[RowSample]] = no_sample
    """Reads some hundred rows of its file."""


class Processor(ABC):
    """The processing of each row. Subclass it; only `name` and `process` have no default.

    There is one instance in each process, called from several threads at a time. Further
    capabilities are base classes: Reduces, ReducesParts, CollectsFiles, MakesFile, WritesTables,
    WaitsForService, ChecksRecords. They can be combined.
    """

    name: str
    """Name in uploads and jobs."""
    title: str = ""
    """Title for people who choose from a list; the name if it is empty."""
    options: ClassVar[type[Options]] = NoOptions
    """Options of a job: a pydantic model, part of the OpenAPI document. An invalid value is a 422.
    """
    job_type: str = ""
    """Name as a job type, if it is not `name`."""
    version: str | None = None
    """A text that changes whenever the results would, for a processor whose results depend on bytes
    and options alone. A finished job may then be reused.
    """
    made_by: str = ""
    """A sentence on how its jobs are created, if neither uploads nor jobs can name it."""
    stores_results: bool = True
    """Whether the resulting rows are stored."""
    chunk_size: int | None = None
    """Rows per chunk; None for the default."""
    chunk_bytes: int | None = None
    """Maximum bytes per chunk; None for the default."""
    runs_apart: ClassVar[bool] = False
    """Whether chunks may be read and processed in compute processes, by an instance that is made
    there from the settings. Subclasses do not inherit it.
    """
    computes_with: Sequence[str] = ()
    """Modules that `compute` needs, imported in compute processes when a job begins."""
    stages: Stages = IN_WORK
    """Stages in the status of its jobs."""

    needs: str = ""
    """The extra that installs what it imports (app/extras.py)."""

    is_configured: bool = True
    """Whether all settings that it needs are set."""

    @property
    def may_run_apart(self) -> bool:
        """Return whether its own class says `runs_apart`."""
        return bool(vars(type(self)).get("runs_apart"))

    @property
    def is_uploadable(self) -> bool:
        """Return whether it works on single files."""
        return not self.made_by

    def check(self, options: Any) -> None:  # noqa: B027
        """Raises a RequestError for options that have the right types but cannot be used."""

    def columns(self, header: Sequence[str], options: Any) -> Sequence[str]:
        """Return the columns of the results for a file with this header; raises MissingColumn for a
        missing one. `header` is empty for JSON, whose columns are known only when all of it has
        been read.
        """
        return header

    @abstractmethod
    def process(
        self, rows: Rows, context: ChunkContext
    ) -> ChunkOutcome | Coroutine[Any, Any, ChunkOutcome]:
        """Return the results of these rows.

        Runs in a thread, and for WaitsForService on the event loop. May be called again for the
        same rows, or for some of them after one of them has raised. TransientError means a later
        retry; any other exception is retried MAX_RETRIES times, then the rows are halved until the
        bad ones are isolated.
        """

    def combine(self, summaries: Iterable[dict[str, Any]]) -> dict[str, Any]:
        """Return the summary of a job from those of its chunks, in any order. The default adds up
        numbers with the same name and leaves out everything else.
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
        """Return the summary without some rejects, whose rows were corrected and run again.
        `removed` has their rows in typed tables, by table. The default assumes that the summary
        counts no rejects.
        """
        return summary

    def depends_on(self, options: Any) -> str | None:
        """Return what the results depend on besides bytes, options and `version`, such as the
        precision of a model; None if the same input may give other results next time.
        """
        return ""

    async def close(self) -> None:  # noqa: B027
        """Release resources, such as connections."""


class Reduces(Processor):
    """Reads rows without storing them; the job ends with a result. Its summaries count the covered
    rows as `rows`.
    """

    stores_results = False

    @abstractmethod
    def conclude(self, combined: dict[str, Any], facts: FileFacts) -> Conclusion:
        """Return the result from what `combine` returned for all chunks. Like `combine`, it runs in
        a compute process, so the processor must be picklable.
        """


class ReducesParts(Processor):
    """A processor whose job consists of parts and ends with their results. It never sees a row."""

    def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome:
        raise AssertionError("the parts of the job have the rows")

    def combine(self, summaries: Iterable[dict[str, Any]]) -> dict[str, Any]:
        """Return nothing: the parts have their own summaries."""
        return {}

    @abstractmethod
    async def conclude_parts(
        self,
        parts: Sequence[Part],
        options: Any,
        compute: Callable[..., Awaitable[Any]],
        in_thread: Callable[..., Awaitable[Any]],
    ) -> Conclusion:
        """Return the result; `compute` and `in_thread` work like those of a ChunkContext, but are
        awaited. Raises TransientError for a later retry.
        """


class CollectsFiles(Processor):
    """A processor whose job consists of parts, one for each of many files, and ends with their
    outcomes. It never sees a row.
    """

    def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome:
        raise AssertionError("the parts of the job have the rows")

    def combine(self, summaries: Iterable[dict[str, Any]]) -> dict[str, Any]:
        """Return nothing: the parts may have any type, and their summaries are not added up."""
        return {}

    @abstractmethod
    def collected(self, options: Any) -> Mapping[UUID, UUID | None]:
        """Return the files in the order of the request, each with the earlier job whose result is
        reused; None if a part of the job has it.
        """

    @abstractmethod
    def report(self, options: Any, children: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return the result from the outcome of each file: see ChildOutcome of the feature
        `batch_jobs`.
        """


class MakesFile(Processor):
    """A processor whose job ends with a file, made from the `output` of each outcome."""

    stores_results = False
    output: OutputMaker


class WritesTables(Processor):
    """A processor whose outcomes have rows for typed tables."""

    tables: tuple[str | NewTable, ...]
    """Names of tables that a feature registers in its `feature.py`, and tables of its own."""


class WaitsForService(Processor):
    """Waits for a service instead of computing, and holds no worker meanwhile. Its computations go
    through `context.in_thread`.
    """

    @abstractmethod
    async def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome: ...

    def check_available(self) -> None:
        """Raises a TransientError while the service is known to be unavailable: chunks are not even
        read then.
        """


class ChecksRecords(Processor):
    """Validates rows with a schema that has the processor's name."""

    schema: type[RecordSchema]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Capabilities of a processor besides processing rows. Each is the processor itself, or
    None.
    """

    reduces: Reduces | None = None
    reduces_parts: ReducesParts | None = None
    collects: CollectsFiles | None = None
    makes_file: MakesFile | None = None
    waits: WaitsForService | None = None
    records: ChecksRecords | None = None
    tables: frozenset[str] = frozenset()
    """Tables that it may write to."""

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
    """Return what the results depend on besides bytes and options; None if the same input may give
    other results next time.
    """
    depends = None if processor.version is None else processor.depends_on(options)
    return None if depends is None else f"{processor.version}/{depends}"
