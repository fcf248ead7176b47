"""Decides how a file is loaded into a table: which column goes where, by which cast, and which take
their defaults. Pure; nothing here asks a database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from app.errors import TableMismatch, TableUnusable
from app.features.tables import ddl
from app.features.tables.casts import MOMENTS, Cast, CastKind, cast_for
from app.features.tables.ddl import Facts
from app.features.tables.definition import Column, Dialect, Right, TableDefinition, TableName
from app.lazy import LazyModule

if TYPE_CHECKING:
    from app.features.mapping import names as column_names
else:  # it imports rapidfuzz, and a start reads only the types of this module
    column_names = LazyModule("app.features.mapping.names")

Mode = Literal["create", "append", "upsert", "update", "insert_new", "replace", "mirror"]
OnSchemaChange = Literal["refuse", "add_columns", "ignore", "rescue"]
Visibility = Literal["atomic", "progressive"]
Others = Literal["refuse", "ignore", "rescue"]
MatchedBy = Literal["name", "normal_form", "columns", "template"]

KEYED: tuple[Mode, ...] = ("upsert", "update", "insert_new", "mirror")
"""Modes that look for the row of the table that a row of the file stands for."""
INSERTING: tuple[Mode, ...] = ("create", "append", "upsert", "insert_new", "replace", "mirror")
UPDATING: tuple[Mode, ...] = ("upsert", "update", "mirror")
DELETING: tuple[Mode, ...] = ("replace", "mirror")
PROGRESSIVE: tuple[Mode, ...] = ("append", "upsert", "update", "insert_new")
"""Modes that can be applied to one chunk after the other."""
NUMBERS: tuple[CastKind, ...] = ("integer", "decimal", "float")
ISO_DAY = "%Y-%m-%d"
SHOWN_NAMES, MAX_PROBLEMS = 5, 50


@dataclass(frozen=True, slots=True)
class Made:
    """The source of a column whose values steps make."""

    reads: tuple[str, ...]
    """Columns of the file; none for a constant."""
    type: str
    """As a column of a new table has it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a user said of a load, as far as it decides about columns."""

    mode: Mode = "append"
    key: tuple[str, ...] = ()
    """Columns of the table; empty for its primary key."""
    columns: tuple[tuple[str, str | Made], ...] | None = None
    """(column of the table, column of the file) of all that are loaded; None: by their names."""
    told_by: Literal["columns", "template"] = "columns"
    transform: str = ""
    """The document of the columns that steps make, as the plan has it."""
    on_schema_change: OnSchemaChange = "refuse"
    rescue_column: str = "_rescued"
    """Column of a type for JSON that takes the columns that the table lacks, as one object."""
    visibility: Visibility = "atomic"
    max_delete: str = ""
    """Limit of a mirror: rows, or percent of the table's with a percent sign."""
    empty: Literal["null", "text"] = "null"
    """What an empty cell of a text column becomes: NULL, as COPY reads it, or an empty text. In
    other columns it is NULL. Of JSON an empty text stays one.
    """
    is_dry_run: bool = False
    """Whether nothing of what the load does is kept."""
    keeps_record: bool = True
    """Whether what the load wrote is recorded, for undo, proof and the history of rows."""


