"""Tables: what is there to be loaded, and the plan of a load."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from app.config import Settings
from app.db import jobs, users
from app.db.engine import Database
from app.errors import (
    AdminOnly,
    AnalysisNeeded,
    InvalidParameter,
    InvalidTransform,
    TableExists,
    TableUnusable,
    UnknownTable,
)
from app.features.tables import catalogue, queries
from app.features.tables.connections import OWN, Connections
from app.features.tables.ddl import Facts, facts_of, type_for_made
from app.features.tables.definition import (
    Column,
    Constraint,
    Dialect,
    TableDefinition,
    TableName,
)
from app.features.tables.history import History, parse_key
from app.features.tables.keys import keys_of
from app.features.tables.loading.places import Places
from app.features.tables.pages import read_page
from app.features.tables.plan import LoadPlan, Made, Wanted, plan_creation, plan_load
from app.features.tables.queries import LoadRow
from app.features.tables.requests import LoadOptions
from app.features.transform.service import TransformRequest, Transforms
from app.features.transform.spec import Mapping as TransformMapping
from app.features.transform.spec import OutputColumn
from app.formats.detect import SAMPLE_BYTES
from app.jobs.file_jobs import FileJobs, InputFile, Plan
from app.jobs.users import LOCAL_OWNER
from app.sources.base import Sources

LOAD, PROFILE = "load", "profile"
"""Processors: of loads, and of the analysis that tells types."""
COUNTED_ROWS = 1_000_000
"""A table with more, by the statistics of its database, is not counted for each request."""
COUNT_SECONDS = 5.0
SHOWN_LOADS = 20
COLUMN_OF_MAPPING = re.compile(r"mapping/columns/(\d+)")

Planned = Callable[[InputFile], Awaitable[LoadPlan]]


class Tables:
    def __init__(
        self,
        settings: Settings,
        database: Database,
        connections: Connections,
        file_jobs: FileJobs,
        sources: Sources,
        places: Places,
        transforms: Transforms,
        own_tables: Iterable[str] = (),
    ) -> None:
        """`own_tables`: tables of the processors that the settings name."""
        self._places = places
        self._transforms = transforms
        self._settings = settings
        self._database = database
        self._connections = connections
        self._file_jobs = file_jobs
        self._sources = sources
        self._own = frozenset(own_tables)

    async def check_access(self, owner: str) -> None:
        """Check that the user may use tables, which belong to nobody: whoever may use them sees and
        changes what others have loaded. Raises AdminOnly.
        """
        settings = self._settings
        if settings.tables_access == "users":
            return
        if owner == LOCAL_OWNER and not settings.auth_required:
            return
        async with self._database.reading() as connection:
            user = await users.find_user(connection, owner)
        if user is None or not user.is_admin:
            raise AdminOnly("Only administrators may use tables here.")

    # ------------------------------------------------------------------ what is there

    async def list_connections(self, owner: str) -> dict[str, Any]:
        await self.check_access(owner)
        names = self._connections.names
        problems = await asyncio.gather(*map(self._connections.problem, names))
        own = {
            "name": OWN,
            "kind": "sqlite" if self._database.is_sqlite else "postgresql",
            "address": None,
            "host": None,
            "database": None,
            "default_schema": self._default_schema(OWN) or None,
            "reachable": True,
            "problem": None,
        }
        named = [
            {
                "name": name,
                "kind": "postgresql",
                "address": self._connections.address(name),
                "host": self._connections.host(name),
                "database": self._connections.database(name),
                "default_schema": None,
                "reachable": not problem,
                "problem": problem or None,
            }
            for name, problem in zip(names, problems, strict=True)
        ]
        return {"items": [own, *named]}

    async def list_tables(
        self, owner: str, connection_name: str, schema: str, *, limit: int, offset: int
    ) -> dict[str, Any]:
        """Return the tables of a schema, or of the default ones. Raises UnknownConnection."""
        await self.check_access(owner)
        self._connections.check(connection_name)
        schema = schema or self._default_schema(connection_name)
        async with self._connections.reading(connection_name) as connection:
            schemas = [schema] if schema else await catalogue.default_schemas(connection)
            items = [
                {
                    "name": str(TableName(each, table.name)),
                    "schema": each,
                    "table": table.name,
                    "kind": table.kind,
                    "estimated_rows": table.estimated_rows,
                }
                for each in schemas
                for table in await catalogue.list_tables(connection, each, self._own)
            ]
        page = items[offset : offset + limit]
        return {"items": page, "total": len(items), "limit": limit, "offset": offset}

    async def describe(self, owner: str, written: str, connection_name: str) -> dict[str, Any]:
        """Raises UnknownConnection, UnknownTable."""
        await self.check_access(owner)
        name = self._name(written, connection_name)
        async with self._connections.reading(connection_name) as connection:
            definition = await self._definition(connection, name)
            rows = await self._rows(connection, definition)
        async with self._database.reading() as connection:
            loads = await queries.list_loads(
                connection, owner, LOAD, str(definition.name), connection_name, limit=SHOWN_LOADS
            )
        return _described(definition) | rows | {"loads": [_load(load) for load in loads]}

    async def row(self, owner: str, written: str, key: str, connection_name: str) -> dict[str, Any]:
        """Return a row of a table and its history. Raises UnknownConnection, UnknownTable,
        InvalidParameter.
        """
        await self.check_access(owner)
        name = self._name(written, connection_name)
        place = self._places.of(connection_name)
        async with self._database.reading() as own, place.read(own) as connection:
            definition = await self._definition(connection, name)
            history = History(place.loader, self._sources, own)
            return await history.of(connection, definition, parse_key(key, definition), owner)

    async def page(
        self,
        owner: str,
        written: str,
        connection_name: str,
        *,
        limit: int,
        offset: int,
        after: str,
    ) -> dict[str, Any]:
        """Return a page of the rows of a table. Raises UnknownConnection, UnknownTable,
        InvalidParameter, Unavailable.
        """
        await self.check_access(owner)
        name = self._name(written, connection_name)
        async with self._connections.reading(connection_name) as connection:
            definition = await self._definition(connection, name)
            if "select" not in definition.rights:
                raise TableUnusable(f"Reading rows needs the right SELECT on {definition.name}.")
            return await read_page(connection, definition, limit=limit, offset=offset, after=after)

    async def _rows(
        self, connection: AsyncConnection, definition: TableDefinition
    ) -> dict[str, Any]:
        estimated = definition.estimated_rows
        unknown = {"rows": estimated, "rows_are_exact": False}
        is_table = definition.kind in ("table", "partitioned")
        if not is_table or "select" not in definition.rights or (estimated or 0) > COUNTED_ROWS:
            return unknown
        with suppress(TimeoutError):
            async with asyncio.timeout(COUNT_SECONDS):
                rows = await catalogue.count_rows(connection, definition.name)
                return {"rows": rows, "rows_are_exact": True}
        return unknown

    def _default_schema(self, connection_name: str) -> str:
        """Return the schema; empty for the search path of a named connection."""
        if connection_name != OWN:
            return ""
        return "main" if self._database.is_sqlite else self._settings.tables_schema

    def _name(self, written: str, connection_name: str) -> TableName:
        """Raises UnknownConnection, UnknownTable."""
        self._connections.check(connection_name)
        parts = catalogue.parse_name(written)
        if parts is None:
            raise UnknownTable(f"{written[:100]!r} is not a name of a table.")
        schema, table = parts
        return TableName(schema or self._default_schema(connection_name), table, connection_name)

    async def _find(self, connection: AsyncConnection, name: TableName) -> TableDefinition | None:
        return await catalogue.read_definition(connection, name, self._own)

    async def _definition(self, connection: AsyncConnection, name: TableName) -> TableDefinition:
        """Raises UnknownTable, with the name that differs by capitals alone, if there is one."""
        definition = await self._find(connection, name)
        if definition is not None:
            return definition
        lower = TableName(name.schema, name.table.lower(), name.connection)
        hint = ""
        if lower != name and await self._find(connection, lower) is not None:
            hint = f" There is {str(lower)!r}."
        raise UnknownTable(f"There is no table {str(name)[:100]!r}.{hint}")

    # ------------------------------------------------------------------ plans

    async def planned(self, owner: str, options: LoadOptions) -> Planned:
        """Return the function that plans the load of a file. What can be refused without one is
        refused now: raises AdminOnly, UnknownConnection, UnknownTable, TableExists. The plan raises
        TableUnusable, TableMismatch, AnalysisNeeded.
        """
        await self.check_access(owner)
        name = self._name(options.table, options.connection)
        async with self._connections.reading(options.connection) as connection:
            if options.connection != OWN:
                await _check_workshop(connection)
            if options.mode == "create":
                name = await self._new_name(connection, name)
                definition = None
            else:
                definition = await self._definition(connection, name)

        async def plan(file: InputFile) -> LoadPlan:
            header = file.dialect["columns"]
            is_json = file.dialect["kind"] == "json"
            facts = await self._facts(owner, file)
            if is_json and facts:
                header = [each.name for each in facts]
            elif is_json:
                header = await self._keys(file)
            wanted = options.wanted()
            if options.has_steps:
                wanted = await self._with_steps(owner, file, options, wanted)
            if definition is None:
                return self._creation(name, wanted, options.types, header, facts)
            return plan_load(header, definition, wanted, facts)

        return plan

    async def _with_steps(
        self, owner: str, file: InputFile, options: LoadOptions, wanted: Wanted
    ) -> Wanted:
        """Return it with the columns that steps make. Columns that are read as they are stay such.
        Raises NotFound for a template, InvalidTransform.
        """
        request = TransformRequest(
            "csv",
            mapping=options.mapping,
            template_id=options.template_id,
            template_version=options.template_version,
        )
        try:
            specification, checked = await self._transforms.checked(owner, file, request)
        except InvalidTransform as error:
            if options.columns is None:
                raise
            raise _in_options(error, list(options.columns)) from None
        dialect = self._dialect(options.connection)
        pairs: list[tuple[str, str | Made]] = []
        with_steps: list[OutputColumn] = []
        for column, planned in zip(specification.mapping.columns, checked.columns, strict=True):
            if column.is_empty and options.template_id is not None:
                continue  # the template says nothing of this column
            if isinstance(column.from_, str) and not column.steps:
                pairs.append((column.name, column.from_))
                continue
            type_ = type_for_made(planned.type.name, planned.type.scale, dialect)
            pairs.append((column.name, Made(tuple(planned.reads), type_)))
            with_steps.append(column)
        document = ""
        if with_steps:
            mapping = TransformMapping(columns=with_steps)
            document = specification.model_copy(update={"mapping": mapping}).model_dump_json(
                by_alias=True, exclude_unset=True
            )
        return replace(
            wanted,
            columns=tuple(pairs),
            told_by="columns" if options.template_id is None else "template",
            transform=document,
        )

    async def _new_name(self, connection: AsyncConnection, name: TableName) -> TableName:
        """Return the name with the schema in which the table will be made; raises TableExists."""
        if not name.schema:
            schemas = await catalogue.default_schemas(connection)
            if not schemas:
                raise InvalidParameter("The search path has no schema: name one before the table.")
            name = TableName(schemas[0], name.table, name.connection)
        is_taken = await self._find(connection, name) is not None
        if is_taken or await catalogue.is_own(connection, name, self._own):
            raise TableExists(f"The table {str(name)[:100]!r} already exists.")
        return name

    def _creation(
        self,
        name: TableName,
        wanted: Wanted,
        types: Mapping[str, str],
        header: Sequence[str],
        facts: Sequence[Facts],
    ) -> LoadPlan:
        loaded = list(header)
        has_unknown = not loaded
        if wanted.columns is not None:
            loaded = [name for name, source in wanted.columns if isinstance(source, str)]
            has_unknown = False
        if not facts and (has_unknown or any(column not in types for column in loaded)):
            raise AnalysisNeeded
        return plan_creation(
            header,
            name,
            self._dialect(name.connection),
            wanted,
            facts,
            types,
        )

    def _dialect(self, connection_name: str) -> Dialect:
        return "sqlite" if self._connections.is_sqlite(connection_name) else "postgresql"

    async def _keys(self, file: InputFile) -> list[str]:
        """Return the keys of the first records of a JSON file."""
        assert file.storage_uri is not None
        all_bytes = file.stored_bytes or file.size_bytes
        size = min(all_bytes, SAMPLE_BYTES)
        read = partial(self._sources.read, file.storage_uri, 0, size, file.etag)
        sample = await asyncio.to_thread(read)
        return keys_of(file.dialect, sample, is_whole=size == all_bytes)

    async def _facts(self, owner: str, file: InputFile) -> list[Facts]:
        """Return the facts of the latest analysis of the same bytes, or of the upload itself if it
        was analysed at once; empty if there is none.
        """
        async with self._database.reading() as connection:
            plan = Plan(PROFILE, {})
            job = await self._file_jobs.find_cached(connection, owner, file, plan, {})
            if job is None:
                of_upload = await jobs.find_by_file(connection, file.id, owner)
                is_analysis = of_upload is not None and of_upload.processor == PROFILE
                job = of_upload if is_analysis else None
            result = None if job is None else await jobs.find_result(connection, job.id)
        return [] if result is None else facts_of(result.data)


def _in_options(error: InvalidTransform, names: Sequence[str]) -> InvalidTransform:
    """Return the error with the places as the options of a load have them. `names`: of the columns
    of the table, in the order of the mapping.
    """
    errors = []
    for mistake in error.errors:
        pointer = str(mistake["pointer"])
        if match := COLUMN_OF_MAPPING.match(pointer):
            name = names[int(match[1])].replace("~", "~0").replace("/", "~1")
            pointer = f"options/columns/{name[:60]}{pointer[match.end() :]}"
        errors.append({**mistake, "pointer": pointer})
    return InvalidTransform(f"{errors[0]['pointer']}: {errors[0]['detail']}", errors=errors)


async def _check_workshop(connection: AsyncConnection) -> None:
    """Raises TableUnusable if loads cannot keep tables of their own on this connection."""
    workshop = await catalogue.find_workshop(connection)
    if workshop.can_create:
        return
    where = "a schema" if workshop.name is None else f"the schema {workshop.name!r}"
    raise TableUnusable(
        f"The role of the connection needs the right to create tables in {where}, where a load keeps"
        " tables of its own; or make it a schema with the name 'granula'."
    )


def stored_names(plan: LoadPlan) -> dict[str, str]:
    """Return what the options of a load say in addition to its plan, by which the loads of a table
    are found.
    """
    name = plan.definition.name
    names = {"table": str(name), "connection": name.connection, "mode": plan.mode}
    if plan.visibility == "progressive":
        names["visibility"] = plan.visibility
    return names


# ---------------------------------------------------------------------- answers


def _described(definition: TableDefinition) -> dict[str, Any]:
    return {
        "name": str(definition.name),
        "schema": definition.name.schema,
        "table": definition.name.table,
        "connection": definition.name.connection,
        "kind": definition.kind,
        "columns": [_column(column) for column in definition.columns],
        "primary_key": list(definition.primary_key),
        "constraints": [_constraint(each) for each in definition.constraints],
        "triggers": list(definition.triggers),
        "has_row_security": definition.has_row_security,
        "rights": sorted(definition.rights),
    }


def _column(column: Column) -> dict[str, Any]:
    return {
        "name": column.name,
        "type": column.type,
        "nullable": column.is_nullable,
        "default": column.default,
        "generated": column.generated or None,
    }


def _constraint(constraint: Constraint) -> dict[str, Any]:
    references = constraint.references
    return {
        "name": constraint.name or None,
        "kind": constraint.kind,
        "columns": list(constraint.columns),
        "definition": constraint.definition or None,
        "references": None if references is None else str(references),
        "referenced_columns": list(constraint.referenced_columns),
    }


def _load(load: LoadRow) -> dict[str, Any]:
    return {
        "job_id": str(load.id),
        "file_id": str(load.file_id),
        "filename": load.filename,
        "mode": load.options["mode"],
        "status": load.status,
        "summary": load.summary,
        "created_at": load.created_at.isoformat(),
        "finished_at": load.finished_at.isoformat() if load.finished_at else None,
    }
