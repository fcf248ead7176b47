"""Records held against a schema. Runs in the processes beside the service: everything here is sent there and back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
from pydantic import ValidationError
from pydantic_core import SchemaValidator

from app.formats.base import cell_names
from app.schemas import registry
from app.schemas.strict import strict_validator

MAX_VALUE_CHARACTERS = 200
ESCAPE = re.compile(r"\\(u0000|.)", re.DOTALL)
"""In JSON backslashes stand in texts only, and each begins an escape."""
NUL_SHOWN = "\\x00"

Checked = tuple[bytes | None, str, list[dict[str, Any]] | None]
"""(the result as JSON, the record as JSON, what is wrong with it). An invalid record has no result."""


def check_cells(path: str, fields: Sequence[str], rows: Sequence[Sequence[str | None]]) -> list[Checked]:
    """Rows of a CSV file; `fields` are their columns by the names of the schema. An empty cell is no value."""
    schema = registry.load(path)
    validator = strict_validator(schema, of_cells=True)
    checked: list[Checked] = []
    for cells in rows:
        names = cell_names(fields, len(cells))
        given = dict(zip(names, cells, strict=False))
        present = {name: cell for name, cell in given.items() if cell or name not in schema.model_fields}
        errors = _nul_errors(given)
        record = None
        if not errors:
            try:
                strings: dict[str, Any] = {k: v for k, v in present.items() if v is not None}
                record = validator.validate_strings(strings)
            except ValidationError as error:
                errors = _described(error, given)
        if record is None:
            shown = {_shown(name): None if cell is None else _shown(cell) for name, cell in given.items()}
            checked.append((None, _json(shown), errors))
            continue
        typed = record.model_dump(mode="json")
        result = msgspec.json.encode({name: typed.get(name) for name in names})
        checked.append((result, result.decode(), None))
    return checked


def check_objects(path: str, rows: Sequence[bytes]) -> list[Checked]:
    """Objects of a JSON file. A valid one is kept byte for byte: no number is rounded, no key moved."""
    validator = strict_validator(registry.load(path), of_cells=False)
    checked: list[Checked] = []
    for raw in rows:
        given = _members(raw)
        errors = _nul_errors(given) if b"\\u0000" in raw else []
        if not errors:
            errors = _problems(validator, raw, given)
            checked.append((None if errors else raw, raw.decode(), errors or None))
        else:
            checked.append((None, _shown_json(raw), errors))
    return checked


def _members(raw: bytes) -> dict[str, Any]:
    """Texts and nulls as values, all others as the JSON that they were written in."""
    members = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    return {name: _value(value) for name, value in members.items()}


def _value(raw: msgspec.Raw) -> Any:
    first = bytes(raw)[:1]
    return msgspec.json.decode(raw) if first in (b'"', b"n") else raw


def _problems(validator: SchemaValidator, raw: bytes, given: dict[str, Any]) -> list[dict[str, Any]]:
    try:
        validator.validate_json(raw)
    except ValidationError as error:
        return _described(error, given)
    return []


def _described(error: ValidationError, given: dict[str, Any]) -> list[dict[str, Any]]:
    """field, code, value and message of each problem, one to a field."""
    found: dict[str, dict[str, Any]] = {}
    for item in error.errors(include_url=False, include_context=False):
        field = str(item["loc"][0]) if item["loc"] else ""
        value = given.get(field)
        code, message = item["type"], item["msg"]
        if value in (None, "") and field not in found:
            code, message = "missing", "is required"
        found.setdefault(field, {"field": field, "code": code, "value": _brief(value), "message": message})
    return list(found.values())


def _nul_errors(given: dict[str, Any]) -> list[dict[str, Any]]:
    """PostgreSQL has no way to store a NUL in JSON, so such a record is refused on every database."""
    return [
        {"field": _shown(name), "code": "nul_character", "value": _brief(value), "message": "holds a NUL character"}
        for name, value in given.items()
        if _has_nul(name) or _has_nul(value)
    ]


def _has_nul(value: Any) -> bool:
    if isinstance(value, msgspec.Raw):
        return any(escape[1] == "u0000" for escape in ESCAPE.finditer(bytes(value).decode()))
    return isinstance(value, str) and "\0" in value


def _shown(text: str) -> str:
    """With NULs made visible."""
    return text.replace("\0", NUL_SHOWN)


def _shown_json(raw: bytes) -> str:
    """The same JSON with the NULs in its texts made visible."""
    return ESCAPE.sub(lambda escape: rf"\{NUL_SHOWN}" if escape[1] == "u0000" else escape[0], raw.decode())


def _brief(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, msgspec.Raw):
        return _shown_json(bytes(value))[:MAX_VALUE_CHARACTERS]
    return _shown(value[:MAX_VALUE_CHARACTERS])


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