@dataclass(frozen=True, slots=True)
class PlannedColumn:
    """A column of the table that is loaded."""

    source: str
    """Name in the file; of a column that steps make, those that they read, with commas."""
    name: str
    """Name in the table."""
    cast: Cast
    is_nullable: bool
    matched_by: MatchedBy = "name"
    is_made: bool = False
    """Whether steps make its values."""

    @property
    def type(self) -> str:
        """Return the type as the database writes it, without the domain."""
        return self.cast.type

    @property
    def reads_form(self) -> bool:
        """Return whether its dates are written in another form than ISO 8601."""
        return bool(self.cast.format) and not self.cast.format.startswith(ISO_DAY)


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What a load does, as it is kept with its job."""

    definition: TableDefinition
    """The table as the load will find it: with columns that are added, and in the mode `create`
    as it will be made.
    """
    mode: Mode
    columns: tuple[PlannedColumn, ...]
    """In the order of the table."""
    key: tuple[str, ...] = ()
    """By which rows of the file are those of the table; empty for modes that compare nothing."""
    defaulted: tuple[str, ...] = ()
    """Columns of the table that the file lacks, and that take their defaults or NULL."""
    left_alone: tuple[str, ...] = ()
    """Columns that the database computes or numbers itself."""
    overrides_identity: bool = False
    """Whether values for GENERATED ALWAYS AS IDENTITY are written: INSERT ... OVERRIDING SYSTEM
    VALUE.
    """
    ignored: tuple[str, ...] = ()
    """Columns of the file that are not loaded."""
    rescue_column: str = ""
    """Column of the table; empty if nothing is rescued."""
    rescued: tuple[str, ...] = ()
    """Columns of the file that go into it."""
    statements: tuple[str, ...] = ()
    """DDL that is run before the rows are published: CREATE TABLE, or ALTER TABLE ADD COLUMN."""
    others: Others = "ignore"
    """What becomes of a value that is in no column of the header: under another key of a JSON
    record, or in a cell beyond the columns. `refuse`: its row is rejected.
    """
    visibility: Visibility = "atomic"
    max_delete: str = ""
    empty: Literal["null", "text"] = "null"
    is_dry_run: bool = False
    keeps_record: bool = True
    added: tuple[str, ...] = ()
    """Columns that the statements add to a table that is there."""
    transform: str = ""
    """JSON of the specification of a transform: how the columns are made that steps make. Empty if
    there are none.
    """
    steps_read: tuple[str, ...] = ()
    """Columns of the file that these steps read."""

    @property
    def names(self) -> list[str]:
        """Return the names of the table's columns that are loaded."""
        return [column.name for column in self.columns]

    @property
    def steps(self) -> dict[str, dict[str, Any]]:
        """Return how the columns are made that steps make: their source and steps, as the transform
        writes them. The form of dates in the file is such a step.
        """
        steps = {column.name: _as_step(column) for column in self.columns if column.reads_form}
        if self.transform:
            columns = msgspec.json.decode(self.transform)["mapping"]["columns"]
            steps |= {column.pop("name"): column for column in columns}
        return steps

    def as_json(self) -> dict[str, Any]:
        document: dict[str, Any] = msgspec.to_builtins(self)
        return document


def _as_step(column: PlannedColumn) -> dict[str, Any]:
    step = {"operation": "parse_date", "format": column.cast.format}
    return {"from": column.source, "steps": [step]}


def restored(document: Mapping[str, Any]) -> LoadPlan:
    """Return the plan from what `as_json` made; raises msgspec.ValidationError."""
    return msgspec.convert(document, LoadPlan)


def plan_load(
    header: Sequence[str],
    definition: TableDefinition,
    wanted: Wanted,
    facts: Sequence[Facts] = (),
) -> LoadPlan:
    """Return the plan for a table that is there; `facts` are what an analysis found in the columns
    of the file.

    Raises TableUnusable, and TableMismatch with all that does not fit.
    """
    _check_table(definition, wanted.mode)
    problems: list[Problem] = []
    matches = matched(header, definition, wanted, problems)
    used = {name for match in matches.values() for name in match.reads}
    unknown = tuple(name for name in header if name not in used)
    plan = LoadPlan(
        definition,
        wanted.mode,
        (),
        others=_others(wanted),
        visibility=wanted.visibility,
        max_delete=wanted.max_delete,
        empty=wanted.empty,
        is_dry_run=wanted.is_dry_run,
        keeps_record=wanted.keeps_record,
        transform=wanted.transform,
        steps_read=_steps_read(wanted),
    )
    plan = _with_unknown(plan, unknown, wanted, facts, problems)
    for name in plan.added:
        matches[name] = Match((name,), "name")
    plan = _with_columns(plan, matches, wanted, facts, problems)
    key = _key(plan, wanted, problems)
    if problems:
        raise mismatch(problems)
    return _with_marks(replace(plan, key=key), facts, header)


