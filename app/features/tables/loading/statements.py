"""The SQL of a load, for either database. Nothing is run here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from app.features.tables.definition import Column, Constraint, quoted
from app.features.tables.loading.stored import numbered_columns, staged_columns
from app.features.tables.plan import DELETING, KEYED, UPDATING, LoadPlan

STAGE_PREFIX = "granula_load_"
ROW = "granula_row"
"""The column of a staging table with the number of the row in its file."""
CHECK = re.compile(r"CHECK (\(.*\))(?: NO INHERIT)?(?: NOT VALID)?", re.DOTALL)
SAMPLED = 5
"""Rows of each kind that a dry run shows."""
WITHOUT_EQUALITY = ("json", "xml", "point", "polygon")
"""Types of PostgreSQL whose values are compared as text."""


def stage_of(job_id: UUID) -> str:
    return STAGE_PREFIX + job_id.hex


def job_of(table: str, prefix: str = STAGE_PREFIX) -> UUID | None:
    """Return the job whose staging table, or other table with this prefix, has this name; None if
    it is not such a name.
    """
    digits = table.removeprefix(prefix)
    try:
        return UUID(hex=digits) if len(digits) == 32 else None
    except ValueError:
        return None


def same(left: Sequence[str], right: Sequence[str], mine: str, other: str) -> str:
    """Return whether two rows have the same values in these columns."""
    pairs = zip(left, right, strict=True)
    return " AND ".join(f"{mine}.{quoted(a)} = {other}.{quoted(b)}" for a, b in pairs)


@dataclass(frozen=True, slots=True)
class Step:
    counted: str
    """What its rows are counted as: inserted, updated, deleted."""
    sql: str


@dataclass(frozen=True, slots=True)
class Finder:
    """A question for the rows of the stage that a constraint refuses."""

    constraint: Constraint
    code: str
    sql: str
    """Gives for each its number, the values, and of another row the number in the file or the key
    in the table. Of values that several rows have it gives all rows, each with the first of them.
    """
    probe: str = ""
    """A query for one value, which is true if there are such rows, and that costs less; empty if
    there is none.
    """

    def some(self, after: int, limit: int) -> str:
        """Return the question for the first rows behind `after`, in the order of the file."""
        return (
            f"SELECT * FROM ({self.sql}) AS rows_found WHERE {ROW} > {after}"  # noqa: S608
            f" ORDER BY {ROW} LIMIT {limit}"
        )


class Statements:
    def __init__(self, plan: LoadPlan, job_id: UUID) -> None:
        self._plan = plan
        self._definition = plan.definition
        self._is_sqlite = plan.definition.dialect == "sqlite"
        self.table = plan.definition.name.sql
        self.stage = quoted(stage_of(job_id))
        self._columns = staged_columns(plan)
        self._loaded = [name for name, _ in self._columns]
        self._names = [quoted(name) for name in self._loaded]
        self._numbered = numbered_columns(plan)

    # ------------------------------------------------------------------ the stage

    @property
    def create_stage(self) -> str:
        """Return the statement that makes the staging table. SQLite takes any value for a column
        without a type.
        """
        types = ["" if self._is_sqlite else f" {kind}" for _, kind in self._columns]
        columns = [name + kind for name, kind in zip(self._names, types, strict=True)]
        columns += [
            f"{quoted(column.name)} {_base(column)} DEFAULT {value}"
            for column, value in self._numbered
        ]
        number = f"{ROW} INTEGER PRIMARY KEY" if self._is_sqlite else f"{ROW} bigint NOT NULL"
        options = "" if self._is_sqlite else " WITH (autovacuum_enabled = false)"
        return f"CREATE TABLE {self.stage} ({', '.join([number, *columns])}){options}"

    @property
    def insert_staged(self) -> str:
        """Return the statement for SQLite, with a parameter for each value."""
        listed = ", ".join([ROW, *self._names])
        marks = ", ".join("?" * (1 + len(self._names)))
        return f"INSERT INTO {self.stage} ({listed}) VALUES ({marks})"  # noqa: S608 quoted names

    @property
    def index_stage(self) -> str:
        return f'CREATE INDEX IF NOT EXISTS {self.stage[:-1]}_row" ON {self.stage} ({ROW})'

    @property
    def count_staged(self) -> str:
        return f"SELECT count(*) FROM {self.stage}"  # noqa: S608

    def unstage_between(self, first: int, last: int) -> str:
        """Return the statement that deletes staged rows with the numbers from `first` to `last`."""
        return f"DELETE FROM {self.stage} WHERE {ROW} BETWEEN {first} AND {last}"  # noqa: S608

    # ------------------------------------------------------------------ into the table

    def before(self) -> list[Step]:
        """Return what is done once, before any row is written."""
        if self._plan.mode == "replace":
            return [Step("deleted", f"DELETE FROM {self.table}")]  # noqa: S608
        if self._plan.mode == "mirror":
            missing = self._not_in("t", self.stage, "s")
            return [Step("deleted", f"DELETE FROM {self.table} AS t WHERE {missing}")]  # noqa: S608
        return []

    def steps(self, low: str = "", high: str = "") -> list[Step]:
        """Return what writes the staged rows, or those with the numbers from `low` to `high`."""
        source = self.stage
        if low:
            among = f"{ROW} BETWEEN {low} AND {high}"
            source = f"(SELECT * FROM {self.stage} WHERE {among})"  # noqa: S608
        steps: list[Step] = []
        if self.changes:
            steps.append(Step("updated", self.update(source)))
        if self.inserts:
            steps.append(Step("inserted", self.insert(source)))
        return steps

    @property
    def inserts(self) -> bool:
        """Return whether rows without a counterpart are new rows of the table."""
        return self._plan.mode != "update"

    @property
    def changes(self) -> bool:
        """Return whether a row of the table is changed: there may be nothing besides its key."""
        return self.updates and bool(self._changed)

    @property
    def updates(self) -> bool:
        """Return whether rows with the key of another are that row, changed."""
        return self._plan.mode in UPDATING

    def insert(self, source: str) -> str:
        """Return the statement that inserts rows of a table or query like the stage."""
        numbered = [column for column, _ in self._numbered]
        names = [*self._names, *(quoted(column.name) for column in numbered)]
        values = ", ".join(f"s.{name}" for name in names)
        is_always = any(column.generated == "identity_always" for column in numbered)
        overrides = self._plan.overrides_identity or is_always
        overriding = " OVERRIDING SYSTEM VALUE" if overrides else ""
        insert = (
            f"INSERT INTO {self.table} ({', '.join(names)}){overriding}"  # noqa: S608
            f" SELECT {values} FROM {source} AS s"
        )
        if self._plan.mode in KEYED:
            insert += f" WHERE {self._not_in('s', self.table, 't')}"
        if source == self.stage:
            insert += self._order
        return insert

    @property
    def _order(self) -> str:
        """Return the order in which rows are inserted: by the primary key, whose index then grows at
        one end. Several sessions stage at the same time, so that the stage is in no order. SQLite
        has one that does, and a new table gets its key later; what a trigger does may depend on the
        order of the file.
        """
        key = self._definition.primary_key
        has_index = self._plan.mode != "create" and not self._definition.triggers
        if self._is_sqlite or not has_index or not self._has(key):
            return ""
        return f" ORDER BY {', '.join(f's.{quoted(name)}' for name in key)}"

    @property
    def _changed(self) -> list[str]:
        """Return the columns that an update sets."""
        return [quoted(name) for name in self._loaded if name not in self._plan.key]

    def update(self, source: str) -> str:
        """Return the statement that changes rows by those of a table or query like the stage."""
        changes = ", ".join(f"{name} = s.{name}" for name in self._changed)
        return (
            f"UPDATE {self.table} AS t SET {changes} FROM {source} AS s"  # noqa: S608
            f" WHERE {self.same_key} AND ({self.differs})"
        )

    @property
    def differs(self) -> str:
        """Return whether a row of the table and the staged one with its key have different values."""
        return " OR ".join(self.differ(name) for name in self._loaded)

    def differ(self, name: str, mine: str = "t", other: str = "s") -> str:
        """Return whether two rows have different values in a column."""
        column = self._definition.column(name)
        assert column is not None
        mine, other = f"{mine}.{quoted(name)}", f"{other}.{quoted(name)}"
        if self._is_sqlite:
            return f"{mine} IS NOT {other}"
        if _base(column) in WITHOUT_EQUALITY:
            mine, other = f"{mine}::text", f"{other}::text"
        return f"{mine} IS DISTINCT FROM {other}"

    @property
    def same_key(self) -> str:
        return same(self._plan.key, self._plan.key, "t", "s")

    def _not_in(self, mine: str, other: str, alias: str) -> str:
        key = self._plan.key
        return (
            f"NOT EXISTS (SELECT 1 FROM {other} AS {alias}"  # noqa: S608
            f" WHERE {same(key, key, mine, alias)})"
        )

    @property
    def count_matched(self) -> str:
        """Return a query for the number of staged rows whose key the table has."""
        return (
            f"SELECT count(*) FROM {self.stage} AS s JOIN {self.table} AS t"  # noqa: S608
            f" ON {self.same_key}"
        )

    @property
    def count_table(self) -> str:
        return f"SELECT count(*) FROM {self.table}"  # noqa: S608

    @property
    def count_missing(self) -> str:
        """Return a query for the number of rows of the table whose key is not staged."""
        missing = self._not_in("t", self.stage, "s")
        return f"SELECT count(*) FROM {self.table} AS t WHERE {missing}"  # noqa: S608

    # ------------------------------------------------------------------ samples

    def sampled(self) -> dict[str, str]:
        """Return queries for some rows of each kind: of rows of the file with their numbers, all
        with their values as texts in the order of `loaded`; of those that change, the values of the
        table behind those of the file.
        """
        values = self._texts("s")
        new = f" WHERE {self._not_in('s', self.table, 't')}" if self._plan.mode in KEYED else ""
        order = f"ORDER BY s.{ROW} LIMIT {SAMPLED}"
        questions: dict[str, str] = {}
        if self.inserts:
            questions["inserted"] = f"SELECT s.{ROW}, {values} FROM {self.stage} AS s{new} {order}"  # noqa: S608
        if self.changes:
            questions["updated"] = (
                f"SELECT s.{ROW}, {values}, {self._texts('t')} FROM {self.stage} AS s"  # noqa: S608
                f" JOIN {self.table} AS t ON {self.same_key} WHERE {self.differs} {order}"
            )
        if self._plan.mode in DELETING:
            missing = ""
            if self._plan.mode == "mirror":
                missing = f" WHERE {self._not_in('t', self.stage, 's')}"
            deleted = f"SELECT {self._texts('t')} FROM {self.table} AS t{missing}"  # noqa: S608
            questions["deleted"] = f"{deleted} LIMIT {SAMPLED}"
        return questions

    @property
    def count_changed(self) -> str | None:
        """Return a query for the number of rows that change, for each of the columns `loaded`."""
        if not self.changes:
            return None
        counts = [f"sum(CASE WHEN {self.differ(n)} THEN 1 ELSE 0 END)" for n in self._loaded]
        return (
            f"SELECT {', '.join(counts)} FROM {self.stage} AS s"  # noqa: S608
            f" JOIN {self.table} AS t ON {self.same_key}"
        )

    @property
    def loaded(self) -> list[str]:
        """Return the columns of the table that are loaded."""
        return self._loaded

    def _texts(self, alias: str) -> str:
        return ", ".join(f"CAST({alias}.{name} AS text)" for name in self._names)

    # ------------------------------------------------------------------ rows that constraints refuse

    @property
    def repeated_keys(self) -> Finder | None:
        """Return the question for rows of the file with the same key, needed before a mode that
        compares by key, which would take any of them.
        """
        if self._plan.mode not in KEYED:
            return None
        constraint = self._definition.unique_on(self._plan.key)
        assert constraint is not None
        return self._repeated(constraint)

    @property
    def without_counterpart(self) -> Finder | None:
        """Return the question for rows of an update whose key the table lacks."""
        constraint = self._definition.unique_on(self._plan.key)
        if self._plan.mode != "update" or constraint is None:
            return None
        shown = self.shown("s", constraint.columns)
        missing = self._not_in("s", self.table, "t")
        sql = (
            f"SELECT s.{ROW}, {shown}, NULL FROM {self.stage} AS s"  # noqa: S608
            f" WHERE {missing} ORDER BY 1"
        )
        return Finder(constraint, "not_there", sql)

    def foreign_keys(self) -> Iterator[Finder]:
        for constraint in self._definition.constraints:
            if constraint.kind == "foreign_key" and self._has(constraint.columns):
                yield self._unreferenced(constraint)

    @property
    def refers_to_itself(self) -> bool:
        """Return whether rows of the table refer to others of it."""
        name = self._definition.name
        return any(constraint.references == name for constraint in self._definition.constraints)

    def checks(self) -> Iterator[Finder]:
        for constraint in self._definition.constraints:
            condition = CHECK.fullmatch(constraint.definition)
            is_whole = self._has([column.name for column in self._definition.columns])
            is_known = self._has(constraint.columns) if constraint.columns else is_whole
            if constraint.kind == "check" and condition is not None and is_known:
                shown = self.shown("s", constraint.columns)
                sql = (
                    f"SELECT s.{ROW}, {shown}, NULL FROM {self.stage} AS s"  # noqa: S608
                    f" WHERE NOT ({condition[1]}) ORDER BY 1"
                )
                yield Finder(constraint, "check_failed", sql)

    def uniques(self) -> list[Finder]:
        """Return the questions of modes that only insert: for each constraint, one for rows that
        the table has and one for rows that have the same values.
        """
        if self._plan.mode not in ("append", "create", "replace"):
            return []
        finders: list[Finder] = []
        for constraint in self._definition.constraints:
            if constraint.kind in ("primary_key", "unique") and self._is_plain(constraint):
                if self._plan.mode == "append":
                    finders.append(self._there(constraint))
                finders.append(self._repeated(constraint))
        return finders

    @property
    def has_hidden_rules(self) -> bool:
        """Return whether rows may be refused for what no question asks. Then only an attempt in the
        order of the file tells which of two rows with the same values comes first.
        """
        definition = self._definition
        if definition.triggers or definition.has_row_security or definition.partition_bound:
            return True
        asked = {id(finder.constraint) for finder in [*self.checks(), *self.foreign_keys()]}
        for constraint in definition.constraints:
            is_asked = constraint.kind == "not_null" or id(constraint) in asked
            if constraint.kind in ("primary_key", "unique"):
                is_asked = self._is_plain(constraint)
            if not is_asked:
                return True
        columns = [definition.column(name) for name in self._loaded]
        casts = [column.cast.kind for column in self._plan.columns]
        return "database" in casts or any(c is not None and c.domain_checks for c in columns)

    def _is_plain(self, constraint: Constraint) -> bool:
        is_special = constraint.nulls_are_equal or constraint.is_temporal
        is_special = is_special or bool(constraint.expressions or constraint.predicate)
        return not is_special and self._has(constraint.columns)

    def _has(self, columns: Sequence[str]) -> bool:
        return bool(columns) and set(columns) <= set(self._loaded)

    def shown(self, alias: str, columns: Sequence[str]) -> str:
        """Return an expression for values as one text."""
        if not columns:
            return "NULL"
        texts = [f"coalesce(CAST({alias}.{quoted(name)} AS text), '')" for name in columns]
        return " || ', ' || ".join(texts)

    def _repeated(self, constraint: Constraint) -> Finder:
        columns = constraint.columns
        listed = ", ".join(map(quoted, columns))
        there = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in columns)
        repeated = f"FROM {self.stage} WHERE {there} GROUP BY {listed} HAVING count(*) > 1"
        sql = (
            f"SELECT s.{ROW}, {self.shown('s', columns)}, d.first FROM {self.stage} AS s"  # noqa: S608
            f" JOIN (SELECT {listed}, min({ROW}) AS first {repeated}) AS d"
            f" ON {same(columns, columns, 's', 'd')} ORDER BY 1"
        )
        return Finder(constraint, "not_unique", sql, probe=f"SELECT EXISTS (SELECT 1 {repeated})")

    def _there(self, constraint: Constraint) -> Finder:
        columns = constraint.columns
        other = self.shown("t", self._definition.primary_key)
        sql = (
            f"SELECT s.{ROW}, {self.shown('s', columns)}, {other} FROM {self.stage} AS s"  # noqa: S608
            f" JOIN {self.table} AS t ON {same(columns, columns, 's', 't')} ORDER BY 1"
        )
        return Finder(constraint, "already_there", sql)

    def _unreferenced(self, constraint: Constraint) -> Finder:
        """Return the question for rows whose foreign key finds nothing. A table that refers to
        itself may find the row in the file, before or after.
        """
        columns, referenced = constraint.columns, constraint.referenced_columns
        name = constraint.references
        assert name is not None
        is_complete = " AND ".join(f"s.{quoted(column)} IS NOT NULL" for column in columns)
        places = [name.sql]
        if name == self._definition.name and self._has(referenced):
            places.append(self.stage)
        missing = " AND ".join(
            f"NOT EXISTS (SELECT 1 FROM {place} AS r"  # noqa: S608
            f" WHERE {same(referenced, columns, 'r', 's')})"
            for place in places
        )
        sql = (
            f"SELECT s.{ROW}, {self.shown('s', columns)}, NULL FROM {self.stage} AS s"  # noqa: S608
            f" WHERE {is_complete} AND {missing} ORDER BY 1"
        )
        return Finder(constraint, "foreign_key", sql)


def _base(column: Column) -> str:
    return column.base_type or column.type
