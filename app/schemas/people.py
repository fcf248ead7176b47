"""The default schema of imports."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from app.schemas.base import Email, Filled, RecordSchema, WholeNumber


class People(RecordSchema):
    schema_name: ClassVar[str] = "people"
    embedded: ClassVar[tuple[str, ...]] = ("name", "department")

    name: Filled
    email: Email
    age: Annotated[WholeNumber, Field(ge=0, le=150)] | None = None
    department: str | None = None
