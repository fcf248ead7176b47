"""The base of schemas: a Pydantic model of one record, with a name, and the fields whose text is
embedded for search.

Values are never guessed. Cells of a CSV file are text, so a number must be written in digits, and
is returned as written; in JSON a number must be a number. Nothing is trimmed, lower-cased or filled
in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationInfo
from pydantic_core import PydanticCustomError

WHOLE = re.compile(r"0|-?[1-9][0-9]{0,18}", re.ASCII)


class RecordSchema(BaseModel):
    """Base of every schema. Columns that it does not name are kept unchanged."""

    model_config = ConfigDict(extra="allow", strict=True)

    schema_name: ClassVar[str]
    """Name of the schema in imports."""

    embedded: ClassVar[tuple[str, ...]] = ()
    """Fields whose values, joined by a comma and a space, are the text of a record in semantic
    search. None disables it.
    """

    @classmethod
    def required(cls) -> list[str]:
        return [name for name, field in cls.model_fields.items() if field.is_required()]

    @classmethod
    def text_of(cls, data: Mapping[str, Any]) -> str:
        """Return the text of a valid record to embed."""
        return ", ".join(
            str(data[name]) for name in cls.embedded if data.get(name) not in (None, "")
        )


def _digits(value: Any, info: ValidationInfo) -> Any:
    """Accept text only from cells: in JSON, a quoted whole number is text."""
    if isinstance(value, str) and info.mode != "json":
        if not WHOLE.fullmatch(value):
            raise PydanticCustomError(
                "whole_number", "must be a whole number, written in digits only"
            )
        return int(value)
    return value


def _not_blank(value: str) -> str:
    if not value.strip():
        raise PydanticCustomError("blank", "must not be blank")
    return value


def _email(value: str) -> str:
    """Check an email address; it is stored as written."""
    # takes 20 ms, and only where records are checked
    from email_validator import EmailNotValidError, validate_email

    try:
        validate_email(value, check_deliverability=False)
    except EmailNotValidError as error:
        raise PydanticCustomError("email", "{reason}", {"reason": str(error)}) from None
    return value


WholeNumber = Annotated[int, BeforeValidator(_digits)]
"""An integer. Text must consist of digits: `030`, `30.0`, `1e2` and ` 30` are invalid."""

Filled = Annotated[str, AfterValidator(_not_blank)]
Email = Annotated[str, AfterValidator(_email)]
