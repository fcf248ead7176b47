"""Parameters of the doors. Values are read strictly: `5.0`, `1_0`, `true` or an Arabic digit is no
number, `yes` no truth value and a Unix time no moment: each is a 422, not a guess.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Depends, Path, Request
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from app.errors import InvalidParameter, NotFound
from app.formats.detect import Declared
from app.jobs.submit import Submission
from app.schemas.strict import datetime_text

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

OPTION = "option."
"""Before the name of a processor's option, among the parameters of an upload."""

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
    """From `a,b`, or from the list of one such text that a query parameter arrives as."""
    parts = [value] if isinstance(value, str) else value
    return [name.strip() for part in parts for name in part.split(",")]


def _character(value: Any) -> Any:
    """`\\t` and `tab` for what is hard to type in a URL; `none` switches a character off."""
    if isinstance(value, str):
        return {"\\t": "\t", "tab": "\t", "none": "", "\\x1f": "\x1f"}.get(value, value)
    return value


Flag = Annotated[bool, BeforeValidator(_flag)]
"""In a query or a form: `true`, `false`, `1` or `0`. In JSON use StrictBool."""

Integer = Annotated[int, BeforeValidator(_strict_integer)]
Name = Annotated[str, Field(max_length=100, pattern=r"^[^\x00]*$")]
"""Something to compare with in the database: PostgreSQL takes no NUL, not even for that."""
Priority = Annotated[Integer, Field(ge=0, le=10, description="0-10; higher goes first.")]
Limit = Annotated[Integer, Field(ge=1, le=10_000, description="Rows per page.")]
Offset = Annotated[Integer, Field(ge=0, le=2**62, description="Rows to skip.")]
After = Annotated[
    Integer,
    Field(ge=0, le=2**62, description="Row number of the last row seen: `next_after` of a page."),
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
            "How many rows may be rejected, or which percentage (`5%`): with more the job fails"
            " (`too_many_rejects`), and a load or a transform publishes nothing."
        ),
    ),
]


class JobOptions(BaseModel):
    """What can be said about the work on an upload, in the query or as form fields."""

    model_config = ConfigDict(extra="forbid")

    priority: Priority = 0
    chunk_size: Annotated[Integer, Field(ge=100, le=100_000)] | None = Field(
        default=None, description="Rows per chunk; if not given, what suits the processor."
    )
    max_rejects: MaxRejects = ""
    option: dict[str, str] = Field(
        default={}, description="Of the processor; GET /api/v1/job-types lists them."
    )

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, given: Any) -> Any:
        """`option.name=value` is the option `name` of the processor."""
        if not isinstance(given, Mapping):
            return given
        named = {
            name.removeprefix(OPTION): value
            for name, value in given.items()
            if name.startswith(OPTION)
        }
        if not named:
            return given
        rest = {name: value for name, value in given.items() if not name.startswith(OPTION)}
        return {**rest, "option": {**named, **rest.get("option", {})}}

    @classmethod
    def has(cls, name: str) -> bool:
        """Whether this is the name of a parameter."""
        return name.startswith(OPTION) or (name in cls.model_fields and name != "option")

    def processor_options(self) -> dict[str, str]:
        """By name, as they were written."""
        return dict(self.option)

    def apply_to(self, submission: Submission, content_type: str) -> Submission:
        """The submission with these options; `content_type` is that of the file."""
        return replace(
            submission,
            priority=self.priority,
            chunk_size=self.chunk_size,
            max_rejects=self.max_rejects,
            options=self.processor_options(),
        )

    def name_of(self, filename: str) -> str:
        """What the upload is to be called if its part of the form says `filename`."""
        return clean_filename(filename)


class UploadOptions(JobOptions):
    """Everything that can be said about an upload, in the query or as form fields."""

    processor: str = Field(
        default="rows", max_length=100, description="What is done with each row."
    )
    on_duplicate: Literal["existing", "reject", "new"] = Field(
        default="new",
        description=(
            "The same bytes with the same options again: answer with the `existing` upload,"
            " `reject` (409), or load them anew."
        ),
    )
    filename: str | None = Field(
        default=None, max_length=255, description="Name to show, for raw bodies."
    )
    format: Literal["csv", "json", "jsonl"] | None = Field(
        default=None, description="Detected if not given."
    )
    encoding: str | None = Field(
        default=None, max_length=40, description="utf-8, utf-16, cp1252, latin-1, ..."
    )
    delimiter: (
        Annotated[str, BeforeValidator(_character), Field(min_length=1, max_length=10)] | None
    ) = None
    quote: Annotated[str, BeforeValidator(_character), Field(max_length=1)] | None = None
    escape: Annotated[str, BeforeValidator(_character), Field(max_length=1)] | None = None
    newline: Literal["lf", "crlf", "cr", "any"] | None = None
    skip_initial_space: bool | None = Field(
        default=None, description="Spaces before a cell, and around its quotes, are no part of it."
    )
    skip_rows: Annotated[Integer, Field(ge=0, le=1000)] | None = Field(
        default=None, description="Lines before the header."
    )
    header_rows: Annotated[Integer, Field(ge=0, le=10)] | None = Field(
        default=None, description="0: no header."
    )
    skip_footer: Annotated[Integer, Field(ge=0, le=1000)] = Field(
        default=0, description="Records at the end that are no rows."
    )
    columns: Annotated[list[str], BeforeValidator(_names)] | None = Field(
        default=None, description="Names of the columns, separated by commas."
    )
    on_bad_row: Literal["reject", "keep"] = Field(
        default="reject",
        description=(
            "`keep` pads short rows with nulls, keeps the extra cells of long ones, and takes wrong"
            " quotes literally."
        ),
    )

    def apply_to(self, submission: Submission, content_type: str) -> Submission:
        submission = super().apply_to(submission, content_type)
        charset = re.search(r"charset=\"?([\w.:-]{1,40})", content_type, re.IGNORECASE)
        declared = Declared(
            format=self.format,
            encoding=self.encoding
            or (charset[1] if charset and media_type(content_type) != "application/json" else None),
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
        )
        return replace(
            submission, processor=self.processor, on_duplicate=self.on_duplicate, declared=declared
        )

    def name_of(self, filename: str) -> str:
        return clean_filename(self.filename or filename)


def media_type(content_type: str) -> str:
    """`text/csv` of `Text/CSV; charset=utf-8`."""
    return content_type.partition(";")[0].strip().lower()[:255]


async def single_values(request: Request) -> None:
    """A parameter given twice has no meaning that everybody would agree on."""
    keys = [key for key, _ in request.query_params.multi_items()]
    if len(set(keys)) != len(keys):
        raise given_twice("query", next(key for key in keys if keys.count(key) > 1))


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


async def file_id(
    file_id: Annotated[str, Path(description="The `file_id` of the upload, or the id of a job.")],
) -> UUID:
    return identifier(file_id)


async def only_file_id(
    file_id: Annotated[str, Path(description="The `file_id` of the upload.")],
) -> UUID:
    return identifier(file_id)


async def job_id(job_id: Annotated[str, Path(description="The `job_id`.")]) -> UUID:
    return identifier(job_id)


FileId = Annotated[UUID, Depends(file_id)]
OnlyFileId = Annotated[UUID, Depends(only_file_id)]
JobId = Annotated[UUID, Depends(job_id)]


def clean_filename(name: str) -> str:
    """For showing only: no control or direction characters, at most 255 characters."""
    return CONTROL.sub("_", name).strip()[:255] or "upload"
