"""Parameters that several endpoints share.

Values are parsed strictly: `5.0`, `1_0`, `true` and Arabic digits are not numbers, `yes` is not a
boolean, and a Unix time is not a date. Each is a 422, never a guess.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Depends, Path, Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from app.api.services import owner, services_of
from app.db.jobs import find_id
from app.db.labels import LABEL_CHARACTERS, MOST_LABELS
from app.errors import InvalidParameter, NotFound
from app.formats.base import MAX_COLUMNS
from app.formats.detect import Declared
from app.jobs.submit import Submission
from app.schemas.strict import datetime_text

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

OPTION = "option."
"""Prefix of a processor's options among the parameters of an upload."""

FLAGS = {"true": True, "1": True, "false": False, "0": False}


def _strict_integer(value: Any) -> Any:
    if isinstance(value, str):
        if not re.fullmatch(r"-?[0-9]{1,19}", value, re.ASCII):
            raise ValueError("must be a whole number written in digits")
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("must be a whole number")
    return value


def _flag(value: Any) -> Any:
    if isinstance(value, str) and value.lower() in FLAGS:
        return FLAGS[value.lower()]
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _names(value: Any) -> Any:
    """Split `a,b`; a query parameter arrives as a list of one such text."""
    parts = [value] if isinstance(value, str) else value
    return [name.strip() for part in parts for name in part.split(",")]


def _widths(value: Any) -> Any:
    """Split `10,5,*`; `*`, which may only be the last, becomes 0."""
    parts = _names(value) if isinstance(value, str) else value
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        parts = _names(value)
    if not isinstance(parts, list) or any(part in ("0", 0, "*") for part in parts[:-1]):
        raise ValueError("must be numbers of characters, and the last may be *")
    return [0 if part == "*" else part for part in parts]


def _character(value: Any) -> Any:
    """Return the character for `\\t`, `tab` or `none`, which are hard to type in a URL; `none`
    switches a character off.
    """
    if isinstance(value, str):
        return {"\\t": "\t", "tab": "\t", "none": "", "\\x1f": "\x1f"}.get(value, value)
    return value


Flag = Annotated[bool, BeforeValidator(_flag)]
"""A boolean in a query or a form: `true`, `false`, `1` or `0`. In JSON use StrictBool."""

Integer = Annotated[int, BeforeValidator(_strict_integer)]
Name = Annotated[str, Field(max_length=100, pattern=r"^[^\x00]*$")]
"""Text to compare with in the database. PostgreSQL accepts no NUL, not even in a comparison."""
Priority = Annotated[Integer, Field(ge=0, le=10, description="0-10; higher goes first.")]
Limit = Annotated[Integer, Field(ge=1, le=10_000, description="Rows per page.")]
Offset = Annotated[Integer, Field(ge=0, le=2**62, description="Rows to skip.")]
After = Annotated[
    Integer,
    Field(
        ge=0,
        le=2**62,
        description="Row number of the last row read: `next_after` of the previous page.",
    ),
]

Moment = Annotated[
    AwareDatetime,
    Field(
        ge=datetime(1970, 1, 1, tzinfo=UTC),
        le=datetime(9000, 1, 1, tzinfo=UTC),
        description="ISO 8601 with an offset.",
    ),
    BeforeValidator(datetime_text),
]


def _labels(value: Any) -> Any:
    """Split `a,b`; a query parameter arrives as a list of such texts. Empty ones are left out."""
    parts = [value] if isinstance(value, str) else value
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise ValueError("must be labels separated by commas")
    names = (name.strip() for part in parts for name in part.split(","))
    return list(dict.fromkeys(name for name in names if name))


Label = Annotated[
    str, Field(min_length=1, max_length=LABEL_CHARACTERS, pattern=r"^[^,\x00-\x1f\x7f-\x9f]+$")
]
Labels = Annotated[list[Label], BeforeValidator(_labels), Field(max_length=MOST_LABELS)]
"""In JSON a list, in a query repeated or separated by commas, in a form separated by commas."""
REPEATABLE = frozenset({"label"})
"""Parameters of a query that may be given more than once."""


