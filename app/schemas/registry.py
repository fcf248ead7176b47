"""The schemas by name: the shipped one and those of the setting SCHEMAS, each
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
    """The schema at `package.module:Class`; raises SettingsInvalid."""
    module, _, name = path.partition(":")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingsInvalid(f"SCHEMAS: {path!r} cannot be loaded: {error}") from error
    if not (
        isinstance(found, type)
        and issubclass(found, RecordSchema)
        and hasattr(found, "schema_name")
    ):
        raise SettingsInvalid(f"SCHEMAS: {path!r} is not a RecordSchema with a schema_name.")
    if missing := [field for field in found.embedded if field not in found.model_fields]:
        raise SettingsInvalid(
            f"SCHEMAS: {path!r} wants to embed {missing[0]!r}, which is none of its fields."
        )
    return found


def schema_paths(extra: Iterable[str] = ()) -> dict[str, str]:
    """Import path by name; a name given again replaces the shipped schema of that name."""
    return {load(path).schema_name: path for path in (*SHIPPED, *extra)}
