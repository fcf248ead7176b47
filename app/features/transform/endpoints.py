"""/api/v1/jobs/transform: write the rows of a file in another shape into a new file."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Discriminator, Field, StrictBool, Tag, model_validator

from app.api.errors import problem_responses
from app.api.json import encoded_any
from app.api.parameters import Integer, Priority, checked_query
from app.api.queued import Fresh, Queued, accepted
from app.api.services import App, Owner, check_open
from app.features.templates.schemas import TemplateColumn
from app.features.transform import service as transform
from app.features.transform.schemas import TransformReport
from app.features.transform.spec import Mapping, Validation

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"], dependencies=[Depends(checked_query)])


class ProposedMapping(BaseModel):
    """The columns as a mapping job proposes them and templates keep them."""

    model_config = ConfigDict(extra="forbid")

    columns: list[TemplateColumn] = Field(min_length=1, max_length=1000)


def _kind(mapping: Any) -> str:
    """Return the intended kind of mapping, so that only that kind reports a mistake."""
    columns = mapping.get("columns") if isinstance(mapping, dict) else None
    first = columns[0] if isinstance(columns, list) and columns else None
    return "proposed" if isinstance(first, dict) and "reference_column" in first else "written"


AnyMapping = Annotated[
    Annotated[Mapping, Tag("written")] | Annotated[ProposedMapping, Tag("proposed")],
    Discriminator(_kind),
]
EXAMPLE: dict[str, Any] = {
    "input_file_id": "5f8d7572-72ca-4d13-9c59-85cfd0b3a5a1",
    "mapping": {
        "columns": [
            {
                "name": "id",
                "from": "Customer No",
                "steps": [{"operation": "cast", "to": "integer"}],
            },
            {
                "name": "name",
                "from": ["First", "Last"],
                "steps": [{"operation": "join", "separator": " "}],
            },
            {
                "name": "born",
                "from": "Birthday",
                "steps": [{"operation": "parse_date", "format": "%d.%m.%Y"}],
            },
            {"name": "total", "expression": "round(number(Price) * integer(Quantity), 2)"},
        ]
    },
    "output_format": "csv",
    "validation": {
        "columns": {"id": {"required": True, "unique": True}, "total": {"min": 0}},
        "checks": [{"expression": "year(born) > 1900"}],
    },
}


class TransformBody(BaseModel):
    """Operations of the transform; docs/transform.md has every operation."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE]})

    input_file_id: UUID = Field(
        description="Id of an upload, or of the output of another transform."
    )
    template_id: UUID | None = Field(default=None, description="Id of an accepted mapping.")
    template_version: Annotated[Integer, Field(ge=1, le=2**31)] | None = Field(
        default=None, description="The latest version by default."
    )
    mapping: AnyMapping | None = None
    output_format: Literal["csv", "jsonl", "parquet", "arrow", "xlsx"] = "csv"
    validation: Validation | None = None
    dry_run: StrictBool = Field(
        default=False, description="Run the whole transform, but write no file."
    )
    sample_rows: Annotated[Integer, Field(ge=1, le=10_000)] | None = Field(
        default=None,
        description="With `dry_run`: use only this number of first rows, and answer at once.",
    )
    priority: Priority = 0
    chunk_size: Annotated[Integer, Field(ge=100, le=100_000)] | None = Field(
        default=None, description="Rows per chunk; the service decides by default."
    )

    @model_validator(mode="after")
    def _one_of_them(self) -> TransformBody:
        if (self.mapping is None) == (self.template_id is None):
            raise ValueError("give either `mapping` or `template_id`")
        if self.sample_rows is not None and not self.dry_run:
            raise ValueError("`sample_rows` needs `dry_run`")
        if self.template_version is not None and self.template_id is None:
            raise ValueError("`template_version` needs `template_id`")
        return self


@router.post(
    "/transform",
    status_code=202,
    response_model=Queued,
    responses={
        200: {"model": TransformReport, "description": "The report of a dry run over a sample."},
        **problem_responses(400, 404, 409, 415, 422, 503),
    },
)
async def transform_file(
    body: TransformBody, app: App, owner: Owner, fresh: Fresh = False
) -> Response:
    """Bring the rows of a file into another shape. Every row ends in the new file, in the order of
    the old one, or in the rejects with its column, value and code. The file is complete when the
    job is completed: `result_file_id` of its status. `dry_run` reports counts, first rows and first
    rejects instead: immediately for a sample, otherwise as the job's result.
    """
    check_open(app)
    is_proposed = isinstance(body.mapping, ProposedMapping)
    request = transform.TransformRequest(
        output_format=body.output_format,
        mapping=body.mapping if isinstance(body.mapping, Mapping) else None,
        proposed=[column.model_dump() for column in body.mapping.columns] if is_proposed else None,  # type: ignore[union-attr]
        template_id=body.template_id,
        template_version=body.template_version,
        validation=body.validation,
        dry_run=body.dry_run,
        priority=body.priority,
        chunk_size=body.chunk_size,
    )
    if body.sample_rows is not None:
        report = await app.of(transform.Transforms).sample(
            owner, body.input_file_id, request, body.sample_rows
        )
        return encoded_any(report)
    job = await app.of(transform.Transforms).submit(owner, body.input_file_id, request, fresh=fresh)
    return accepted(job, "Transform job created and queued")
