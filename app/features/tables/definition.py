"""A table of the user, as the catalogue of its database describes it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Literal

import msgspec

TableKind = Literal["table", "partitioned", "view", "materialized_view", "foreign", "virtual"]
ConstraintKind = Literal["primary_key", "unique", "not_null", "check", "foreign_key", "exclusion"]
Generated = Literal["", "identity_always", "identity_by_default", "computed"]
TypeKind = Literal["base", "enum", "array", "composite", "range"]
Right = Literal["select", "insert", "update", "delete", "truncate", "own"]
Dialect = Literal["postgresql", "sqlite"]


def quoted(identifier: str) -> str:
    """As an identifier of SQL, on both databases."""
    return '"' + identifier.replace('"', '""') + '"'


@dataclass(frozen=True, slots=True)
class TableName:
    """Where a table is. `connection` is a name from CONNECTIONS; empty for the database of the
    service.
    """

    schema: str
    table: str
    connection: str = ""

    @property
    def sql(self) -> str:
        """With its schema, quoted."""
        return f"{quoted(self.schema)}.{quoted(self.table)}"

    def __str__(self) -> str:
        """As requests write it: parts with a dot or a quote in them are quoted."""
        parts = [quoted(p) if set('."') & set(p) else p for p in (self.schema, self.table) if p]
        return ".".join(parts)


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: str
    """As the database writes it: `numeric(12,2)`, `timestamp with time zone`, `TEXT`."""
    is_nullable: bool
    """False also where the domain is NOT NULL."""
    default: str | None = None
    """The expression, as the database writes it; of a domain, if the column has none."""
    generated: Generated = ""
    """On SQLite the column that stands for the rowid is `identity_by_default`."""
    base_type: str = ""
    """What a domain is made of, or `type` itself."""
    kind: TypeKind = "base"
    """Of the base type."""
    element_type: str = ""
    """Of an array: the type of its elements; that of a domain, if they are of one."""
    element_kind: TypeKind = "base"
    labels: tuple[str, ...] = ()
    """Of an enum, or of the enum that the elements of an array are."""
    domain_checks: tuple[Constraint, ...] = ()
    """Conditions of its domain; `VALUE` stands for the value in their definitions."""
    can_insert: bool = True
    """Whether the role may write it in new rows."""
    can_update: bool = True

    @property
    def has_value_without_source(self) -> bool:
        """Whether a new row can do without a value for it."""
        return bool(self.is_nullable or self.default is not None or self.generated)


@dataclass(frozen=True, slots=True)
class Constraint:
    """A rule that each row must keep. A unique index that belongs to no constraint is one too."""

    name: str
    """Empty where the database has none: NOT NULL before PostgreSQL 18, and on SQLite."""
    kind: ConstraintKind
    columns: tuple[str, ...]
    """Of a unique index on expressions: those of its columns that are none."""
    definition: str = ""
    """As the database writes it: `CHECK ((amount > 0))`, `CREATE UNIQUE INDEX ...`."""
    is_deferrable: bool = False
    is_deferred: bool = False
    """Checked at the end of a transaction, unless somebody says otherwise."""
    nulls_are_equal: bool = False
    """Of a unique constraint: NULLS NOT DISTINCT."""
    references: TableName | None = None
    referenced_columns: tuple[str, ...] = ()
    match: Literal["simple", "full"] = "simple"
    """Of a foreign key."""
    is_index: bool = False
    """A unique index that belongs to no constraint."""
    expressions: tuple[str, ...] = ()
    """Of an index: all that it is on, columns included, if one of them is an expression."""
    predicate: str = ""
    """Of a partial index."""
    is_temporal: bool = False
    """WITHOUT OVERLAPS or PERIOD: its last column is compared by overlap."""


@dataclass(frozen=True, slots=True)
class TableDefinition:
    """Everything that a load has to know of a table."""

    name: TableName
    kind: TableKind
    columns: tuple[Column, ...]
    constraints: tuple[Constraint, ...] = ()
    triggers: tuple[str, ...] = ()
    """Names of those that the user made and that are enabled."""
    has_row_security: bool = False
    """Whether policies hide or refuse rows from the role that loads."""
    estimated_rows: int | None = None
    """None if the database does not know."""
    dialect: Dialect = "postgresql"
    rules: tuple[str, ...] = ()
    """Of PostgreSQL, which rewrite INSERT, UPDATE or DELETE. COPY does not see them."""
    rights: frozenset[Right] = frozenset(
        ("select", "insert", "update", "delete", "truncate", "own")
    )
    """Of the role on the whole table; `own`: it may change the definition."""
    oid: int | None = None
    """Of PostgreSQL: a table that was dropped and made again has another."""
    partition_key: str = ""
    """Of a partitioned table."""
    partition_bound: str = ""
    """Of a partition: the condition that its rows keep. No constraint of the catalogue says it."""
    has_children: bool = False
    """Whether tables inherit from it; of a partitioned table, whether it has partitions."""
    is_strict: bool = False
    """Of SQLite."""
    has_rowid: bool = True
    """Of SQLite."""

    def column(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)

    @property
    def primary_key(self) -> tuple[str, ...]:
        """Empty if the table has none."""
        for constraint in self.constraints:
            if constraint.kind == "primary_key":
                return constraint.columns
        return ()

    def unique_on(self, columns: tuple[str, ...]) -> Constraint | None:
        """The constraint or index by which no two rows have the same values in just these columns,
        in any order; None if there is none. Partial ones and those on expressions do not count.
        """
        for constraint in self.constraints:
            is_unique = constraint.kind in ("primary_key", "unique") and not constraint.is_temporal
            is_plain = not constraint.predicate and not constraint.expressions
            if is_unique and is_plain and set(constraint.columns) == set(columns):
                return constraint
        return None

    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, of all that decides how rows are loaded. It changes with the
        definition, and not with the rows or the rights.
        """
        columns = [replace(column, can_insert=True, can_update=True) for column in self.columns]
        lasting = (
            self.oid,
            self.kind,
            columns,
            sorted(self.constraints, key=lambda each: (each.kind, each.name, each.columns)),
            self.triggers,
            self.rules,
            self.has_row_security,
            self.partition_key,
            self.partition_bound,
            self.is_strict,
            self.has_rowid,
        )
        return hashlib.sha256(msgspec.json.encode(lasting)).hexdigest()
