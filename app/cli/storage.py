"""`python -m app storage`: whose the storage is, and what in it nobody knows. It works with the
settings, also while the service runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from app.cli.common import PROGRAM, SERVER, CliError, Exit, Json, examples, put, put_json, say

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from app.config import Settings
    from app.db.engine import Database
    from app.pipeline.ownership import Held, Ownership
    from app.pipeline.sweeper import Sweeper
    from app.sources.stores import Stores

app = typer.Typer()
storage = typer.Typer(
    help="Look after the storage of the files: whose it is, and what in it nobody knows.",
    no_args_is_help=True,
    epilog=examples("storage status", "storage adopt", "storage sweep"),
)
app.add_typer(storage, name="storage", rich_help_panel=SERVER)
Result = TypeVar("Result")
STORAGE_OF_ANOTHER = (
    "The storage belongs to another database; nothing was changed. `{} storage status` says more."
)


@storage.command("status")
def status(as_json: Json = False) -> None:
    """Say whose the storage is, and how many files no row of the database knows. It changes
    nothing.

    Exit code: 0 the storage is that of this database, or of nobody yet; 1 it is that of another.
    """
    found = run_on_storage(_status)
    if as_json:
        put_json(found)
    else:
        put(f"Storage       {found['storage']}")
        put(f"Belongs to    {found['belongs_to'] or 'nobody yet'}")
        put(f"This database {found['installation'] or 'has no id before its first start'}")
        put(
            f"lost+found    {found['lost_files']} files, as of"
            f" {found['swept_at'] or 'no sweep yet'}"
        )
        put(
            f"Held          {found['held_files']} files that nobody knows, too many for one round"
            " of the sweep"
        )
    if found["belongs_to"] not in (None, found["installation"]):
        raise typer.Exit(int(Exit.INCOMPLETE))


@storage.command("adopt")
def adopt() -> None:
    """Make the storage that of this database, whoever had it. No file is changed or removed.

    For a storage whose database is lost. A service with the other database does not start on it any
    more, and one that runs no longer sweeps it.
    """
    before = run_on_storage(lambda parts: parts.ownership.adopt())
    had = "nobody" if before is None else str(before.installation or "somebody unknown")
    say(f"The storage belongs to this database now; before, to {had}.")
    say(
        f"What it holds that the database does not know stays where it is until `{PROGRAM} storage"
        " sweep`."
    )


@storage.command("sweep")
def sweep(
    purge: Annotated[
        bool,
        typer.Option(
            "--purge", help="Also remove what is in lost+found, before its days are over."
        ),
    ] = False,
) -> None:
    """Move what no row of the database knows to lost+found, however much it is.

    The service does so by itself where it is little. Files that are younger than the service would
    touch stay.
    """
    run_on_storage(lambda parts: _sweep(parts, purge))


async def _sweep(parts: Parts, purge: bool) -> None:
    if not await parts.ownership.is_ours():
        raise CliError(STORAGE_OF_ANOTHER.format(PROGRAM), Exit.REFUSED)
    swept = await parts.sweeper.sweep(has_limit=False)
    say(f"{swept.lost} files are in lost+found.")
    if purge:
        say(f"{await parts.sweeper.purge()} of them were removed.")


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
    """Of the service, as far as the storage needs them."""

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
