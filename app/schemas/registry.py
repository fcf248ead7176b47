"""The schemas by name: the built-in one and those of the setting SCHEMAS, each
`package.module:Class`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib import import_module

from app.errors import SettingsInvalid
from app.schemas.base import RecordSchema

SHIPPED = ("app.schemas.people:People",)


@cache
def load(path: str) -> type[RecordSchema]:
    """Return the schema at `package.module:Class`; raises SettingsInvalid."""
    module, _, name = path.partition(":")
    try:
        schema = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingsInvalid(f"SCHEMAS: {path!r} cannot be loaded: {error}") from error
    if not (
        isinstance(schema, type)
        and issubclass(schema, RecordSchema)
        and hasattr(schema, "schema_name")
    ):
        raise SettingsInvalid(f"SCHEMAS: {path!r} is not a RecordSchema with a schema_name.")
    if missing := [field for field in schema.embedded if field not in schema.model_fields]:
        raise SettingsInvalid(
            f"SCHEMAS: {path!r} wants to embed {missing[0]!r}, which is not one of its fields."
        )
    return schema


def schema_paths(extra: Iterable[str] = ()) -> dict[str, str]:
    """Return the import paths by name. A repeated name replaces the built-in schema."""
    return {load(path).schema_name: path for path in (*SHIPPED, *extra)}