def _steps_read(wanted: Wanted) -> tuple[str, ...]:
    sources = [source for _, source in wanted.columns or () if isinstance(source, Made)]
    return tuple(dict.fromkeys(name for source in sources for name in source.reads))


def _others(wanted: Wanted) -> Others:
    if wanted.on_schema_change == "rescue":
        return "rescue"
    is_ignored = wanted.on_schema_change == "ignore" or wanted.columns is not None
    return "ignore" if is_ignored else "refuse"


def plan_creation(
    header: Sequence[str],
    name: TableName,
    dialect: Dialect,
    wanted: Wanted,
    facts: Sequence[Facts],
    types: Mapping[str, str] | None = None,
) -> LoadPlan:
    """Return the plan for a table that is not there. `types`: by column of the table, instead of
    what the facts say. Raises TableMismatch.
    """
    problems: list[Problem] = []
    pairs = wanted.columns
    if pairs is None:
        pairs = tuple((column, column) for column in header)
    by_name = {each.name: each for each in facts}
    chosen: dict[str, str] = {}
    for target, source in pairs:
        if isinstance(source, Made):
            type_ = source.type
        else:
            type_ = ddl.type_for(by_name.get(source), dialect)
            if source not in header:
                problems.append(Problem("columns", f"The file has no column {source[:60]!r}."))
        chosen[target] = (types or {}).get(target) or type_
    names = [target for target, _ in pairs]
    problems += [Problem("columns", text) for text in ddl.name_problems(name, names, dialect)]
    problems += [Problem("types", text) for text in ddl.type_problems(types or {}, chosen, dialect)]
    for column in wanted.key:
        if column not in chosen:
            problems.append(
                Problem("key", f"The key {column[:60]!r} is not a column of the table.")
            )
    if wanted.on_schema_change != "refuse":
        problems.append(Problem("on_schema_change", "A table that is created has all columns."))
    if problems:
        raise mismatch(problems)
    definition = ddl.definition_of(name, chosen, wanted.key, dialect)
    by: MatchedBy = "name" if wanted.columns is None else wanted.told_by
    matches = [_match(source, by) for _, source in pairs]
    columns = [
        _planned(definition, column, match, by_name)
        for column, match in zip(definition.columns, matches, strict=True)
    ]
    used = {name for match in matches for name in match.reads}
    plan = LoadPlan(
        definition,
        "create",
        tuple(columns),
        key=wanted.key,
        ignored=tuple(column for column in header if column not in used),
        statements=(ddl.create_table(definition),),
        others=_others(wanted),
        visibility=wanted.visibility,
        empty=wanted.empty,
        is_dry_run=wanted.is_dry_run,
        keeps_record=wanted.keeps_record,
        transform=wanted.transform,
        steps_read=_steps_read(wanted),
    )
    return _with_marks(plan, facts, header, types or {})


def _with_marks(
    plan: LoadPlan,
    facts: Sequence[Facts],
    header: Sequence[str],
    types: Mapping[str, str] | None = None,
) -> LoadPlan:
    """Return the plan with a step for each column for numbers whose values have a decimal comma or
    thousands marks, as an analysis found them. `types`: those that the user chose.
    """
    by_name = {each.name: each for each in facts}
    columns: list[PlannedColumn] = []
    with_steps: list[dict[str, Any]] = []
    for column in plan.columns:
        of_source = None if column.is_made else by_name.get(column.source)
        if of_source is None or not of_source.steps or not _is_number(plan, column, types):
            columns.append(column)
            continue
        columns.append(replace(column, is_made=True))
        with_steps.append({"name": column.name, "from": column.source, "steps": of_source.steps})
    if not with_steps:
        return plan
    document: dict[str, Any] = {"mapping": {"columns": []}, "header": list(header)}
    if plan.transform:
        document = msgspec.json.decode(plan.transform)
    document["mapping"]["columns"] += with_steps
    reads = dict.fromkeys([*plan.steps_read, *(column["from"] for column in with_steps)])
    return replace(
        plan,
        columns=tuple(columns),
        transform=msgspec.json.encode(document).decode(),
        steps_read=tuple(reads),
    )


