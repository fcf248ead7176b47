"""Service of transforms. It checks a transform completely before it creates a job, and runs samples
directly.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from app.db.rows import FileRow
from app.destinations.parts import part_file, write_part
from app.destinations.repeats import repeated_rows, repeating
from app.errors import InvalidTransform, NotRows, OutOfMemory
from app.features.templates.service import Templates
from app.features.transform import assemble
from app.features.transform.plan import BadSpecification, Plan, plan
from app.features.transform.processor import (
    PREVIEW_ROWS,
    StoredOptions,
    TransformProcessor,
    document_of,
)
from app.features.transform.spec import Mapping, Specification, Undecided, Validation, of_template
from app.formats.base import Format, Reject, Span, cell_names
from app.formats.registry import from_json, open_format
from app.formats.rejecting import located
from app.jobs import file_jobs
from app.jobs.file_jobs import FileJobs, InputFile, SubmittedJob
from app.pipeline.machine import Machine
from app.processors.base import ChunkContext, ChunkOutcome
from app.schemas.faults import faults
from app.sources.base import Sources
from app.sources.outputs import OutputParts

SAMPLE_BYTES = 16 << 20
SHOWN_REJECTS = 20
NO_JOB = UUID(int=0)
EXTRA_CELL = re.compile(r"column_([0-9]{1,5})")
MAX_EXTRA_CELLS = 1000


# Called in compute processes.
def check(document: bytes) -> list[tuple[str, str]]:
    from app.features.transform import run

    return run.check(document)


@dataclass(frozen=True, slots=True)
class TransformRequest:
    """Request of a transform: `mapping`, or the columns of a mapping in `proposed` as templates
    keep them, or a template.
    """

    output_format: str
    mapping: Mapping | None = None
    proposed: list[dict[str, Any]] | None = None
    template_id: UUID | None = None
    template_version: int | None = None
    validation: Validation | None = None
    dry_run: bool = False
    priority: int = 0
    chunk_size: int | None = None


class Transforms:
    def __init__(
        self, file_jobs: FileJobs, templates: Templates, machine: Machine, sources: Sources
    ) -> None:
        self._file_jobs = file_jobs
        self._templates = templates
        self._machine = machine
        self._sources = sources

    async def submit(
        self, owner: str, file_id: UUID, request: TransformRequest, *, fresh: bool = False
    ) -> SubmittedJob:
        """Submit the job. Return it, or the earlier one that did the same, unless it must be
        `fresh`; raises NotFound, StoredBytesGone, NotRows, InvalidTransform.
        """
        file = await self._file_jobs.file(owner, file_id)
        new_job = await self.plan(owner, file, request)
        return await self._file_jobs.submit_plan(
            owner, file_id, new_job, request.priority, fresh=fresh
        )

    async def plan(self, owner: str, file: InputFile, request: TransformRequest) -> file_jobs.Plan:
        """Return the plan of a job over a file of rows; raises NotFound for a template,
        InvalidTransform.
        """
        specification, checked = await self.checked(owner, file, request)
        options: dict[str, Any] = {
            "specification": specification.stored(),
            "dry_run": request.dry_run,
        }
        if request.template_id is not None:
            options["template_id"] = str(request.template_id)
        return file_jobs.Plan(
            "transform", options, columns=checked.names, chunk_size=request.chunk_size
        )

    async def sample(
        self, owner: str, file_id: UUID, request: TransformRequest, rows: int
    ) -> dict[str, Any]:
        """Transform the first rows of the file by the code of the job, without a job; raises the
        same errors as `submit`.
        """
        self._file_jobs.check_installed("transform")
        file = await self._file_jobs.file(owner, file_id)
        specification, checked = await self.checked(owner, file, request)
        options = StoredOptions(specification=specification.stored())
        try:
            return await asyncio.to_thread(self._run_sample, file, options, checked, rows)
        except OutOfMemory as error:
            raise _invalid([("mapping", error.detail)]) from None

    async def checked(
        self, owner: str, file: InputFile, request: TransformRequest
    ) -> tuple[Specification, Plan]:
        """Return what is carried out with the rows of the file; raises NotFound for a template,
        InvalidTransform.
        """
        mapping = await self._mapping(owner, request)
        specification = Specification(
            mapping=mapping,
            validation=request.validation or Validation(),
            output_format=request.output_format,  # type: ignore[arg-type]
            header=file.dialect.get("columns", []),
            dry_run=request.dry_run,
            **_extra_cells(file, mapping),
        )
        try:
            checked = plan(specification)
        except BadSpecification as error:
            raise _invalid(
                [(problem.pointer, problem.message) for problem in error.problems]
            ) from None
        if checked.patterns:
            document = document_of(StoredOptions(specification=specification.stored()))
            if problems := await self._machine.compute(check, document):
                raise _invalid(problems)
        return specification, checked

    async def _mapping(self, owner: str, request: TransformRequest) -> Mapping:
        if request.mapping is not None:
            return request.mapping
        columns, pointer = request.proposed, "mapping/columns"
        if columns is None:
            assert request.template_id is not None
            template = await self._templates.get(
                request.template_id, owner, request.template_version
            )
            columns, pointer = template["columns"], "template/columns"
        try:
            proposed = of_template(columns)
            return Mapping.model_validate(proposed)
        except Undecided as error:
            raise _invalid(
                [(f"{pointer}/{error.column}/conversion/{error.step}", str(error).capitalize())]
            ) from None
        except ValidationError as error:
            mistakes = faults(error.errors(include_input=False), proposed)
            places = [("/".join(mistake.place), mistake.message) for mistake in mistakes]
            raise _invalid(
                [(f"{pointer}/{place.removeprefix('columns/')}", text) for place, text in places]
            ) from None

    def _run_sample(
        self, file: FileRow, options: StoredOptions, checked: Plan, rows: int
    ) -> dict[str, Any]:
        form: Format = open_format(from_json(file.dialect))
        start, size = file.dialect["data_start"], file.stored_bytes
        assert file.storage_uri is not None
        end = min(size, start + SAMPLE_BYTES)
        window = self._sources.read(file.storage_uri, start, end, file.etag)
        ends = form.scan(window, eof=end == size)
        count = min(rows, len(ends) - (form.skip_footer if end == size else 0))
        rejects: list[Reject] = []
        summary: dict[str, Any] = {"rows": 0}
        if count > 0:
            data = window[: int(ends[count - 1])]
            span = Span(
                start, start + len(data), 1, count, file.dialect["data_line"], zlib.crc32(data)
            )
            if span.is_oversize:
                raise NotRows("The first record of the file is too large for a sample.")
            parsed = form.read(data, span)
            rejects = list(parsed.rejects)
            if len(parsed.rows):
                context = ChunkContext(NO_JOB, 0, 1, options, compute=self._machine.compute_now)
                outcome = TransformProcessor().process(parsed.rows, context)
                summary = outcome.summary
                repeated = self._repeated(options, outcome, count)
                summary["rows"] -= len(repeated)
                lost = {reject.row_number for reject in repeated}
                summary["preview"] = [
                    row for row in summary.get("preview", ()) if row[0] not in lost
                ]
                rejects += located(form, span, data, [*outcome.rejects, *repeated])
        rejects.sort(key=lambda reject: reject.row_number)
        return {
            "dry_run": True,
            "sampled_rows": max(0, count),
            "rows": {"total": max(0, count), "ok": summary["rows"], "rejected": len(rejects)},
            "rejected_by_code": dict(Counter(reject.code for reject in rejects)),
            "columns": [
                {"name": column.name, "type": str(column.type)} for column in checked.columns
            ],
            "preview": [
                {"row_number": number, "data": row}
                for number, row in summary.get("preview", [])[:PREVIEW_ROWS]
            ],
            "rejects": [_body(reject) for reject in rejects[:SHOWN_REJECTS]],
            "output": None,
        }

    def _repeated(self, options: StoredOptions, outcome: ChunkOutcome, count: int) -> list[Reject]:
        """Return rejects for rows of the sample that repeat unique values, as for the whole
        file.
        """
        output = outcome.output
        if output is None or not any(output.key_counts):
            return []
        with TemporaryDirectory() as folder:
            parts = OutputParts(Path(folder))
            part = write_part(parts, NO_JOB, "sample", [output])
            where = str(parts.folder(NO_JOB))
            self._machine.compute_now(
                TransformProcessor.output.find_repeated,
                where,
                [(part["key_file"], part["keys"])],
                count,
            )
            rows = repeated_rows(where, 1, count)
            if not rows:
                return []
            repeats = self._machine.compute_now(
                assemble.repeated_values,
                document_of(options),
                where,
                part_file({"part": part}),
                rows,
            )
        return repeating(rows, repeats)


def _extra_cells(file: InputFile, mapping: Mapping) -> dict[str, list[str]]:
    """Return the names of the extra cells that the mapping may mean, if rows of the file may have
    more cells than the header.
    """
    if file.dialect.get("on_bad_row") != "keep":
        return {}
    header = file.dialect["columns"]
    last = max((int(number) for number in EXTRA_CELL.findall(mapping.model_dump_json())), default=0)
    return {
        "extra_cells": list(
            cell_names(header, min(last, len(header) + MAX_EXTRA_CELLS))[len(header) :]
        )
    }


def _body(reject: Reject) -> dict[str, Any]:
    names = ("row_number", "line", "column", "code", "message", "value")
    return {name: getattr(reject, name) for name in names}


def _invalid(problems: list[tuple[str, str]]) -> InvalidTransform:
    errors = [
        {"code": "invalid_transform", "pointer": pointer[:200], "detail": message[:300]}
        for pointer, message in problems
    ]
    first = errors[0]
    return InvalidTransform(f"{first['pointer']}: {first['detail']}", errors=errors)
