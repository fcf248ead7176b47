"""The plan of a load as the options of its job hold it: as JSON, which is read once."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from app.features.tables.plan import LoadPlan


def as_text(plan: LoadPlan) -> str:
    return msgspec.json.encode(plan).decode()


@lru_cache(64)
def from_text(text: str) -> LoadPlan:
    """Raises msgspec.ValidationError."""
    return msgspec.json.decode(text, type=LoadPlan)


def staged_columns(plan: LoadPlan) -> list[tuple[str, str]]:
    """Names and types of the columns that the load fills."""
    columns = [(column.name, column.type) for column in plan.columns]
    rescue = plan.definition.column(plan.rescue_column)
    if rescue is not None:
        columns.append((rescue.name, rescue.base_type or rescue.type))
    return columns
