"""A table of the user, as the catalogue of its database describes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TableKind = Literal["table", "partitioned", "view", "materialized_view", "foreign", "virtual"]
ConstraintKind = Literal["primary_key", "unique", "not_null", "check", "foreign_key", "exclusion"]
Generated = Literal["", "identity_always", "identity_by_default", "computed"]


@dataclass(frozen=True, slots=True)
class TableName:
    """Where a table is. `connection` is a name from CONNECTIONS; empty for the database of the
    service.
    """

    schema: str
    table: str
    connection: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: str
    """As the database writes it: `numeric(12,2)`, `timestamp with time zone`, `TEXT`."""
    is_nullable: bool
    default: str | None = None
    """The expression, as the database writes it."""
    generated: Generated = ""
    base_type: str = ""
    """What a domain is made of, or `type` itself."""


@dataclass(frozen=True, slots=True)
class Constraint:
    name: str
    kind: ConstraintKind
    columns: tuple[str, ...]
    definition: str = ""
    """As the database writes it."""
    is_deferrable: bool = False
    nulls_are_equal: bool = False
    """Of a unique constraint: NULLS NOT DISTINCT."""
    references: TableName | None = None
    referenced_columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TableDefinition:
    """Everything that a load has to know of a table."""

    name: TableName
    kind: TableKind
    columns: tuple[Column, ...]
    constraints: tuple[Constraint, ...] = ()
    triggers: tuple[str, ...] = ()
    """Names of those that the user made."""
    has_row_security: bool = False
    estimated_rows: int | None = None

    def column(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)

    @property
    def primary_key(self) -> tuple[str, ...]:
        """Empty if the table has none."""
        for constraint in self.constraints:
            if constraint.kind == "primary_key":
                return constraint.columns
        return ()