def _is_number(plan: LoadPlan, column: PlannedColumn, types: Mapping[str, str] | None) -> bool:
    """Return whether the column is for numbers. SQLite keeps decimals of new columns as text."""
    if column.cast.kind in NUMBERS:
        return True
    is_new = plan.mode == "create" or column.name in plan.added
    is_chosen = column.name in (types or {})
    return plan.definition.dialect == "sqlite" and is_new and not is_chosen


# ---------------------------------------------------------------------- problems


class Problem(NamedTuple):
    """Something of the file or the request that does not fit the table."""

    option: str
    """What decides about it."""
    text: str


def mismatch(problems: Sequence[Problem]) -> TableMismatch:
    errors = [
        {"code": "table_mismatch", "pointer": f"options/{problem.option}", "detail": problem.text}
        for problem in problems[:MAX_PROBLEMS]
    ]
    more = len(problems) - 1
    detail = problems[0].text
    if more:
        detail += f" There {'is 1 more problem' if more == 1 else f'are {more} more problems'}."
    return TableMismatch(detail, errors=errors)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:60]) for name in names[:SHOWN_NAMES])
    more = len(names) - SHOWN_NAMES
    return f"{shown} and {more} more" if more > 0 else shown


def _check_table(definition: TableDefinition, mode: Mode) -> None:
    """Raises TableUnusable."""
    name = str(definition.name)
    if definition.kind not in ("table", "partitioned"):
        kind = definition.kind.replace("_", " ")
        raise TableUnusable(f"{name} is a {kind}; only tables can be loaded.")
    if definition.rules:
        rules = _listed(definition.rules)
        raise TableUnusable(f"{name} has the rule {rules}, which rewrites what is written into it.")
    needed: list[tuple[Right, Sequence[Mode]]] = [("delete", DELETING), ("select", KEYED)]
    for right, modes in needed:
        if mode in modes and right not in definition.rights:
            raise TableUnusable(f"The mode {mode} needs the right {right.upper()} on {name}.")


# ---------------------------------------------------------------------- which column goes where


class Match(NamedTuple):
    reads: tuple[str, ...]
    """The column of the file; several, or none, if steps make the values."""
    by: MatchedBy
    is_made: bool = False

    @property
    def source(self) -> str:
        return ", ".join(self.reads)


def _match(source: str | Made, by: MatchedBy) -> Match:
    if isinstance(source, Made):
        return Match(source.reads, by, is_made=True)
    return Match((source,), by)


def matched(
    header: Sequence[str],
    definition: TableDefinition,
    wanted: Wanted,
    problems: list[Problem],
) -> dict[str, Match]:
    """Return the matches by column of the table. What could go to several places goes to none, and
    is a problem.
    """
    if wanted.columns is not None:
        return _as_told(header, definition, wanted, problems)
    names = [column.name for column in definition.columns]
    there = set(names)
    matches = {name: Match((name,), "name") for name in header if name in there}
    for form in (_letters, _words):
        targets = _by_form([name for name in names if name not in matches], form)
        used = {match.source for match in matches.values()}
        sources = _by_form([name for name in header if name not in used], form)
        for normal_form in targets.keys() & sources.keys():
            columns, fed_by = targets[normal_form], sources[normal_form]
            if len(columns) == len(fed_by) == 1:
                matches[columns[0]] = Match((fed_by[0],), "normal_form")
            else:
                text = f"The columns {_listed(fed_by)} of the file could be {_listed(columns)}."
                problems.append(Problem("columns", text))
                matches |= {column: Match((fed_by[0],), "normal_form") for column in columns}
    return matches


def _letters(name: str) -> str:
    return column_names.normal(name).plain


