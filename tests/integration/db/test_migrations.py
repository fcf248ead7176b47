"""The migrations create the schema of the models, on both databases, from any earlier state."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from app.db.engine import migration_engine
from app.db.migrations import _config
from app.db.models import Base
from tests.harness import Postgres


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, postgres: Postgres, tmp_path: Path) -> Any:
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'empty.db'}"
        return
    name = postgres.create()
    yield postgres.url(name)
    postgres.drop(name)


def look(url: str, work: Any) -> Any:
    async def run() -> Any:
        engine = migration_engine(url)
        async with engine.connect() as connection:
            found = await connection.run_sync(work)
        await engine.dispose()
        return found

    return asyncio.run(run())


def differences(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(connection, opts={"include_object": is_ours})
    return list(compare_metadata(context, Base.metadata))


def is_ours(part: Any, name: str | None, kind: str, *_: Any) -> bool:
    """The tables of the shared queue are those of its library."""
    table = name if kind == "table" else part.table.name
    return not str(table).startswith("procrastinate_")


def test_upgrade_head_equals_the_models(empty_url: str) -> None:
    command.upgrade(_config(empty_url), "head")
    assert look(empty_url, differences) == []


def test_every_revision_upgrades_to_head_and_downgrades(
    empty_url: str,
) -> None:
    """One after another: each step is part of the ways from all older revisions."""
    config = _config(empty_url)
    scripts = list(ScriptDirectory.from_config(config).walk_revisions())
    for script in reversed(scripts):
        command.upgrade(config, script.revision)
        command.downgrade(config, "-1")
        command.upgrade(config, script.revision)
    assert look(empty_url, differences) == []
    for script in scripts:
        assert look(empty_url, revision_of) == script.revision
        command.downgrade(config, "-1")
    assert look(empty_url, lambda c: inspect(c).get_table_names()) == ["alembic_version"]
    command.upgrade(config, "head")
    assert look(empty_url, differences) == []


def revision_of(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def test_an_interrupted_migration_leaves_nothing_behind(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alembic import op

    def stop(*_: Any, **__: Any) -> None:
        raise InterruptedError

    with monkeypatch.context() as patched:
        patched.setattr(op, "execute", stop)  # the view is created last, when every table exists
        with pytest.raises(InterruptedError):
            command.upgrade(_config(empty_url), "head")
    assert "files" not in look(empty_url, lambda c: inspect(c).get_table_names())
    command.upgrade(_config(empty_url), "head")
    assert look(empty_url, differences) == []


def test_a_chunk_cannot_be_completed_with_counts_that_do_not_close(empty_url: str) -> None:
    command.upgrade(_config(empty_url), "head")
    checks = look(
        empty_url,
        lambda c: (
            c.execute(text("SELECT 1 WHERE 1=0")) and inspect(c).get_check_constraints("chunks")
        ),
    )
    assert any("rows_ok + rows_invalid + rows_failed" in c["sqltext"] for c in checks)
