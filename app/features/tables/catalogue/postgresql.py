"""From the rows of pg_catalog to the definition of a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from sqlalchemy.ext.asyncio import AsyncConnection

from app.features.tables.catalogue import queries
from app.features.tables.catalogue.queries import (
    ColumnRow,
    ConstraintRow,
    IndexRow,
    Relation,
    TypeRow,
)
from app.features.tables.definition import (
    Column,
    Constraint,
    ConstraintKind,
    Generated,
    Right,
    TableDefinition,
    TableKind,
    TableName,
    TypeKind,
)

KINDS: dict[str, TableKind] = {
    "r": "table",
    "p": "partitioned",
    "v": "view",
    "m": "materialized_view",
    "f": "foreign",
}
CONSTRAINTS: dict[str, ConstraintKind] = {
    "p": "primary_key",
    "u": "unique",
    "c": "check",
    "f": "foreign_key",
    "x": "exclusion",
    "n": "not_null",
}
IDENTITIES: dict[str, Generated] = {"a": "identity_always", "d": "identity_by_default"}
TYPE_KINDS: dict[str, TypeKind] = {"e": "enum", "c": "composite", "r": "range", "m": "range"}
ARRAY = "[]"


async def read(connection: AsyncConnection, name: TableName) -> TableDefinition | None:
    """Return the definition; None if there is no such table or view."""
    relation = await queries.find_relation(connection, name.schema, name.table)
    if relation is None:
        return None
    types = {row.oid: row for row in await queries.list_types(connection, relation.oid)}
    domains = [oid for oid, type_ in types.items() if type_.kind == "d"]
    constraints = await queries.list_constraints(connection, relation.oid, domains)
    own = [row for row in constraints if not row.domain_oid]
    of_domains = [row for row in constraints if row.domain_oid]
    column_rows = await queries.list_columns(connection, relation.oid)
    indexes = await queries.list_unique_indexes(connection, relation.oid)
    return TableDefinition(
        name=TableName(relation.schema, relation.name, name.connection),
        kind=KINDS[relation.kind],
        columns=tuple(_column(row, types, of_domains) for row in column_rows),
        constraints=(
            *_constraints(own, name.connection),
            *_unnamed_not_nulls(column_rows, own),
            *map(_of_index, indexes),
        ),
        triggers=tuple(await queries.list_triggers(connection, relation.oid)),
        has_row_security=relation.has_row_security,
        estimated_rows=known_rows(relation.estimated_rows),
        rules=tuple(await queries.list_rules(connection, relation.oid)),
        rights=frozenset(_rights(relation)),
        oid=relation.oid,
        partition_key=relation.partition_key or "",
        partition_bound=relation.partition_bound or "",
        has_children=relation.has_children,
    )


def known_rows(estimated: float) -> int | None:
    return None if estimated < 0 else int(estimated)


def _rights(relation: Relation) -> Iterator[Right]:
    if relation.is_owner:
        yield "own"
    if relation.can_select:
        yield "select"
    if relation.can_insert:
        yield "insert"
    if relation.can_update:
        yield "update"
    if relation.can_delete:
        yield "delete"
    if relation.can_truncate:
        yield "truncate"


def _column(
    row: ColumnRow, types: Mapping[int, TypeRow], of_domains: Iterable[ConstraintRow]
) -> Column:
    chain = list(_domains(row.type_oid, types))
    base_type = chain[-1].base_written if chain else row.type
    assert base_type is not None
    base = types[chain[-1].base_oid if chain else row.type_oid]
    domain_oids = {domain.oid for domain in chain}
    checks = [each for each in of_domains if each.domain_oid in domain_oids and each.kind == "c"]
    default = row.default
    if default is None and not row.identity:
        default = next((domain.default for domain in chain if domain.default is not None), None)
    element_type, element = "", None
    if base.element_oid and base_type.endswith(ARRAY):
        element_type, element = _element(base_type, base, types)
    labels = element.labels if element is not None else base.labels
    return Column(
        name=row.name,
        type=row.type,
        is_nullable=not row.is_not_null and not any(domain.is_not_null for domain in chain),
        default=None if row.generated else default,
        generated=_generated(row),
        base_type=base_type,
        kind="array" if element is not None else _kind(base),
        element_type=element_type,
        element_kind="base" if element is None else _kind(element),
        labels=tuple(labels),
        domain_checks=tuple(_constraint(each, "") for each in checks),
        can_insert=row.can_insert,
        can_update=row.can_update,
    )


def _domains(oid: int, types: Mapping[int, TypeRow]) -> Iterator[TypeRow]:
    """Return the domain, and those that it is made of, down to the last."""
    type_ = types[oid]
    while type_.kind == "d":
        yield type_
        type_ = types[type_.base_oid]


def _element(base_type: str, base: TypeRow, types: Mapping[int, TypeRow]) -> tuple[str, TypeRow]:
    chain = list(_domains(base.element_oid, types))
    if not chain:
        return base_type.removesuffix(ARRAY), types[base.element_oid]
    written = chain[-1].base_written
    assert written is not None
    return written, types[chain[-1].base_oid]


def _kind(type_: TypeRow) -> TypeKind:
    return TYPE_KINDS.get(type_.kind, "base")


def _generated(row: ColumnRow) -> Generated:
    if row.generated:
        return "computed"
    return IDENTITIES.get(row.identity, "")


def _constraints(rows: Iterable[ConstraintRow], connection: str) -> Iterator[Constraint]:
    for row in rows:
        yield _constraint(row, connection)


def _constraint(row: ConstraintRow, connection: str) -> Constraint:
    references = None
    if row.referenced_schema is not None and row.referenced_table is not None:
        references = TableName(row.referenced_schema, row.referenced_table, connection)
    return Constraint(
        name=row.name,
        kind=CONSTRAINTS[row.kind],
        columns=tuple(row.columns),
        definition=row.definition,
        is_deferrable=row.is_deferrable,
        is_deferred=row.is_deferred,
        nulls_are_equal=row.nulls_are_equal,
        references=references,
        referenced_columns=tuple(row.referenced_columns),
        match="full" if row.match == "f" else "simple",
        is_temporal=row.is_temporal,
    )


def _unnamed_not_nulls(
    columns: Iterable[ColumnRow], constraints: Iterable[ConstraintRow]
) -> Iterator[Constraint]:
    """Return NOT NULL constraints, which have no names before PostgreSQL 18 and are not among the
    others."""
    named = {name for row in constraints if row.kind == "n" for name in row.columns}
    for column in columns:
        if column.is_not_null and column.name not in named:
            yield Constraint("", "not_null", (column.name,), "NOT NULL")


def _of_index(row: IndexRow) -> Constraint:
    return Constraint(
        name=row.name,
        kind="unique",
        columns=tuple(row.columns),
        definition=row.definition,
        nulls_are_equal=row.nulls_are_equal,
        is_index=True,
        expressions=tuple(row.expressions) if row.has_expressions else (),
        predicate=row.predicate or "",
    )