def _words(name: str) -> str:
    return " ".join(column_names.normal(name).words)


def _by_form(names: Iterable[str], form: Callable[[str], str]) -> dict[str, list[str]]:
    """Return names by their normal form. Names without a letter or digit have none."""
    by_form: dict[str, list[str]] = {}
    for name in names:
        if normal_form := form(name):
            by_form.setdefault(normal_form, []).append(name)
    return by_form


def _as_told(
    header: Sequence[str],
    definition: TableDefinition,
    wanted: Wanted,
    problems: list[Problem],
) -> dict[str, Match]:
    matches: dict[str, Match] = {}
    option = "columns" if wanted.told_by == "columns" else "template_id"
    for target, source in wanted.columns or ():
        column = definition.column(target)
        if column is None:
            problems.append(Problem(option, f"The table has no column {target[:60]!r}."))
        elif isinstance(source, str) and source not in header:
            problems.append(Problem(option, f"The file has no column {source[:60]!r}."))
        elif column.generated == "computed":
            problems.append(
                Problem(option, f"The column {target[:60]!r} is computed by the database.")
            )
        elif target in matches:
            problems.append(Problem(option, f"The column {target[:60]!r} is named twice."))
        else:
            matches[target] = _match(source, wanted.told_by)
    return matches


def _with_unknown(
    plan: LoadPlan,
    unknown: tuple[str, ...],
    wanted: Wanted,
    facts: Sequence[Facts],
    problems: list[Problem],
) -> LoadPlan:
    """Decide what becomes of columns of the file that the table lacks."""
    if wanted.on_schema_change == "rescue":
        return _with_rescue(plan, unknown, wanted, problems)
    if not unknown or wanted.columns is not None or wanted.on_schema_change == "ignore":
        return replace(plan, ignored=unknown)
    if wanted.on_schema_change == "refuse":
        text = f"The table has no column for {_listed(unknown)}."
        problems.append(Problem("on_schema_change", text))
        return replace(plan, ignored=unknown)
    definition = plan.definition
    if "own" not in definition.rights:
        text = "Only the owner of the table can add columns to it."
        problems.append(Problem("on_schema_change", text))
    by_name = {each.name: each for each in facts}
    types = {name: ddl.type_for(by_name.get(name), definition.dialect) for name in unknown}
    there = [column.name for column in definition.columns]
    of_names = ddl.name_problems(definition.name, unknown, definition.dialect, there)
    problems += [Problem("on_schema_change", text) for text in of_names]
    new = tuple(Column(name, type_, True, base_type=type_) for name, type_ in types.items())
    return replace(
        plan,
        definition=replace(definition, columns=(*definition.columns, *new)),
        added=unknown,
        statements=tuple(ddl.add_column(definition.name, column) for column in new),
    )


def _with_rescue(
    plan: LoadPlan, unknown: tuple[str, ...], wanted: Wanted, problems: list[Problem]
) -> LoadPlan:
    name = wanted.rescue_column
    column = plan.definition.column(name)
    if column is None or column.generated:
        text = f"The table has no column {name[:60]!r} to take {_listed(unknown) or 'the rest'}."
        problems.append(Problem("rescue_column", text))
        return plan
    kind = cast_for(column, plan.definition.dialect, is_strict=plan.definition.is_strict).kind
    if kind != "json" and not (plan.definition.dialect == "sqlite" and kind in ("text", "any")):
        text = f"The column {name[:60]!r} is of the type {column.type}, and not of one for JSON."
        problems.append(Problem("rescue_column", text))
    return replace(plan, rescue_column=name, rescued=unknown)


