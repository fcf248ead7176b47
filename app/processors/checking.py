"""Records held against a schema. Runs in the processes beside the service: everything here is sent there and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from pydantic import ValidationError

from app.formats.base import cell_names
from app.schemas import registry
from app.schemas.base import RecordSchema

MAX_VALUE_CHARACTERS = 200

Checked = tuple[bytes | None, str, list[dict[str, Any]] | None]
"""(the result as JSON, the record as JSON, what is wrong with it). An invalid record has no result."""


def check_cells(path: str, fields: Sequence[str], rows: Sequence[Sequence[str | None]]) -> list[Checked]:
    """Rows of a CSV file; `fields` are their columns by the names of the schema. An empty cell is no value."""
    schema = registry.load(path)
    checked: list[Checked] = []
    for cells in rows:
        names = cell_names(fields, len(cells))
        given = dict(zip(names, cells, strict=False))
        present = {name: cell for name, cell in given.items() if cell or name not in schema.model_fields}
        errors = _nul_errors(given)
        record = None
        if not errors:
            try:
                record = schema.model_validate_strings({k: v for k, v in present.items() if v is not None})
            except ValidationError as error:
                errors = _described(error, given)
        if record is None:
            checked.append((None, _json(_shown(given)), errors))
            continue
        typed = record.model_dump(mode="json")
        result = msgspec.json.encode({name: typed.get(name) for name in names})
        checked.append((result, result.decode(), None))
    return checked


def check_objects(path: str, rows: Sequence[bytes]) -> list[Checked]:
    """Objects of a JSON file. A valid one is kept byte for byte: no number is rounded, no key moved."""
    schema = registry.load(path)
    checked: list[Checked] = []
    for raw in rows:
        given = msgspec.json.decode(raw)
        errors = _nul_errors(given) if b"\\u0000" in raw else []
        if not errors:
            errors = _problems(schema, raw, given)
            checked.append((None if errors else raw, raw.decode(), errors or None))
        else:
            checked.append((None, _json(_shown(given)), errors))
    return checked


def _problems(schema: type[RecordSchema], raw: bytes, given: dict[str, Any]) -> list[dict[str, Any]]:
    try:
        schema.model_validate_json(raw)
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
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_has_nul(part) for item in value.items() for part in item)
    return isinstance(value, list) and any(map(_has_nul, value))


def _shown(value: Any) -> Any:
    """With NULs made visible, at any depth."""
    if isinstance(value, str):
        return value.replace("\0", "\\x00")
    if isinstance(value, list):
        return [_shown(item) for item in value]
    if isinstance(value, dict):
        return {_shown(key): _shown(item) for key, item in value.items()}
    return value


def _brief(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else _json(value)
    return str(_shown(text[:MAX_VALUE_CHARACTERS]))


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
