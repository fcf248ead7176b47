"""Checks of records against a schema. They run in compute processes, so all arguments and results
can be pickled.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
from pydantic import ValidationError
from pydantic_core import SchemaValidator

from app.formats.base import cell_names
from app.schemas import registry
from app.schemas.base import RecordSchema
from app.schemas.strict import strict_validator

MAX_VALUE_CHARACTERS = 200
ESCAPE = re.compile(r"\\(u0000|.)", re.DOTALL)
"""In JSON backslashes occur in texts only, and each begins an escape."""
NUL_SHOWN = "\\x00"

Checked = tuple[bytes | None, str, list[dict[str, Any]] | None]
"""(result as JSON, record as JSON, problems). An invalid record has no result."""


def check_cells(
    path: str, fields: Sequence[str], rows: Sequence[Sequence[str | None]]
) -> list[Checked]:
    """Check rows of a CSV file; `fields` are the columns by the names of the schema. An empty cell
    is no value.
    """
    schema = registry.load(path)
    validator = strict_validator(schema, of_cells=True)
    checked: list[Checked] = []
    for cells in rows:
        names = cell_names(fields, len(cells))
        row = dict(zip(names, cells, strict=False))
        errors = _nul_errors(row)
        record = None
        if not errors:
            try:
                record = validator.validate_strings(_present(row, schema))
            except ValidationError as error:
                errors = _described(error, row)
        if record is None:
            shown = {
                _shown(name): None if cell is None else _shown(cell) for name, cell in row.items()
            }
            checked.append((None, _json(shown), errors))
            continue
        typed = record.model_dump(mode="json")
        result = msgspec.json.encode({name: typed.get(name) for name in names})
        checked.append((result, result.decode(), None))
    return checked


def _present(row: dict[str, str | None], schema: type[RecordSchema]) -> dict[str, Any]:
    """Return the cells that hold a value. An empty text is a value only in a field without a
    schema.
    """
    return {
        name: cell
        for name, cell in row.items()
        if cell or (cell is not None and name not in schema.model_fields)
    }


def check_objects(path: str, rows: Sequence[bytes]) -> list[Checked]:
    """Check objects of a JSON file. A valid object is kept byte for byte: no number is rounded, no
    key moved.
    """
    validator = strict_validator(registry.load(path), of_cells=False)
    checked: list[Checked] = []
    for raw in rows:
        members = _members(raw)
        errors = _nul_errors(members) if b"\\u0000" in raw else []
        if not errors:
            errors = _problems(validator, raw, members)
            checked.append((None if errors else raw, raw.decode(), errors or None))
        else:
            checked.append((None, _shown_json(raw), errors))
    return checked


def _members(raw: bytes) -> dict[str, Any]:
    """Return texts and nulls as values, all others as the JSON that they were written in."""
    members = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    return {name: _value(value) for name, value in members.items()}


def _value(raw: msgspec.Raw) -> Any:
    first = bytes(raw)[:1]
    return msgspec.json.decode(raw) if first in (b'"', b"n") else raw


Problem = dict[str, Any]
"""Members field, code, value and message."""


def _problems(validator: SchemaValidator, raw: bytes, members: dict[str, Any]) -> list[Problem]:
    try:
        validator.validate_json(raw)
    except ValidationError as error:
        return _described(error, members)
    return []


def _described(error: ValidationError, members: dict[str, Any]) -> list[Problem]:
    """Return one problem for each field."""
    by_field: dict[str, Problem] = {}
    for item in error.errors(include_url=False, include_context=False):
        field = str(item["loc"][0]) if item["loc"] else ""
        if field in by_field:
            continue
        value = members.get(field)
        code, message = item["type"], item["msg"]
        if value in (None, ""):
            code, message = "missing", "is required"
        by_field[field] = _problem(field, code, value, message)
    return list(by_field.values())


def _nul_errors(members: dict[str, Any]) -> list[Problem]:
    """Return the problems of texts with a NUL. PostgreSQL cannot store it in JSON, so such a record
    is refused on every database.
    """
    return [
        _problem(_shown(name), "nul_character", value, "holds a NUL character")
        for name, value in members.items()
        if _has_nul(name) or _has_nul(value)
    ]


def _problem(field: str, code: str, value: Any, message: str) -> Problem:
    return {"field": field, "code": code, "value": _brief(value), "message": message}


def _has_nul(value: Any) -> bool:
    if isinstance(value, msgspec.Raw):
        return any(escape[1] == "u0000" for escape in ESCAPE.finditer(bytes(value).decode()))
    return isinstance(value, str) and "\0" in value


def _shown(text: str) -> str:
    """Return the text with visible NULs."""
    return text.replace("\0", NUL_SHOWN)


def _shown_json(raw: bytes) -> str:
    """Return the JSON with visible NULs in its texts."""

    def visible(escape: re.Match[str]) -> str:
        return rf"\{NUL_SHOWN}" if escape[1] == "u0000" else escape[0]

    return ESCAPE.sub(visible, raw.decode())


def _brief(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, msgspec.Raw):
        return _shown_json(bytes(value))[:MAX_VALUE_CHARACTERS]
    return _shown(value[:MAX_VALUE_CHARACTERS])


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
