"""Prepared: the outcome of a chunk's rows, ready to be written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any
from uuid import UUID

from app.db.rows import ChunkCompletion
from app.destinations.encoding import EncodedRejects, EncodeRejects
from app.formats.base import MASK, Format, Page, Reject, Span
from app.formats.rejecting import located
from app.processors.base import ChunkOutcome, Output, Processor


@dataclass(frozen=True, slots=True)
class Origin:
    """Where rows come from, for those that the destination refuses."""

    form: Format
    span: Span
    data: bytes
    own_numbers: dict[int, int] | None
    """Numbers of the rows in the file of a correction; None for other jobs."""

    def located(self, rejects: Sequence[Reject]) -> list[Reject]:
        return located(self.form, self.span, self.data, rejects, self.own_numbers)


@dataclass(slots=True)
class Prepared:
    """A chunk ready to be written."""

    pages: list[Page] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    encoded_rejects: EncodedRejects | None = None
    """Further rejects, which are ready for the database; None for no others."""
    rows_ok: int = 0
    hash_sum: int = 0
    summary: dict[str, Any] = field(default_factory=dict)
    columns: Sequence[str] = ()
    tables: dict[str, list[Any]] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    """Seconds by stage."""
    outputs: list[Output] = field(default_factory=list)
    """Outputs that are staged before the transaction."""
    is_staged: bool = False
    origin: Origin | None = None
    """None if the destination refuses no rows."""

    def add(self, outcome: ChunkOutcome, processor: Processor) -> None:
        """Add the outcome of some more rows."""
        results = outcome.results
        self.rejects += outcome.rejects
        self.rows_ok += len(results)
        if processor.stores_results:
            self.pages += results.pages()
            self.hash_sum = (self.hash_sum + results.hash_sum()) & MASK
        if results.are_objects:
            self.columns = list(dict.fromkeys([*self.columns, *results.columns]))
        if outcome.summary:
            self.summary = (
                processor.combine([self.summary, outcome.summary])
                if self.summary
                else outcome.summary
            )
        for name, rows in outcome.tables.items():
            self.tables.setdefault(name, []).extend(rows)
        if outcome.output is not None:
            self.outputs.append(outcome.output)

    def encode_rejects(self, encode: EncodeRejects, job_id: UUID) -> None:
        """Encode the rejects for the database, which writes them as they are."""
        if self.rejects:
            self.encoded_rejects = encode(job_id, self.rejects)
            self.rejects = []

    def completion(self) -> ChunkCompletion:
        """Build the values for the row of the chunk."""
        rejected = len(self.rejects)
        failed = sum(r.kind == "failed" for r in self.rejects)
        codes = Counter(reject.code for reject in self.rejects)
        encoded = self.encoded_rejects
        if encoded is not None:
            rejected += encoded.count
            failed += encoded.failed
            codes.update(encoded.codes)
        return ChunkCompletion(
            rows_ok=self.rows_ok,
            rows_invalid=rejected - failed,
            rows_failed=failed,
            hash_read=f"{self.hash_sum:016x}",
            summary=self.summary or None,
            reject_codes=dict(codes) or None,
            timings={name: round(seconds, 6) for name, seconds in self.timings.items()},
        )


def gathered(parts: Sequence[dict[str, list[Any]]]) -> dict[str, list[Any]]:
    return {
        name: [row for part in parts for row in part.get(name, ())]
        for name in dict.fromkeys(chain(*parts))
    }
