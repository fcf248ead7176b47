"""The service of mapping templates."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.db import files, jobs
from app.db.rows import NewFile, NewJob
from app.errors import InvalidParameter, NotFound, ResultUnavailable
from app.features.templates.service import Templates
from tests.conftest import Databases
from tests.integration.db.test_readers import OWNER, opened


def column(reference: str, *given: str) -> dict[str, Any]:
    return {"reference_column": reference, "input_columns": list(given), "conversion": []}


async def test_an_edit_creates_a_version_and_keeps_the_previous_one(
    databases: Databases, tmp_path: Path
) -> None:
    async with opened(databases, tmp_path) as database:
        templates = Templates(database)
        first = await templates.create(OWNER, "people", [column("mail", "email")], None)
        assert (first["version"], first["name"], first["job_id"]) == (1, "people", None)
        template_id = UUID(first["template_id"])
        second = await templates.edit(template_id, OWNER, None, [column("mail", "e_mail")])
        assert (second["version"], second["name"]) == (2, "people")
        third = await templates.edit(template_id, OWNER, "persons", [])
        assert await templates.get(template_id, OWNER, None) == third
        for version, body in ((1, first), (2, second), (3, third)):
            assert await templates.get(template_id, OWNER, version) == body
        listed = await templates.list_latest(OWNER, limit=10, offset=0)
        assert listed == {"items": [third], "limit": 10, "offset": 0}
        assert (await templates.list_latest(OWNER, limit=10, offset=1))["items"] == []
        with pytest.raises(InvalidParameter, match="mail"):
            await templates.edit(template_id, OWNER, None, [column("mail"), column("mail")])
        await templates.delete(template_id, OWNER)
        unset: tuple[int | None, ...] = (None, 1, 3)
        for gone in unset:
            with pytest.raises(NotFound):
                await templates.get(template_id, OWNER, gone)
        with pytest.raises(NotFound):
            await templates.delete(template_id, OWNER)


async def test_templates_of_other_owners_are_not_found(
    databases: Databases, tmp_path: Path
) -> None:
    async with opened(databases, tmp_path) as database:
        templates = Templates(database)
        made = await templates.create(OWNER, "mine", [column("mail", "email")], None)
        template_id = UUID(made["template_id"])
        with pytest.raises(NotFound):
            await templates.get(template_id, "somebody else", None)
        with pytest.raises(NotFound):
            await templates.edit(template_id, "somebody else", "theirs", [])
        with pytest.raises(NotFound):
            await templates.delete(template_id, "somebody else")
        assert (await templates.list_latest("somebody else", limit=1, offset=0))["items"] == []
        assert await templates.accepted("somebody else") == {}
        assert await templates.get(template_id, OWNER, None) == made


async def test_accepted_headers_are_remembered(databases: Databases, tmp_path: Path) -> None:
    async with opened(databases, tmp_path) as database:
        templates = Templates(database)
        await templates.create(OWNER, "first", [column("mail", "email"), column("born")], None)
        both = [column("mail", "e_mail"), column("name", "first", "last")]
        await templates.create(OWNER, "second", both, None)
        accepted = await templates.accepted(OWNER)
        assert accepted.keys() == {"mail"}, "of one column made from several nothing is learnt"
        assert sorted(accepted["mail"]) == ["e_mail", "email"]


async def test_a_template_keeps_the_result_of_a_mapping_job(
    databases: Databases, tmp_path: Path
) -> None:
    async with opened(databases, tmp_path) as database:
        templates = Templates(database)
        file = NewFile(
            owner=OWNER,
            filename="a.csv",
            format="csv",
            encoding="utf-8",
            dialect={"data_start": 0, "data_line": 1},
            size_bytes=1,
            stored_bytes=1,
            content_key="",
        )
        mapping, other = (
            NewJob(
                owner=OWNER,
                file_id=file.id,
                processor=processor,
                options={},
                chunk_size=1,
                priority=0,
                status="completed",
                columns=[],
            )
            for processor in ("mapping", "rows")
        )
        shown = {"name": "mail", "type": "text", "values": ["a@x.example"]}
        result = {
            "mappings": [column("mail", "email") | {"confidence": 0.9}],
            "reference_columns": [shown],
        }
        await database.transact(lambda c: files.insert_file(c, file))
        for job in (mapping, other):
            await database.transact(lambda c, job=job: jobs.insert_job(c, job))  # type: ignore[misc]
            await database.transact(
                lambda c, job=job: jobs.put_result(c, job.id, result, None)  # type: ignore[misc]
            )
        made = await templates.create(OWNER, "kept", None, mapping.id)
        assert (made["columns"], made["job_id"]) == ([column("mail", "email")], str(mapping.id))
        assert made["target"] == [{**shown, "required": False}]
        with pytest.raises(ResultUnavailable):
            await templates.create(OWNER, "rows", None, other.id)
        for missing in (uuid4(), None):
            with pytest.raises(NotFound):
                await templates.create(OWNER, "none", None, missing)


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
async def test_a_target_needs_no_mapping_and_survives_one(
    databases: Databases, tmp_path: Path
) -> None:
    wanted = [
        {"name": "mail", "type": "text", "required": True, "values": ["a@x.example"]},
        {"name": "born", "type": "date", "required": False, "values": ["1990-01-31"]},
    ]
    async with opened(databases, tmp_path) as database:
        templates = Templates(database)
        made = await templates.create(OWNER, "people", None, None, wanted)
        assert made["target"] == wanted
        assert made["columns"] == [column("mail"), column("born")]
        assert await templates.accepted(OWNER) == {}, "nothing is mapped yet"
        template_id = UUID(made["template_id"])
        mapped = [column("mail", "email"), column("born", "birthday")]
        edited = await templates.edit(template_id, OWNER, None, mapped)
        assert (edited["target"], edited["columns"]) == (wanted, mapped)
        assert (await templates.edit(template_id, OWNER, None, [], wanted[:1]))["target"] == wanted[
            :1
        ]
        with pytest.raises(InvalidParameter, match="wanted twice"):
            await templates.create(OWNER, "twice", None, None, wanted[:1] * 2)
