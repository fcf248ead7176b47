"""Rows of a file as a table takes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from app.formats.base import Form, Page, Reject, Rows, gaps
from app.processors.base import ChunkContext, ChunkOutcome, Processor
from app.processors.options import Options
from app.processors.stages import By, Stage, Stages

NAME = "load"


# Called in the processes beside the service: pyarrow is memory that the service can do without.
def cast_rows(document: str, form: Form, arguments: tuple[Any, ...], numbers: Sequence[int]) -> Any:
    from app.features.tables.loading import casting

    return casting.cast_rows(document, form, arguments, numbers)


class StoredOptions(Options):
    """What a load was made with."""

    plan: str
    """As JSON."""


@dataclass(frozen=True, slots=True)
class StagedRows:
    """Rows in the form in which the staging table takes them, all in one page. No hash is taken of
    them: the table is compared with the file, value by value.
    """

    numbers: Sequence[int]
    data: bytes
    columns: ClassVar[Sequence[str]] = ()
    are_objects: ClassVar[bool] = False

    def __len__(self) -> int:
        return len(self.numbers)

    def pages(self) -> Iterator[Page]:
        numbers = self.numbers
        if numbers:
            yield Page(numbers[0], len(numbers), gaps(numbers), self.data)

    def hash_sum(self) -> int:
        return 0


class LoadProcessor(Processor):
    name = NAME
    title = "Load: rows into a table of your own"
    options = StoredOptions
    chunk_size = 100_000
    computes_with = ("app.features.tables.loading.casting",)
    stages = Stages(
        (Stage("splitting", 20, By.SPLIT), Stage("staging", 50, By.ROWS), Stage("loading", 80))
    )

    def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome:
        plan, numbers = context.options.plan, rows.numbers
        form, arguments = rows.held(0, len(rows))
        # a range costs nothing on its way to another process
        sent = numbers if isinstance(numbers, range) else list(numbers)
        done = context.compute(cast_rows, plan, form, arguments, sent)
        rejects = [
            Reject(
                numbers[finding.row],
                0,
                0,
                0,
                b"",
                finding.code,
                finding.message,
                finding.column or None,
                finding.value,
            )
            for finding in done.findings
        ]
        bad = {finding.row for finding in done.findings}
        good = numbers
        if bad:
            good = [number for place, number in enumerate(numbers) if place not in bad]
        return ChunkOutcome(StagedRows(good, done.data), rejects)