def _as_text(value: Any) -> Any:
    """A number may be given as one."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_number else value


MaxRejects = Annotated[
    str,
    BeforeValidator(_as_text),
    Field(
        pattern=r"^(\d{1,15}|\d{1,3}(\.\d{1,4})?%)?$",
        description=(
            "How many rows may be rejected, as a number or percentage (`5%`). With more "
            "rejects the job fails (`too_many_rejects`), and a load or transform publishes "
            "nothing."
        ),
    ),
]


class JobOptions(BaseModel):
    """Options of the job of an upload, in the query or as form fields."""

    model_config = ConfigDict(extra="forbid")

    priority: Priority = 0
    chunk_size: Annotated[Integer, Field(ge=100, le=100_000)] | None = Field(
        default=None, description="Rows per chunk; the processor's own number by default."
    )
    max_rejects: MaxRejects = ""
    label: Labels = Field(
        default=[], description="Labels of the job, repeated or separated by commas."
    )
    option: dict[str, str] = Field(
        default={}, description="Options of the processor; GET /api/v1/job-types lists them."
    )

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, values: Any) -> Any:
        """Collect `option.name=value` parameters as options of the processor."""
        if not isinstance(values, Mapping):
            return values
        named = {
            name.removeprefix(OPTION): value
            for name, value in values.items()
            if name.startswith(OPTION)
        }
        if not named:
            return values
        others = {name: value for name, value in values.items() if not name.startswith(OPTION)}
        return {**others, "option": {**named, **others.get("option", {})}}

    @classmethod
    def has(cls, name: str) -> bool:
        """Return whether a parameter has this name."""
        return name.startswith(OPTION) or (name in cls.model_fields and name != "option")

    def processor_options(self) -> dict[str, str]:
        """Return the options of the processor as they were written, by name."""
        return dict(self.option)

    def apply_to(self, submission: Submission, content_type: str) -> Submission:
        """Return the submission with these options; `content_type` is that of the file."""
        return replace(
            submission,
            priority=self.priority,
            chunk_size=self.chunk_size,
            max_rejects=self.max_rejects,
            labels=tuple(self.label),
            options=self.processor_options(),
        )

    def name_of(self, filename: str) -> str:
        """Return the name of an upload whose form part says `filename`."""
        return clean_filename(filename)


class DialectOptions(BaseModel):
    """How a file is read; settings that are missing are detected."""

    format: (
        Literal["csv", "json", "jsonl", "fixed", "geojson", "xml", "parquet", "arrow", "orc"] | None
    ) = Field(default=None, description="Detected by default.")
    sheet: str | None = Field(
        default=None,
        max_length=255,
        description="Of a workbook: the name of the sheet, or its number from 1.",
    )
    widths: (
        Annotated[
            list[Annotated[Integer, Field(ge=0, le=100_000)]],
            BeforeValidator(_widths),
            Field(min_length=1, max_length=MAX_COLUMNS),
        ]
        | None
    ) = Field(
        default=None,
        description=(
            "Width of each column in characters, such as `10,5,20`; a last `*` takes the rest "
            "of the line. Names are in the first line, or in `columns`."
        ),
    )
    members: str | None = Field(
        default=None,
        min_length=1,
        max_length=1000,
        description="Files of an archive to read, by names or patterns: `*.csv,2024/*.xlsx`.",
    )
    records: str | None = Field(
        default=None,
        max_length=1000,
        description="Path of the records in JSON, such as `data.items`, or XML, such as `/orders/order`.",
    )
    record_key: str | None = Field(
        default=None,
        min_length=1,
        max_length=1000,
        description=(
            "Read the members of a JSON object as records; the column with this name gets the keys."
        ),
    )
    flatten: Annotated[Integer, Field(ge=0, le=64)] | None = Field(
        default=None,
        description="Levels of nested JSON objects or XML elements that become columns (`a.b`).",
    )
    encoding: str | None = Field(
        default=None, max_length=40, description="utf-8, utf-16, cp1252, shift_jis, ..."
    )
    delimiter: (
        Annotated[str, BeforeValidator(_character), Field(min_length=1, max_length=10)] | None
    ) = None
    quote: Annotated[str, BeforeValidator(_character), Field(max_length=1)] | None = None
    escape: Annotated[str, BeforeValidator(_character), Field(max_length=1)] | None = None
    newline: Literal["lf", "crlf", "cr", "any"] | None = None
    skip_initial_space: bool | None = Field(
        default=None, description="Drop spaces before cells and around their quotes."
    )
    skip_rows: Annotated[Integer, Field(ge=0, le=1000)] | None = Field(
        default=None, description="Lines before the header."
    )
    header_rows: Annotated[Integer, Field(ge=0, le=10)] | None = Field(
        default=None, description="Header rows; 0 if there is no header."
    )
    skip_footer: Annotated[Integer, Field(ge=0, le=1000)] | None = Field(
        default=None, description="Records at the end that are not rows; detected by default."
    )
    columns: Annotated[list[str], BeforeValidator(_names)] | None = Field(
        default=None, description="Column names, separated by commas."
    )
    on_bad_row: Literal["reject", "keep"] = Field(
        default="reject",
        description=(
            "`keep` pads short rows with nulls, keeps extra cells of long rows, and takes "
            "misplaced quotes literally."
        ),
    )

    def declared(self, content_type: str) -> Declared:
        """The same for a file of this content type, which may name its encoding."""
        return Declared(
            format=self.format,
            sheet=self.sheet,
            members=self.members,
            encoding=self.encoding or charset_of(content_type),
            delimiter=self.delimiter,
            quote=self.quote,
            escape=self.escape,
            newline=self.newline,
            skip_initial_space=self.skip_initial_space,
            skip_rows=self.skip_rows,
            header_rows=self.header_rows,
            skip_footer=self.skip_footer,
            columns=self.columns,
            on_bad_row=self.on_bad_row,
            widths=self.widths,
            records=self.records,
            record_key=self.record_key,
            flatten=self.flatten,
        )


class UploadOptions(DialectOptions, JobOptions):
    """Options of an upload, in the query or as form fields."""

    processor: str = Field(
        default="rows", max_length=100, description="Processor that runs each row."
    )
    on_duplicate: Literal["existing", "reject", "new"] = Field(
        default="new",
        description=(
            "If the same bytes were uploaded with the same options before: return the "
            "`existing` upload, `reject` it (409), or load the bytes again."
        ),
    )
    filename: str | None = Field(
        default=None, max_length=255, description="Name to show, for raw bodies."
    )

    def apply_to(self, submission: Submission, content_type: str) -> Submission:
        submission = super().apply_to(submission, content_type)
        return replace(
            submission,
            processor=self.processor,
            on_duplicate=self.on_duplicate,
            declared=self.declared(content_type),
        )

    def name_of(self, filename: str) -> str:
        return clean_filename(self.filename or filename)


def media_type(content_type: str) -> str:
    """Return `text/csv` for `Text/CSV; charset=utf-8`."""
    return content_type.partition(";")[0].strip().lower()[:255]


def charset_of(content_type: str) -> str | None:
    """Return the encoding that a content type names; None for JSON, which has no charset."""
    charset = re.search(r"charset=\"?([\w.:-]{1,40})", content_type, re.IGNORECASE)
    return charset[1] if charset and media_type(content_type) != "application/json" else None


async def checked_query(request: Request) -> None:
    """Reject a parameter that the route does not have, and one that is given more than once.

    A misspelt parameter would be ignored otherwise, and clients and servers disagree on the
    meaning of a repeated one.
    """
    names = [name for name, _ in request.query_params.multi_items()]
    for name, count in Counter(names).items():
        if count > 1 and name not in REPEATABLE:
            raise given_twice("query", name)
    known = _query_names(request.scope["route"]) if names else None
    if known is None:
        return
    unknown = [name for name in dict.fromkeys(names) if name not in known]
    if unknown:
        raise RequestValidationError(
            [{"type": "extra_forbidden", "loc": ("query", name), "msg": ""} for name in unknown]
        )


_names_by_endpoint: dict[Any, frozenset[str] | None] = {}


def _query_names(route: APIRoute) -> frozenset[str] | None:
    """Return the names of the parameters in the query that the route and its dependencies declare;
    None if they are a model, which checks the names itself.
    """
    if route.endpoint not in _names_by_endpoint:
        _names_by_endpoint[route.endpoint] = _declared_names(route.dependant)
    return _names_by_endpoint[route.endpoint]


def _declared_names(dependant: Dependant) -> frozenset[str] | None:
    names: set[str] = set()
    waiting = [dependant]
    while waiting:
        current = waiting.pop()
        for parameter in current.query_params:
            kind = parameter.field_info.annotation
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                return None
            names.add(parameter.alias)
        waiting += current.dependencies
    return frozenset(names)


def given_twice(where: str, name: str) -> InvalidParameter:
    return InvalidParameter(
        "A parameter is given more than once.",
        errors=[{"code": "repeated", "pointer": f"{where}/{name[:60]}", "detail": "Give it once."}],
    )


def identifier(value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError:
        raise NotFound from None


async def _with_numbers(request: Request, value: str) -> UUID:
    """Return the id that a path names: by itself, or by the number of the caller's job."""
    if not re.fullmatch(r"[1-9][0-9]{0,17}", value):
        return identifier(value)
    who = await owner(request)
    async with services_of(request).database.reading() as connection:
        job_id = await find_id(connection, int(value), who)
    if job_id is None:
        raise NotFound
    return job_id


async def file_id(
    request: Request,
    file_id: Annotated[
        str, Path(description="The `file_id` of an upload, or the id or number of a job.")
    ],
) -> UUID:
    return await _with_numbers(request, file_id)


async def only_file_id(
    file_id: Annotated[str, Path(description="The `file_id` of an upload.")],
) -> UUID:
    return identifier(file_id)


async def job_id(
    request: Request,
    job_id: Annotated[str, Path(description="The `job_id`, or the number of the job.")],
) -> UUID:
    return await _with_numbers(request, job_id)


FileId = Annotated[UUID, Depends(file_id)]
OnlyFileId = Annotated[UUID, Depends(only_file_id)]
JobId = Annotated[UUID, Depends(job_id)]


def clean_filename(name: str) -> str:
    """Return the name without control and direction characters, at most 255 characters, for display
    only.
    """
    return CONTROL.sub("_", name).strip()[:255] or "upload"
