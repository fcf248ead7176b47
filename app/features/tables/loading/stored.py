"""The plan of a load as the options of its job hold it: as JSON, which is read once."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from app.features.tables.definition import Column, TableDefinition
from app.features.tables.plan import LoadPlan

MOST_COLUMNS = 1600
"""Limit of PostgreSQL."""


def as_text(plan: LoadPlan) -> str:
    return msgspec.json.encode(plan).decode()


@lru_cache(64)
def from_text(text: str) -> LoadPlan:
    """Raises msgspec.ValidationError."""
    return msgspec.json.decode(text, type=LoadPlan)


def staged_columns(plan: LoadPlan) -> list[tuple[str, str]]:
    """Return the names and types of the columns that the load fills."""
    columns = [(column.name, column.type) for column in plan.columns]
    rescue = plan.definition.column(plan.rescue_column)
    if rescue is not None:
        columns.append((rescue.name, rescue.base_type or rescue.type))
    return columns


def filled_key(plan: LoadPlan) -> tuple[str, ...]:
    """Return the key of the load, or loaded columns with a unique constraint that always have a
    value; empty if there are none.
    """
    if plan.key:
        return plan.key
    loaded = {column.name for column in plan.columns}
    for constraint in plan.definition.constraints:
        is_unique = constraint.kind in ("primary_key", "unique") and not constraint.is_temporal
        is_plain = not constraint.predicate and not constraint.expressions
        is_filled = set(constraint.columns) <= loaded
        if is_unique and is_plain and is_filled:
            if all(_has_value(plan.definition, name) for name in constraint.columns):
                return constraint.columns
    return ()


def _has_value(definition: TableDefinition, name: str) -> bool:
    """Return whether the column never is NULL."""
    column = definition.column(name)
    return column is not None and (not column.is_nullable or name in definition.primary_key)


def numbered_columns(plan: LoadPlan) -> list[tuple[Column, str]]:
    """Return columns of the primary key that the database gives values, each with the expression
    for one. The staging table takes the values beforehand, so that the record of a load has the
    keys of the rows that it inserts. None are needed if other columns tell rows apart.
    """
    definition = plan.definition
    missing = [name for name in definition.primary_key if name not in plan.names]
    is_needed = plan.keeps_record and not plan.is_dry_run and not filled_key(plan)
    has_space = len(staged_columns(plan)) + len(missing) + 1 <= MOST_COLUMNS
    if definition.dialect == "sqlite" or not is_needed or not has_space:
        return []
    numbered: list[tuple[Column, str]] = []
    for name in missing:
        column = definition.column(name)
        value = "" if column is None else _next_value(definition, column)
        if column is None or not value:
            return []
        numbered.append((column, value))
    return numbered


def _next_value(definition: TableDefinition, column: Column) -> str:
    """Return the expression for a value of the column; empty if the database has none, or the role
    may not use it.
    """
    if not column.generated:
        return column.default or ""
    if column.generated == "computed" or "own" not in definition.rights:
        return ""
    table, name = _text(definition.name.sql), _text(column.name)
    return f"nextval(pg_get_serial_sequence({table}, {name}))"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