def _with_columns(
    plan: LoadPlan,
    matches: Mapping[str, Match],
    wanted: Wanted,
    facts: Sequence[Facts],
    problems: list[Problem],
) -> LoadPlan:
    """Return the plan with the columns that are loaded, in the order of the table, and those that
    are not.
    """
    by_name = {each.name: each for each in facts}
    columns: list[PlannedColumn] = []
    left_alone: list[str] = []
    defaulted: list[str] = []
    ignored = list(plan.ignored)
    key = wanted.key or plan.definition.primary_key
    for column in plan.definition.columns:
        match = matches.get(column.name)
        is_told = wanted.columns is not None or (wanted.mode in KEYED and column.name in key)
        is_left = column.generated == "computed" or (
            column.generated == "identity_always" and not is_told
        )
        if match is not None and column.name == plan.rescue_column:
            text = f"The file has the column {match.source[:60]!r}, which takes what is rescued."
            problems.append(Problem("rescue_column", text))
        elif match is not None and not is_left:
            planned = _planned(plan.definition, column, match, by_name)
            columns.append(planned)
            problems += _right_problems(plan, column)
            problems += _type_problems(planned)
        elif is_left or column.generated:
            left_alone.append(column.name)
            ignored += match.reads if match is not None else ()
        elif column.name != plan.rescue_column:
            defaulted.append(column.name)
            problems += _value_problems(plan, column)
    if not columns:
        problems.append(Problem("columns", "No column of the file matches a column of the table."))
    always = {c.name for c in plan.definition.columns if c.generated == "identity_always"}
    return replace(
        plan,
        columns=tuple(columns),
        defaulted=tuple(defaulted),
        left_alone=tuple(left_alone),
        ignored=tuple(ignored),
        overrides_identity=any(column.name in always for column in columns),
    )


def _planned(
    definition: TableDefinition, column: Column, match: Match, facts: Mapping[str, Facts]
) -> PlannedColumn:
    cast = cast_for(column, definition.dialect, is_strict=definition.is_strict)
    of_source = None if match.is_made else facts.get(match.source)
    if of_source is not None and cast.kind in MOMENTS and of_source.type == "date":
        cast = replace(cast, format=of_source.format)
    return PlannedColumn(
        match.source, column.name, cast, column.is_nullable, match.by, match.is_made
    )


def _type_problems(column: PlannedColumn) -> Iterator[Problem]:
    casts = (column.cast, column.cast.element)
    if any(cast is not None and cast.kind == "refused" for cast in casts):
        text = f"The column {column.name[:60]!r} is of the type {column.type}"
        yield Problem("columns", f"{text}, whose values depend on settings or are cut off.")


def _right_problems(plan: LoadPlan, column: Column) -> Iterator[Problem]:
    rights = plan.definition.rights
    if plan.mode in INSERTING and "insert" not in rights and not column.can_insert:
        yield Problem(
            "table", f"The database role may not insert into the column {column.name[:60]!r}."
        )
    if plan.mode in UPDATING and "update" not in rights and not column.can_update:
        yield Problem("table", f"The database role may not update the column {column.name[:60]!r}.")


def _value_problems(plan: LoadPlan, column: Column) -> Iterator[Problem]:
    if plan.mode in INSERTING and not column.has_value_without_source:
        text = f"The column {column.name[:60]!r} must have a value, and the file has none for it."
        yield Problem("columns", text)


# ---------------------------------------------------------------------- the key


def _key(plan: LoadPlan, wanted: Wanted, problems: list[Problem]) -> tuple[str, ...]:
    if plan.mode not in KEYED:
        if wanted.key:
            problems.append(Problem("key", f"The mode {plan.mode} does not use a key."))
        return ()
    key = wanted.key or plan.definition.primary_key
    if not key:
        problems.append(Problem("key", f"The mode {plan.mode} needs a key; the table has none."))
        return ()
    missing = [name for name in key if name not in plan.names]
    if missing:
        problems.append(Problem("key", f"The key {_listed(missing)} is not loaded."))
    elif plan.definition.unique_on(key) is None:
        text = f"No primary key or unique constraint covers exactly {_listed(key)}."
        problems.append(Problem("key", text))
    elif plan.mode == "update" and len(key) == len(plan.columns):
        problems.append(Problem("columns", "The file has no columns to update besides the key."))
    return key
