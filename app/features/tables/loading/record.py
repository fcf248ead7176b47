"""SQL for the record of a load, which undo, proof and passport read. Nothing is run here.

The staging table of a load becomes its record: the values of each row, by its number in the file.
A second table has an entry for each row that was not simply inserted:

- `updated`: the row of the table as it was before;
- `deleted`: the same, under a negative number, since no row of the file stands for it;
- `unchanged`: the table had the same values;
- `skipped`: the table had a row with this key, which `insert_new` leaves alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from app.features.tables.definition import Column, TableDefinition, quoted
from app.features.tables.loading.statements import ROW, Finder, Statements, Step, job_of, same
from app.features.tables.loading.stored import MOST_COLUMNS, filled_key, numbered_columns
from app.features.tables.plan import DELETING, KEYED, LoadPlan

RECORD_PREFIX, BEFORE_PREFIX, UNDO_PREFIX = "granula_record_", "granula_before_", "granula_undo_"
KIND = "granula_kind"
SAMPLED = 20
"""Number of rows that an undo or a proof names."""


def recorded_job(table: str) -> UUID | None:
    """Return the job whose record, or part of one, has this name; None if it is no such name."""
    return job_of(table, RECORD_PREFIX) or job_of(table, BEFORE_PREFIX)


def record_key(plan: LoadPlan) -> tuple[str, ...]:
    """Return columns by which a row of the record is found in the table; empty if the table has no
    key whose values are known.
    """
    key = filled_key(plan)
    return plan.definition.primary_key if not key and numbered_columns(plan) else key


def is_recorded(plan: LoadPlan) -> bool:
    """Return whether a load keeps a record: unless its user said otherwise, or the table has too
    many columns for one.
    """
    if not plan.keeps_record or plan.is_dry_run:
        return False
    needs_images = plan.mode in KEYED or plan.mode in DELETING
    if needs_images and len(stored_columns(plan.definition)) + 2 > MOST_COLUMNS:
        return False
    return bool(record_key(plan)) or plan.definition.has_rowid


def stored_columns(definition: TableDefinition) -> list[Column]:
    """Return the columns that an INSERT can restore."""
    return [column for column in definition.columns if column.generated != "computed"]


class Record:
    """The SQL that writes and reads the record of one load."""

    def __init__(self, plan: LoadPlan, job_id: UUID) -> None:
        self.plan = plan
        self.job_id = job_id
        self.definition = plan.definition
        self.is_sqlite = plan.definition.dialect == "sqlite"
        self.statements = Statements(plan, job_id)
        self.name = RECORD_PREFIX + job_id.hex
        self.before_name = BEFORE_PREFIX + job_id.hex
        self.table = quoted(self.name)
        self.before = quoted(self.before_name)
        self.target = plan.definition.name.sql
        self.key = record_key(plan)
        self.loaded = self.statements.loaded
        self.changed = [name for name in self.loaded if name not in self.key]
        self.stored = stored_columns(plan.definition)

    # ------------------------------------------------------------------ writing it

    @property
    def create_before(self) -> str:
        number = f"{ROW} INTEGER PRIMARY KEY" if self.is_sqlite else f"{ROW} bigint NOT NULL"
        columns = [quoted(column.name) + self._type(column) for column in self.stored]
        listed = ", ".join([number, f"{KIND} text NOT NULL", *columns])
        return f"CREATE TABLE IF NOT EXISTS {self.before} ({listed})"

    def _type(self, column: Column) -> str:
        """Return the type of a column, none on SQLite, which then takes any value."""
        return "" if self.is_sqlite else f" {column.base_type or column.type}"

    @property
    def keep_updated(self) -> str:
        """Keep rows that will be updated. They are locked, so that the update changes just these."""
        images = ", ".join(f"t.{quoted(column.name)}" for column in self.stored)
        statements = self.statements
        lock = "" if self.is_sqlite else " FOR NO KEY UPDATE OF t"
        return (
            f"INSERT INTO {self.before} ({ROW}, {KIND}, {self._stored_names})"  # noqa: S608 quoted names
            f" SELECT s.{ROW}, 'updated', {images} FROM {statements.stage} AS s"
            f" JOIN {self.target} AS t ON {statements.same_key} WHERE {statements.differs}{lock}"
        )

    @property
    def update_and_keep(self) -> str:
        """Change rows, and keep them as they were just before. Needs PostgreSQL 18."""
        old = quoted("granula_old")
        images = ", ".join(f"{old}.{quoted(column.name)}" for column in self.stored)
        update = self.statements.update(self.statements.stage)
        returning = f"RETURNING WITH (OLD AS {old}) s.{ROW}, 'updated', {images}"
        return (
            f"WITH changed ({ROW}, {KIND}, {self._stored_names}) AS ({update} {returning})"  # noqa: S608 quoted names
            f" INSERT INTO {self.before} ({ROW}, {KIND}, {self._stored_names})"
            f" SELECT * FROM changed"
        )

    def keep_matched(self, kind: str, *, is_late: bool = False) -> str:
        """Keep the numbers of rows whose key the table had and that are not updated. `is_late`:
        after all was written, when only rows of others have not been written by this transaction.
        """
        statements = self.statements
        condition = "1 = 1"
        if is_late:
            condition = "t.xmin <> pg_current_xact_id()::xid"
        elif kind == "unchanged":
            condition = f"NOT ({statements.differs})"
        return (
            f"INSERT INTO {self.before} ({ROW}, {KIND})"  # noqa: S608 quoted names
            f" SELECT s.{ROW}, '{kind}' FROM {statements.stage} AS s"
            f" JOIN {self.target} AS t ON {statements.same_key} WHERE {condition}"
        )

    @property
    def can_keep_late(self) -> bool:
        """Return whether the database says which rows this transaction has written. Triggers may
        write others.
        """
        return not self.is_sqlite and not self.definition.triggers

    def deletions(self) -> list[Step]:
        """Return the steps that delete rows and keep them."""
        names = self._stored_names
        steps: list[Step] = []
        for step in self.statements.before():
            insert = f"INSERT INTO {self.before} ({ROW}, {KIND}, {names})"
            numbered = f"SELECT -row_number() OVER (), 'deleted', {names}"
            if self.is_sqlite:
                where = step.sql.removeprefix("DELETE FROM ")
                steps.append(Step("kept", f"{insert} {numbered} FROM {where}"))
                steps.append(step)
            else:
                gone = f"WITH gone AS ({step.sql} RETURNING {names})"
                steps.append(Step(step.counted, f"{gone} {insert} {numbered} FROM gone"))
        return steps

    @property
    def _stored_names(self) -> str:
        return ", ".join(quoted(column.name) for column in self.stored)

    @property
    def add_staged(self) -> str:
        """Add the corrected rows that are staged."""
        numbered = [column.name for column, _ in numbered_columns(self.plan)]
        names = ", ".join([ROW, *map(quoted, [*self.loaded, *numbered])])
        return f"INSERT INTO {self.table} ({names}) SELECT {names} FROM {self.statements.stage}"  # noqa: S608

    @property
    def count(self) -> str:
        return f"SELECT count(*) FROM {self.table}"  # noqa: S608

    @property
    def repeated_before(self) -> Finder | None:
        """Return the question for staged rows whose key a row of the record has."""
        constraint = self.definition.unique_on(self.plan.key)
        if constraint is None:
            return None
        sql = (
            f"SELECT s.{ROW}, {self.statements.shown('s', self.plan.key)}, r.{ROW}"  # noqa: S608
            f" FROM {self.statements.stage} AS s JOIN {self.table} AS r"
            f" ON {same(self.plan.key, self.plan.key, 's', 'r')} ORDER BY 1"
        )
        return Finder(constraint, "not_unique", sql)

    # ------------------------------------------------------------------ comparing it with the table

    def differs(self, mine: str, other: str, columns: Sequence[str] | None = None) -> str:
        """Return whether two rows differ in any of these columns, or in any loaded one."""
        names = self.loaded if columns is None else columns
        return " OR ".join(self.statements.differ(name, mine, other) for name in names) or "1 = 0"

    def same_key(self, mine: str, other: str) -> str:
        return same(self.key, self.key, mine, other)

    def signature(self, alias: str) -> str:
        """Return all loaded values as one text, by which rows without a key are compared."""
        names = [f"{alias}.{quoted(name)}" for name in self.loaded]
        if self.is_sqlite:
            return " || ',' || ".join(f"quote({name})" for name in names)
        return f"CAST(ROW({', '.join(names)}) AS text)"

    def numbered_table(self) -> str:
        """Return a query for the rows of the table by signature, each with its place among equals
        and what finds it again.
        """
        where = "t.rowid AS place" if self.is_sqlite else "t.tableoid AS part, t.ctid AS place"
        found_by = "place" if self.is_sqlite else "part, place"
        return (
            f"SELECT {found_by}, sig, row_number() OVER (PARTITION BY sig) AS n"  # noqa: S608
            f" FROM (SELECT {where}, {self.signature('t')} AS sig FROM {self.target} AS t) AS every"
        )

    def numbered_record(self, among: str = "1 = 1") -> str:
        return (
            f"SELECT {ROW}, sig, row_number() OVER (PARTITION BY sig ORDER BY {ROW}) AS n"  # noqa: S608
            f" FROM (SELECT s.{ROW}, {self.signature('s')} AS sig FROM {self.table} AS s"
            f" WHERE {among}) AS every"
        )

    def kind_of(self, alias: str = "b") -> str:
        """Return an expression for what happened to a row of the record."""
        return f"coalesce({alias}.{KIND}, 'inserted')"

    def entries(self, *, has_before: bool, source: str = "s", alias: str = "b") -> str:
        """Return a join of the record and its entries."""
        before = self.before
        if not has_before:
            before = f"(SELECT NULL AS {ROW}, NULL AS {KIND} WHERE 1 = 0)"
            if not self.is_sqlite:
                before = f"(SELECT NULL::bigint AS {ROW}, NULL::text AS {KIND} WHERE 1 = 0)"
        on = f"{alias}.{ROW} = {source}.{ROW}"
        return f"{self.table} AS {source} LEFT JOIN {before} AS {alias} ON {on}"

    def compared(self, *, has_before: bool, kinds: Sequence[str], among: str = "1 = 1") -> str:
        """Return a query for (number, kind, key, what became of it) of rows of these kinds: `same`,
        `changed` or `removed`.
        """
        wanted = ", ".join(f"'{kind}'" for kind in kinds)
        source = self.entries(has_before=has_before)
        kind = self.kind_of()
        if not self.key:
            return (
                f"SELECT r.{ROW}, 'inserted' AS kind, r.sig AS shown,"  # noqa: S608
                f" CASE WHEN x.sig IS NULL THEN 'removed' ELSE 'same' END AS state"
                f" FROM ({self.numbered_record(among)}) AS r"
                f" LEFT JOIN ({self.numbered_table()}) AS x ON x.sig = r.sig AND x.n = r.n"
            )
        shown = self.statements.shown("s", self.key)
        return (
            f"SELECT s.{ROW}, {kind} AS kind, {shown} AS shown,"  # noqa: S608
            f" CASE WHEN t.{quoted(self.key[0])} IS NULL THEN 'removed'"
            f" WHEN {self.differs('t', 's')} THEN 'changed' ELSE 'same' END AS state"
            f" FROM {source} LEFT JOIN {self.target} AS t ON {self.same_key('t', 's')}"
            f" WHERE {kind} IN ({wanted}) AND {among}"
        )


@dataclass(frozen=True, slots=True)
class Undoing:
    """The SQL that takes a load back. Rows that stay are in the table `work`, with the reason."""

    record: Record
    has_before: bool
    does_insert: bool = False
    """Whether `steps` restores deleted rows, after those of the load are gone."""

    @property
    def work(self) -> str:
        return quoted(UNDO_PREFIX + self.record.job_id.hex)

    @property
    def create_work(self) -> str:
        kind = "INTEGER" if self.record.is_sqlite else "bigint"
        columns = f"{ROW} {kind} PRIMARY KEY, reason text, shown text"
        return f"CREATE TABLE {self.work} ({columns})"

    @property
    def refers_to_itself(self) -> bool:
        return self.record.statements.refers_to_itself

    def _is_open(self, alias: str) -> str:
        return f"NOT EXISTS (SELECT 1 FROM {self.work} AS w WHERE w.{ROW} = {alias}.{ROW})"  # noqa: S608

    @property
    def _image_key(self) -> tuple[str, ...]:
        """Return columns by which a deleted row is found; empty if the table has no key."""
        definition = self.record.definition
        if definition.primary_key:
            return definition.primary_key
        return self.record.key

    # ------------------------------------------------------------------ later loads

    def hand_over(self, later: Record, *, later_has_before: bool) -> list[str]:
        """Return statements for rows that a later load of the same table has read or written. They
        stay as that load left them. What it keeps of them for its own undo becomes what it would be
        if this load had never run.
        """
        mine = self.record
        statements: list[str] = []
        reason = f"load {later.job_id}"
        before = later.before
        if mine.key and set(mine.key) <= set(later.loaded):
            key = mine.same_key("r", "s")
            mine_entries = mine.entries(has_before=self.has_before, alias="a")
            r_entries = later.entries(has_before=later_has_before, source="r")
            statements.append(
                f"INSERT INTO {self.work} SELECT s.{ROW}, '{reason}', {self._shown()}"  # noqa: S608
                f" FROM {mine_entries} JOIN ({self._read_by(later, r_entries)}) AS r ON {key}"
                f" WHERE {mine.kind_of('a')} IN ('inserted', 'updated') AND {self._is_open('s')}"
            )
        if mine.key and later_has_before:
            statements += self._hand_over_entries(later, before, reason)
        if not mine.key and later_has_before:
            statements += self._hand_over_equals(later, reason)
        if self._image_key and self.has_before and set(self._image_key) <= set(later.loaded):
            statements += self._hand_over_deleted(later, later_has_before, reason)
        if self.has_before and later_has_before and later.plan.mode in DELETING:
            statements += self._hand_over_missing(later, reason)
        return statements

    def _hand_over_equals(self, later: Record, reason: str) -> list[str]:
        """Hand over rows without a key that a later load deleted: it has deleted that many fewer."""
        mine = self.record
        images = (
            f"SELECT {ROW}, sig, row_number() OVER (PARTITION BY sig ORDER BY {ROW}) AS n FROM"  # noqa: S608
            f" (SELECT b.{ROW}, {mine.signature('b')} AS sig FROM {later.before} AS b"
            f" WHERE b.{KIND} = 'deleted') AS every"
        )
        pairs = (
            f"FROM ({mine.numbered_record(self._is_open('s'))}) AS r"
            f" JOIN ({images}) AS x ON x.sig = r.sig AND x.n = r.n"
        )
        number = "bigint" if not mine.is_sqlite else "INTEGER"
        pair = quoted(f"{UNDO_PREFIX}pairs_{mine.job_id.hex}")
        return [
            f"CREATE TABLE {pair} (mine {number}, image {number}, sig text)",
            f"INSERT INTO {pair} SELECT r.{ROW}, x.{ROW}, r.sig {pairs}",
            f"DELETE FROM {later.before} WHERE {ROW} IN (SELECT image FROM {pair})",  # noqa: S608
            f"INSERT INTO {self.work} SELECT mine, '{reason}', sig FROM {pair}",  # noqa: S608
            f"DROP TABLE {pair}",
        ]

    def _hand_over_missing(self, later: Record, reason: str) -> list[str]:
        """Hand over rows that this load deleted, and that the later one would have deleted."""
        mine, names = self.record, self._image_names
        images = ", ".join(f"d.{quoted(column.name)}" for column in mine.stored)
        lowest = f"(SELECT coalesce(min({ROW}), 0) FROM {later.before} WHERE {ROW} < 0)"  # noqa: S608
        source = f"FROM {mine.before} AS d WHERE d.{KIND} = 'deleted' AND {self._is_open('d')}"
        shown = mine.statements.shown("d", self._image_key)
        return [
            f"INSERT INTO {later.before} ({ROW}, {KIND}, {names})"
            f" SELECT {lowest} - row_number() OVER (), 'deleted', {images} {source}",
            f"INSERT INTO {self.work} SELECT d.{ROW}, '{reason}', {shown} {source}",
        ]

    def _shown(self) -> str:
        return self.record.statements.shown("s", self.record.key)

    @staticmethod
    def _read_by(later: Record, r_entries: str) -> str:
        return f"SELECT r.* FROM {r_entries} WHERE {later.kind_of()} <> 'skipped'"  # noqa: S608

    def _hand_over_entries(self, later: Record, before: str, reason: str) -> list[str]:
        mine = self.record
        statements: list[str] = []
        deleted = f"b.{KIND} = 'deleted' AND {mine.same_key('b', 's')}"
        entries = mine.entries(has_before=self.has_before, alias="a")
        statements.append(
            f"INSERT INTO {self.work} SELECT s.{ROW}, '{reason}', {self._shown()}"  # noqa: S608
            f" FROM {entries} JOIN {before} AS b ON {deleted}"
            f" WHERE {mine.kind_of('a')} IN ('inserted', 'updated') AND {self._is_open('s')}"
        )
        handed = f"EXISTS (SELECT 1 FROM {self.work} AS w WHERE w.{ROW} = s.{ROW} AND w.reason = '{reason}')"  # noqa: S608
        is_mine = f"NOT ({mine.differs('b', 's')})"
        statements.append(
            f"DELETE FROM {before} WHERE {ROW} IN (SELECT b.{ROW} FROM {entries}"  # noqa: S608
            f" JOIN {before} AS b ON {deleted}"
            f" WHERE {mine.kind_of('a')} = 'inserted' AND {handed} AND {is_mine})"
        )
        if self.has_before and mine.changed:
            changes = ", ".join(f"{quoted(name)} = a.{quoted(name)}" for name in mine.changed)
            statements.append(
                f"UPDATE {before} AS b SET {changes} FROM {mine.table} AS s"  # noqa: S608
                f" JOIN {mine.before} AS a ON a.{ROW} = s.{ROW} AND a.{KIND} = 'updated'"
                f" WHERE {deleted} AND {handed} AND {is_mine}"
            )
        if not set(mine.loaded) <= set(later.loaded):
            return statements
        key = mine.same_key("r", "s")
        is_after_mine = (
            f"((b.{KIND} = 'updated' AND {is_mine})"
            f" OR (b.{KIND} = 'unchanged' AND NOT ({mine.differs('r', 's')})))"
        )
        statements.append(
            f"DELETE FROM {before} WHERE {ROW} IN (SELECT b.{ROW} FROM {entries}"  # noqa: S608
            f" JOIN {later.table} AS r ON {key} JOIN {before} AS b ON b.{ROW} = r.{ROW}"
            f" WHERE {mine.kind_of('a')} = 'inserted' AND {handed} AND {is_after_mine})"
        )
        if self.has_before:
            entry = [f"{KIND} = 'updated'"]
            for name in later.loaded:
                column = quoted(name)
                own = f"CASE WHEN b.{KIND} = 'updated' THEN b.{column} ELSE r.{column} END"
                entry.append(f"{column} = " + (f"a.{column}" if name in mine.changed else own))
            statements.append(
                f"UPDATE {before} AS b SET {', '.join(entry)} FROM {mine.table} AS s"  # noqa: S608
                f" JOIN {mine.before} AS a ON a.{ROW} = s.{ROW} AND a.{KIND} = 'updated'"
                f" JOIN {later.table} AS r ON {key}"
                f" WHERE b.{ROW} = r.{ROW} AND {handed} AND {is_after_mine}"
            )
        return statements

    def _hand_over_deleted(self, later: Record, later_has_before: bool, reason: str) -> list[str]:
        """Hand over rows that this load deleted and that the later one inserted again: without this
        load, it would have updated them.
        """
        mine, names = self.record, self._image_names
        images = ", ".join(f"d.{quoted(column.name)}" for column in mine.stored)
        key = same(self._image_key, self._image_key, "r", "d")
        entries = later.entries(has_before=True, source="r")
        source = (
            f"FROM {mine.before} AS d JOIN ({self._inserted_by(later, entries)}) AS r ON {key}"
            f" WHERE d.{KIND} = 'deleted' AND {self._is_open('d')}"
        )
        shown = mine.statements.shown("d", self._image_key)
        first = [] if later_has_before else [later.create_before]
        return [
            *first,
            f"INSERT INTO {later.before} ({ROW}, {KIND}, {names})"
            f" SELECT r.{ROW}, 'updated', {images} {source}",
            f"INSERT INTO {self.work} SELECT d.{ROW}, '{reason}', {shown}"  # noqa: S608
            f" FROM {mine.before} AS d JOIN {later.table} AS r ON {key}"
            f" WHERE d.{KIND} = 'deleted' AND {self._is_open('d')}",
        ]

    @staticmethod
    def _inserted_by(later: Record, entries: str) -> str:
        return f"SELECT r.* FROM {entries} WHERE b.{KIND} IS NULL"  # noqa: S608

    @property
    def _image_names(self) -> str:
        return ", ".join(quoted(column.name) for column in self.record.stored)

    # ------------------------------------------------------------------ the table

    def mark_left(self) -> str:
        """Mark rows that somebody else has changed or removed since."""
        kinds = ("inserted", "updated")
        compared = self.record.compared(
            has_before=self.has_before, kinds=kinds, among=self._is_open("s")
        )
        return (
            f"INSERT INTO {self.work} SELECT {ROW}, state, shown FROM ({compared}) AS c"  # noqa: S608
            f" WHERE state <> 'same'"
        )

    def mark_taken(self) -> str | None:
        """Mark deleted rows whose key the table has again; None if there are none to restore."""
        if not self.has_before or not self._image_key:
            return None
        record = self.record
        shown = record.statements.shown("d", self._image_key)
        return (
            f"INSERT INTO {self.work} SELECT d.{ROW}, 'taken', {shown}"  # noqa: S608
            f" FROM {record.before} AS d JOIN {record.target} AS t"
            f" ON {same(self._image_key, self._image_key, 't', 'd')}"
            f" WHERE d.{KIND} = 'deleted' AND {self._is_open('d')}"
        )

    def steps(self, low: str = "", high: str = "") -> list[Step]:
        """Return what takes the rows back, or those with the numbers from `low` to `high`."""
        if self.does_insert:
            return [self._restore_deleted(self._among("d", low, high))]
        among = f"{self._is_open('s')} AND {self._among('s', low, high)}"
        steps = [self._delete(among)]
        if self.has_before and self.record.changed and self.record.key:
            steps.append(self._restore_updated(among))
        return steps

    @staticmethod
    def _among(alias: str, low: str, high: str) -> str:
        return f"{alias}.{ROW} BETWEEN {low} AND {high}" if low else "1 = 1"

    def _delete(self, among: str) -> Step:
        record = self.record
        if not record.key:
            found_by = "rowid" if record.is_sqlite else "(tableoid, ctid)"
            place = "x.place" if record.is_sqlite else "x.part, x.place"
            sql = (
                f"DELETE FROM {record.target} WHERE {found_by} IN (SELECT {place}"  # noqa: S608
                f" FROM ({record.numbered_table()}) AS x"
                f" JOIN ({record.numbered_record(among)}) AS r ON x.sig = r.sig AND x.n = r.n)"
            )
            return Step("removed", sql)
        inserted = "1 = 1"
        if self.has_before:
            inserted = f"NOT EXISTS (SELECT 1 FROM {record.before} AS b WHERE b.{ROW} = s.{ROW})"  # noqa: S608
        where = f"{inserted} AND {among} AND NOT ({record.differs('t', 's')})"
        key = record.same_key("t", "s")
        if record.is_sqlite:
            listed = ", ".join(f"t.{quoted(name)}" for name in record.key)
            names = ", ".join(map(quoted, record.key))
            sql = (
                f"DELETE FROM {record.target} WHERE ({names}) IN (SELECT {listed}"  # noqa: S608
                f" FROM {record.table} AS s JOIN {record.target} AS t ON {key} WHERE {where})"
            )
        else:
            sql = (
                f"DELETE FROM {record.target} AS t USING {record.table} AS s"  # noqa: S608
                f" WHERE {key} AND {where}"
            )
        return Step("removed", sql)

    def _restore_updated(self, among: str) -> Step:
        record = self.record
        changes = ", ".join(f"{quoted(name)} = b.{quoted(name)}" for name in record.changed)
        sql = (
            f"UPDATE {record.target} AS t SET {changes} FROM {record.table} AS s"  # noqa: S608
            f" JOIN {record.before} AS b ON b.{ROW} = s.{ROW} AND b.{KIND} = 'updated'"
            f" WHERE {record.same_key('t', 's')} AND {among}"
            f" AND NOT ({record.differs('t', 's')})"
        )
        return Step("restored", sql)

    def _restore_deleted(self, among: str) -> Step:
        record = self.record
        images = ", ".join(f"d.{quoted(column.name)}" for column in record.stored)
        is_numbered = any(column.generated == "identity_always" for column in record.stored)
        overriding = " OVERRIDING SYSTEM VALUE" if is_numbered else ""
        sql = (
            f"INSERT INTO {record.target} ({self._image_names}){overriding}"  # noqa: S608
            f" SELECT {images} FROM {record.before} AS d"
            f" WHERE d.{KIND} = 'deleted' AND {self._is_open('d')} AND {among}"
        )
        return Step("restored", sql)

    # ------------------------------------------------------------------ counts

    def count(self, kinds: Sequence[str], *, is_open: bool) -> str:
        """Return a query for the number of rows of these kinds that are taken back, or that stay."""
        record = self.record
        wanted = ", ".join(f"'{kind}'" for kind in kinds)
        if kinds == ("deleted",):
            source, kind, alias = f"{record.before} AS s", f"s.{KIND}", "s"
        else:
            source = record.entries(has_before=self.has_before)
            kind, alias = record.kind_of(), "s"
        condition = self._is_open(alias) if is_open else f"NOT {self._is_open(alias)}"
        return f"SELECT count(*) FROM {source} WHERE {kind} IN ({wanted}) AND {condition}"  # noqa: S608

    @property
    def bounds(self) -> str:
        """Return a query for the lowest and highest number of rows that are taken back."""
        record = self.record
        if self.does_insert:
            source = f"{record.before} AS s WHERE s.{KIND} = 'deleted' AND {self._is_open('s')}"
        else:
            source = f"{record.table} AS s WHERE {self._is_open('s')}"
        return f"SELECT min(s.{ROW}), max(s.{ROW}) FROM {source}"  # noqa: S608

    @property
    def sample_left(self) -> str:
        return f"SELECT {ROW}, shown, reason FROM {self.work} ORDER BY abs({ROW}) LIMIT {SAMPLED}"  # noqa: S608

    @property
    def count_left(self) -> str:
        return f"SELECT count(*) FROM {self.work}"  # noqa: S608
