"""Templates: the columns that are wanted, and mappings onto them that were accepted, possibly after
an edit. Accepted headers are proposed again.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import jobs
from app.db.engine import Database
from app.errors import InvalidParameter, NotFound, ResultUnavailable
from app.features.templates import queries as templates
from app.features.templates.queries import NewTemplate, TemplateRow

REMEMBERED_TEMPLATES, REMEMBERED_HEADERS = 200, 20
Columns = list[dict[str, Any]]


class Templates:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self,
        owner: str,
        name: str,
        columns: Columns | None,
        job_id: UUID | None,
        target: Columns | None = None,
    ) -> dict[str, Any]:
        """Create version 1 from these columns and this target, or from the mapping of the job; raises
        NotFound, ResultUnavailable, InvalidParameter.
        """

        async def create(connection: AsyncConnection) -> TemplateRow:
            chosen, wanted = columns, target
            if chosen is None and wanted is None:
                chosen, wanted = await self._of_job(connection, owner, job_id)
            new = _new(uuid4(), 1, owner, name, chosen, wanted, job_id)
            await templates.insert_version(connection, new)
            return await self._get(connection, new.id, owner)

        return _body(await self._database.transact(create))

    async def edit(
        self,
        template_id: UUID,
        owner: str,
        name: str | None,
        columns: Columns,
        target: Columns | None = None,
    ) -> dict[str, Any]:
        """Create the next version, by default with the same target; raises NotFound,
        InvalidParameter.
        """

        async def edit(connection: AsyncConnection) -> TemplateRow:
            latest = await self._get(connection, template_id, owner)
            wanted = latest.mapping.get("target") if target is None else target
            version, new_name = latest.version + 1, name or latest.name
            new = _new(template_id, version, owner, new_name, columns, wanted, latest.job_id)
            await templates.insert_version(connection, new)
            return await self._get(connection, template_id, owner)

        return _body(await self._database.transact(edit))

    async def get(self, template_id: UUID, owner: str, version: int | None) -> dict[str, Any]:
        async with self._database.reading() as connection:
            return _body(await self._get(connection, template_id, owner, version))

    async def list_latest(self, owner: str, *, limit: int, offset: int) -> dict[str, Any]:
        async with self._database.reading() as connection:
            rows = await templates.list_latest(connection, owner, limit=limit, offset=offset)
        return {"items": [_body(row) for row in rows], "limit": limit, "offset": offset}

    async def delete(self, template_id: UUID, owner: str) -> None:
        if not await self._database.transact(lambda c: templates.remove(c, template_id, owner)):
            raise NotFound

    async def accepted(self, owner: str) -> dict[str, list[str]]:
        """Return the input headers that were accepted for each reference header, newest first."""
        async with self._database.reading() as connection:
            rows = await templates.list_latest(
                connection, owner, limit=REMEMBERED_TEMPLATES, offset=0
            )
        accepted_headers: dict[str, list[str]] = {}
        for row in rows:
            for column in row.mapping["columns"]:
                headers = accepted_headers.setdefault(column["reference_column"], [])
                input_columns = column["input_columns"]
                if (
                    len(input_columns) == 1
                    and input_columns[0] not in headers
                    and len(headers) < REMEMBERED_HEADERS
                ):
                    headers.append(input_columns[0])
        return {reference: headers for reference, headers in accepted_headers.items() if headers}

    async def _get(
        self, connection: AsyncConnection, template_id: UUID, owner: str, version: int | None = None
    ) -> TemplateRow:
        row = await templates.find(connection, template_id, owner, version)
        if row is None:
            raise NotFound
        return row

    async def _of_job(
        self, connection: AsyncConnection, owner: str, job_id: UUID | None
    ) -> tuple[Columns, Columns]:
        """Return the columns and the target of a mapping job."""
        job = await jobs.find_job(connection, job_id, owner) if job_id is not None else None
        if job is None:
            raise NotFound
        result = await jobs.find_result(connection, job.id)
        if result is None or job.processor != "mapping":
            raise ResultUnavailable("This job has no mapping that could be accepted.")
        columns = [
            {name: mapping[name] for name in ("reference_column", "input_columns", "conversion")}
            for mapping in result.data["mappings"]
        ]
        target = [
            {**column, "required": False} for column in result.data.get("reference_columns", [])
        ]
        return columns, target


def _new(
    template_id: UUID,
    version: int,
    owner: str,
    name: str,
    columns: Columns | None,
    target: Columns | None,
    job_id: UUID | None,
) -> NewTemplate:
    wanted = target or []
    _check_once([column["name"] for column in wanted], "wanted")
    if columns is None:
        columns = [
            {"reference_column": column["name"], "input_columns": [], "conversion": []}
            for column in wanted
        ]
    _check_once([column["reference_column"] for column in columns], "mapped")
    mapping = {"columns": columns, "target": wanted}
    return NewTemplate(
        id=template_id, version=version, owner=owner, name=name, mapping=mapping, job_id=job_id
    )


def _check_once(names: list[str], what: str) -> None:
    if twice := sorted({each for each in names if names.count(each) > 1}):
        raise InvalidParameter(f"The reference column {twice[0][:60]!r} is {what} twice.")


def _body(row: TemplateRow) -> dict[str, Any]:
    return {
        "template_id": str(row.id),
        "version": row.version,
        "name": row.name,
        "columns": row.mapping["columns"],
        "target": row.mapping.get("target") or [],
        "job_id": str(row.job_id) if row.job_id else None,
        "created_at": row.created_at.isoformat(),
    }
