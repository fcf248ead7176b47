"""Commands `backup` and `restore`: database and storage as files of a folder, together or
separately.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from uuid import UUID

import typer

from app import __version__
from app.cli.common import PROGRAM, SERVER, CliError, Exit, examples, exit_with, print_status
from app.cli.storage import Parts, run_on_storage
from app.cli.text import quantity, size

if TYPE_CHECKING:
    from app.config import Settings
    from app.db.backup import Saved
    from app.sources.copies import Copied

app = typer.Typer()
MANIFEST, DATABASE, STORAGE = "manifest.json", "database", "storage"
FORMAT = 1
Result = TypeVar("Result")


class Only(StrEnum):
    DATABASE = "database"
    STORAGE = "storage"


OnlyOption = Annotated[
    Only | None, typer.Option("--only", help="Only the database, or only the storage.")
]


@app.command(
    rich_help_panel=SERVER,
    epilog=examples("backup /backups/monday", "backup /backups/files --only storage"),
)
def backup(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder that does not exist yet or is empty.")
    ],
    only: OnlyOption = None,
) -> None:
    """Copy database and storage into a folder while the service runs.

    The database is copied first, as of one moment; then the files. Exit code: 0 every file is there
    with the checksum in the database; 1 a file is missing from the storage or damaged there, and
    the rest is in the backup; 2 the backup cannot be made.
    """
    from app.config import load_settings

    settings = load_settings()
    folder = folder.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CliError(f"{folder} is not empty. Name a folder that does not exist yet.", Exit.USAGE)
    try:
        for part in (DATABASE, STORAGE):
            (folder / part).mkdir(parents=True, exist_ok=True, mode=0o700)
        saved = None if only is Only.STORAGE else _run(_save_database(settings, folder))
        copied = (
            None
            if only is Only.DATABASE
            else run_on_storage(lambda parts: _save_storage(parts, folder))
        )
        own_id = (
            saved.installation
            if saved is not None
            else run_on_storage(lambda parts: parts.ownership.own_id())
        )
        _write_manifest(folder, own_id, saved, copied)
        if saved is not None:
            run_on_storage(_record)
    except OSError as error:
        raise CliError(f"{folder} cannot be written: {error.strerror}.", Exit.UNAVAILABLE) from None
    print_status(_summary(saved, copied, f"in {folder}"))
    if saved is not None and copied is not None:
        wrong = run_on_storage(lambda parts: _mismatches(parts, saved, copied))
        for line in wrong:
            print_status(line)
        exit_with(Exit.INCOMPLETE if wrong else Exit.OK)


@app.command(
    rich_help_panel=SERVER,
    epilog=examples("restore /backups/monday", "restore /backups/monday --only database --replace"),
)
def restore(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a backup.")],
    only: OnlyOption = None,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace",
            help="Overwrite a database that is not empty. SQLite's old file is kept.",
        ),
    ] = False,
) -> None:
    """Restore a backup: database, storage, or both. The service must not run.

    No file is removed from the storage: files that the restored database does not know go to
    lost+found once the service runs. Exit code: 0 done; 2 the backup cannot be used, or the
    database is not empty; 5 the database or the storage does not respond, or a service runs.
    """
    from app.config import load_settings

    settings, folder = load_settings(), folder.absolute()
    manifest = _read_manifest(folder)
    has = {Only.DATABASE: manifest.database is not None, Only.STORAGE: manifest.has_storage}
    if only is not None and not has[only]:
        raise CliError(f"{folder} has no {only}: the backup does not include it.", Exit.USAGE)
    chosen = [only] if only is not None else [part for part in Only if has[part]]
    if Only.DATABASE in chosen:
        old_database = _run(_load_database(settings, folder, manifest, replace))
        print_status(
            "The database is restored."
            + (f" The previous database is {old_database}." if old_database else "")
        )
    run_on_storage(lambda parts: _finish(parts, folder if Only.STORAGE in chosen else None))


# ---------------------------------------------------------------------- steps


async def _save_database(settings: Settings, folder: Path) -> Saved:
    from app.db import backup

    return await backup.save(settings.url, folder / DATABASE)


async def _record(parts: Parts) -> None:
    """Record the time, which the service shows."""
    from app.db import installation

    await parts.database.transact(installation.record_backup)


async def _save_storage(parts: Parts, folder: Path) -> Copied:
    from app.sources import copies

    return await asyncio.to_thread(copies.save, parts.places, folder / STORAGE)


async def _mismatches(parts: Parts, saved: Saved, copied: Copied) -> list[str]:
    """Return a line for each file of the database copy that is missing from the storage or damaged
    there.
    """
    from app.db import files

    missing = [file_id for file_id in saved.files if file_id not in copied.crc32]
    async with parts.database.reading() as connection:
        needed: dict[UUID, bool] = {}
        for start in range(0, len(missing), 500):
            needed |= await files.need_bytes(connection, missing[start : start + 500])
    # otherwise it was just deleted
    lines = [
        f"{file_id} is missing from the storage." for file_id in missing if needed.get(file_id)
    ]
    for file_id, crc32 in saved.files.items():
        if crc32 is not None and copied.crc32.get(file_id, crc32) != crc32:
            lines.append(f"{file_id} was damaged in the storage: its checksum differs.")
    return lines


async def _load_database(
    settings: Settings, folder: Path, manifest: Manifest, replace: bool
) -> str | None:
    from app.db import backup
    from app.db.presence import Presence

    assert manifest.database is not None
    settings.storage_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    presence = Presence(settings, is_exclusive=True)
    await presence.claim()
    try:
        kind, revision = manifest.database["kind"], manifest.database["revision"]
        return await backup.load(settings.url, folder / DATABASE, kind, revision, replace=replace)
    finally:
        await presence.release()


async def _finish(parts: Parts, folder: Path | None) -> None:
    """Restore the files, if they are part of this, and make database and storage fit each other."""
    from app.db import files, uploads
    from app.errors import StorageForeign
    from app.sources import copies

    seconds = parts.settings.upload_expiry_hours * 3600
    await parts.database.transact(lambda c: uploads.keep_all_alive(c, seconds))
    if folder is not None:
        was_empty = not await parts.ownership.holds_anything()
        copied = await asyncio.to_thread(copies.load, parts.places, folder / STORAGE)
        await parts.database.transact(lambda c: files.set_etags(c, copied.etags))
        if was_empty:
            await parts.ownership.adopt()
        print_status(_summary(None, copied, "put back"))
    try:
        await parts.ownership.claim()
    except StorageForeign as error:
        print_status(error.detail)


# ---------------------------------------------------------------------- manifest


@dataclass(frozen=True, slots=True)
class Manifest:
    database: dict[str, Any] | None
    has_storage: bool


def _write_manifest(folder: Path, own_id: UUID, saved: Saved | None, copied: Copied | None) -> None:
    """Write the manifest last: a backup without it is incomplete."""
    manifest = {
        "format": FORMAT,
        "version": __version__,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "installation": str(own_id),
        DATABASE: None if saved is None else {"kind": saved.kind, "revision": saved.revision},
        STORAGE: None if copied is None else {"files": copied.count, "bytes": copied.size},
    }
    with open(os.open(folder / MANIFEST, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(manifest, file, indent=2)
        file.flush()
        os.fsync(file.fileno())


def _read_manifest(folder: Path) -> Manifest:
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        if manifest["format"] != FORMAT:
            raise CliError(
                f"{folder} was written by another version of Granula ({manifest['version']}).",
                Exit.USAGE,
            )
        return Manifest(manifest[DATABASE], manifest[STORAGE] is not None)
    except FileNotFoundError:
        raise CliError(
            f"{folder} is not a complete backup: it has no {MANIFEST}.",
            Exit.USAGE,
        ) from None
    except (OSError, ValueError, KeyError, TypeError):
        raise CliError(f"{folder / MANIFEST} cannot be read.", Exit.USAGE) from None


def _summary(saved: Saved | None, copied: Copied | None, where: str) -> str:
    parts = ["the database"] if saved is not None else []
    if copied is not None:
        parts.append(f"{quantity(copied.count, 'file')} of {size(copied.size)}")
    text = f"{' and '.join(parts)} {'are' if copied is not None else 'is'} {where}."
    return text[0].upper() + text[1:]


def _run(work: Coroutine[Any, Any, Result]) -> Result:
    """Raises CliError for failures that one sentence explains."""
    import asyncpg
    from sqlalchemy.exc import SQLAlchemyError

    try:
        return asyncio.run(work)
    except (asyncpg.PostgresError, SQLAlchemyError, ConnectionError, TimeoutError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise CliError(
            f"The database of DATABASE_URL cannot be used: {first}. Run {PROGRAM} doctor to "
            "find out why.",
            Exit.UNAVAILABLE,
        ) from None
