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
    """Return an identifier of SQL, for both databases."""
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
        """Return the name with its schema, quoted."""
        return f"{quoted(self.schema)}.{quoted(self.table)}"

    def __str__(self) -> str:
        """Return the name as requests write it: parts with a dot or a quote in them are quoted."""
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
    """Kind of the base type."""
    element_type: str = ""
    """Type of the elements of an array; the domain, if they are of one."""
    element_kind: TypeKind = "base"
    labels: tuple[str, ...] = ()
    """Labels of an enum, or of the enum that the elements of an array are."""
    domain_checks: tuple[Constraint, ...] = ()
    """Conditions of its domain; `VALUE` stands for the value in their definitions."""
    can_insert: bool = True
    """Whether the role may write it in new rows."""
    can_update: bool = True

    @property
    def has_value_without_source(self) -> bool:
        """Return whether a new row can do without a value for it."""
        return bool(self.is_nullable or self.default is not None or self.generated)


@dataclass(frozen=True, slots=True)
class Constraint:
    """A rule that each row must keep. A unique index that belongs to no constraint is one too."""

    name: str
    """Empty where the database has none: NOT NULL before PostgreSQL 18, and on SQLite."""
    kind: ConstraintKind
    columns: tuple[str, ...]
    """Columns of the constraint. A unique index on expressions may have others, which are none."""
    definition: str = ""
    """As the database writes it: `CHECK ((amount > 0))`, `CREATE UNIQUE INDEX ...`."""
    is_deferrable: bool = False
    is_deferred: bool = False
    """Checked at the end of a transaction, unless somebody says otherwise."""
    nulls_are_equal: bool = False
    """Whether a unique constraint is NULLS NOT DISTINCT."""
    references: TableName | None = None
    referenced_columns: tuple[str, ...] = ()
    match: Literal["simple", "full"] = "simple"
    """How a foreign key compares several columns."""
    is_index: bool = False
    """A unique index that belongs to no constraint."""
    expressions: tuple[str, ...] = ()
    """All that an index is on, columns included, if one of them is an expression."""
    predicate: str = ""
    """Condition of a partial index."""
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
    """Rules of PostgreSQL, which rewrite INSERT, UPDATE or DELETE. COPY does not see them."""
    rights: frozenset[Right] = frozenset(
        ("select", "insert", "update", "delete", "truncate", "own")
    )
    """Rights of the role on the whole table; `own`: it may change the definition."""
    oid: int | None = None
    """Id in PostgreSQL: a table that was dropped and made again has another."""
    partition_key: str = ""
    """Key of a partitioned table."""
    partition_bound: str = ""
    """Condition that the rows of a partition keep. No constraint of the catalogue says it."""
    has_children: bool = False
    """Whether tables inherit from it; of a partitioned table, whether it has partitions."""
    is_strict: bool = False
    """Whether a table of SQLite is STRICT."""
    has_rowid: bool = True
    """Whether a table of SQLite has a rowid."""

    def column(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)

    @property
    def primary_key(self) -> tuple[str, ...]:
        """Return the columns of the primary key; none if the table has no key."""
        for constraint in self.constraints:
            if constraint.kind == "primary_key":
                return constraint.columns
        return ()

    def unique_on(self, columns: tuple[str, ...]) -> Constraint | None:
        """Return the constraint or index by which no two rows have the same values in just these
        columns, in any order; None if there is none. Partial ones and those on expressions do not
        count.
        """
        for constraint in self.constraints:
            is_unique = constraint.kind in ("primary_key", "unique") and not constraint.is_temporal
            is_plain = not constraint.predicate and not constraint.expressions
            if is_unique and is_plain and set(constraint.columns) == set(columns):
                return constraint
        return None

    def fingerprint(self) -> str:
        """Return the SHA-256, in hexadecimal, of all that decides how rows are loaded. It changes
        with the definition, and not with the rows or the rights.
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
