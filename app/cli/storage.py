"""Commands `storage`: to which database the storage belongs, and files that it does not know. They
use the settings, also while the service runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from app.cli.common import (
    PROGRAM,
    SERVER,
    CliError,
    Exit,
    Json,
    examples,
    print_json,
    print_result,
    print_status,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from app.config import Settings
    from app.db.engine import Database
    from app.pipeline.ownership import Held, Ownership
    from app.pipeline.sweeper import Sweeper
    from app.sources.stores import Stores

app = typer.Typer()
storage = typer.Typer(
    help="Inspect and repair the storage: its database, and files that the database does not know.",
    no_args_is_help=True,
    epilog=examples("storage status", "storage adopt", "storage sweep"),
)
app.add_typer(storage, name="storage", rich_help_panel=SERVER)
Result = TypeVar("Result")
STORAGE_OF_ANOTHER = (
    "The storage belongs to another database; nothing was changed. See `{} storage status`."
)


@storage.command("status")
def status(as_json: Json = False) -> None:
    """Show to which database the storage belongs, and how many files it does not know. Nothing is
    changed.

    Exit code: 0 the storage belongs to this database, or to none yet; 1 it belongs to another one.
    """
    state = run_on_storage(_status)
    if as_json:
        print_json(state)
    else:
        print_result(f"Storage       {state['storage']}")
        print_result(f"Belongs to    {state['belongs_to'] or 'no database yet'}")
        print_result(f"This database {state['installation'] or 'has no id before its first start'}")
        print_result(
            f"lost+found    {state['lost_files']} files, as of"
            f" {state['swept_at'] or 'no sweep yet'}"
        )
        print_result(
            f"Held          {state['held_files']} files unknown to the database, too many for one"
            " sweep"
        )
    if state["belongs_to"] not in (None, state["installation"]):
        raise typer.Exit(int(Exit.INCOMPLETE))


@storage.command("adopt")
def adopt() -> None:
    """Assign the storage to this database, whichever it belonged to. No file is changed or removed.

    Use this for a storage whose database is lost. A service with the other database does not start
    on it any more, and a running one stops sweeping it.
    """
    before = run_on_storage(lambda parts: parts.ownership.adopt())
    had = "none" if before is None else str(before.installation or "an unknown one")
    print_status(f"The storage belongs to this database now. Previous database: {had}.")
    print_status(
        f"Files that the database does not know stay where they are until `{PROGRAM} storage"
        " sweep`."
    )


@storage.command("sweep")
def sweep(
    purge: Annotated[
        bool,
        typer.Option(
            "--purge", help="Also remove the files in lost+found before their days are over."
        ),
    ] = False,
) -> None:
    """Move all files that the database does not know to lost+found, however many there are.

    The service does this itself if they are few. Files that are too new for the service's sweep
    stay.
    """
    run_on_storage(lambda parts: _sweep(parts, purge))


async def _sweep(parts: Parts, purge: bool) -> None:
    if not await parts.ownership.is_ours():
        raise CliError(STORAGE_OF_ANOTHER.format(PROGRAM), Exit.REFUSED)
    swept = await parts.sweeper.sweep(has_limit=False)
    print_status(f"{swept.lost} files are in lost+found.")
    if purge:
        print_status(f"Removed {await parts.sweeper.purge()} of them.")


async def _status(parts: Parts) -> dict[str, Any]:
    from app.db import installation

    async with parts.database.reading() as connection:
        row = await installation.find(connection)
    held: Held | None = await parts.ownership.held()
    return {
        "storage": parts.places.mark.where,
        "belongs_to": None if held is None else str(held.installation or "unreadable"),
        "installation": None if row is None else str(row.id),
        "lost_files": 0 if row is None else row.lost_files,
        "held_files": 0 if row is None else row.held_files,
        "swept_at": None if row is None or row.swept_at is None else row.swept_at.isoformat(),
    }


class Parts:
    """The parts of the service that the storage commands need."""

    def __init__(self, settings: Settings, database: Database, places: Stores) -> None:
        from app.pipeline.ownership import Ownership
        from app.pipeline.sweeper import Sweeper

        self.settings = settings
        self.database = database
        self.places = places
        self.ownership: Ownership = Ownership(database, places)
        self.sweeper: Sweeper = Sweeper(
            database,
            places.storage,
            places.outputs,
            partials=places.partials,
            ownership=self.ownership,
            lost_seconds=settings.lost_found_days * 86_400,
        )


def run_on_storage(work: Callable[[Parts], Awaitable[Result]]) -> Result:
    from app.config import load_settings

    settings = load_settings()

    async def run() -> Result:
        async with _opened(settings) as parts:
            return await work(parts)

    return asyncio.run(run())


def _opened(settings: Settings) -> AbstractAsyncContextManager[Parts]:
    from app.db import migrations
    from app.db.engine import Database
    from app.sources.s3 import Credentials
    from app.sources.stores import stores

    @asynccontextmanager
    async def opened() -> AsyncIterator[Parts]:
        credentials = Credentials(
            settings.endpoint_url, settings.key, settings.secret.get_secret_value(), settings.region
        )
        places = stores(
            settings.storage_url,
            settings.storage_dir,
            credentials,
            most_bytes=settings.max_upload_bytes,
        )
        settings.storage_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        places.prepare()
        database = Database(settings, is_guest=True)
        try:
            await migrations.prepare(database, settings.url, update=settings.is_sqlite)
            yield Parts(settings, database, places)
        finally:
            await database.close()
            places.close()

    return opened()
