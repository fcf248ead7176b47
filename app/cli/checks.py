"""Checks of `doctor` on this machine. They change nothing, except for an object that they create
and remove in a bucket of STORAGE_URL.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import httpx
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from app import config, plugins
from app.config import Settings, load_settings
from app.db import migrations
from app.db.engine import Database
from app.db.installation import find as find_installation
from app.db.private import is_private
from app.db.rows import InstallationRow
from app.embeddings import files
from app.errors import GranulaError, SettingsInvalid, StorageUnavailable, TerminalError
from app.pipeline import ownership
from app.sources import stores
from app.sources.s3 import Credentials

Finding = tuple[str, str, str]
"""(ok, note, warning or bad; result; remedy)"""
UPGRADE = "Run `alembic upgrade head`, or start with `python -m app serve --migrate`."
SECONDS = 15.0


def settings() -> Settings:
    """Return the settings; raises SettingsInvalid."""
    return load_settings()


def warnings() -> list[str]:
    """Return a sentence for each variable that is probably a misspelt setting."""
    return config.warnings()


def _files(settings: Settings) -> Path | None:
    """Return the folder of the files; None if they are in a bucket. Raises SettingsInvalid."""
    folder = stores.folder_of(settings.storage_url, settings.storage_dir)
    return None if folder is None else folder / "uploads"


def storage(settings: Settings) -> Iterator[Finding]:
    try:
        folder = _files(settings)
        if folder is None:
            yield from _bucket(settings)
            return
    except SettingsInvalid as error:
        yield (
            "bad",
            error.detail,
            "Correct STORAGE_URL, or remove it to store files in STORAGE_DIR.",
        )
        return
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    remedy = (
        "Let the user who runs the service write there (chown, chmod), or set"
        f" STORAGE_DIR to another folder: {existing}"
    )
    if not existing.is_dir():
        yield "bad", f"{existing} is not a folder", "Set STORAGE_DIR to another folder."
        return
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        yield "bad", f"{folder} cannot be written: {error.strerror}", remedy
        return
    yield (
        "ok",
        (
            f"{folder} can be written"
            if existing == folder
            else f"{folder} will be created at the first start"
        ),
        "",
    )


def _bucket(settings: Settings) -> Iterator[Finding]:
    """Check every operation on a bucket that the service uses, and remove what this writes."""
    credentials = Credentials(
        settings.endpoint_url, settings.key, settings.secret.get_secret_value(), settings.region
    )
    bucket = stores.bucket_of(settings.storage_url, credentials)
    key = f"check/{uuid4()}"
    try:
        bucket.put(key, b"granula")
        is_refused = not bucket.create(key, b"another")
        is_read = (
            bucket.read(key, 0, 7) == b"granula"
            and [entry.key for entry in bucket.entries("check")].count(key) == 1
        )
        bucket.delete([key])
        unfinished = len(bucket.unfinished("uploads/"))
    except (StorageUnavailable, TerminalError) as error:
        yield (
            "bad",
            error.detail,
            (
                "The service needs GetObject, PutObject, DeleteObject, ListBucket, multipart"
                " uploads too."
            ),
        )
        return
    if not is_read:
        yield (
            "bad",
            f"{bucket} does not return what was stored there",
            "Use an object store that is consistent.",
        )
    elif not is_refused:
        message = f"{bucket} overwrites what it should only create (If-None-Match)"
        yield (
            "bad",
            message,
            (
                "Use an object store with conditional writes; two clients of one upload could "
                "mix their bytes."
            ),
        )
    else:
        yield (
            "ok",
            (
                f"{bucket} can be read and written; {unfinished} uploads are in progress or were"
                " interrupted"
            ),
            "",
        )


def disk(settings: Settings) -> Iterator[Finding]:
    try:
        uploads = _files(settings)
    except SettingsInvalid:
        return  # reported by `storage`
    if uploads is None:
        return
    folder = next(path for path in (uploads, *uploads.absolute().parents) if path.exists())
    free, reserved = shutil.disk_usage(folder).free >> 20, settings.min_free_disk_mb
    remedy = (
        "Free disk space, delete files that are not needed (`delete`), or lower MIN_FREE_DISK_MB."
    )
    if free < reserved:
        yield "bad", f"{free:,} MiB are free; uploads are refused below {reserved:,} MiB", remedy
    elif free < reserved + settings.max_upload_mb:
        yield (
            "warning",
            (
                f"{free:,} MiB are free, too few for an upload of"
                f" MAX_UPLOAD_MB={settings.max_upload_mb}"
            ),
            remedy,
        )
    else:
        yield "ok", f"{free:,} MiB are free", ""


def database(settings: Settings) -> Iterator[Finding]:
    if settings.is_sqlite:
        yield from _sqlite(settings)
        return
    where = make_url(settings.url)
    name = (
        f"PostgreSQL, {where.database} on {where.host or where.query.get('host', 'this machine')}"
    )
    try:
        version, is_current = asyncio.run(asyncio.wait_for(_postgresql(settings), SECONDS))
    except TimeoutError:
        yield (
            "bad",
            f"{name}: no response within {SECONDS:g} s",
            "Check host and port in DATABASE_URL, and the firewall.",
        )
        return
    except GranulaError as error:
        yield (
            "bad",
            f"{name}: {error.detail}",
            "Start PostgreSQL, and check host, port, user and password in DATABASE_URL.",
        )
        return
    yield "ok", f"{name} responds, version {version}", ""
    yield from _migrations(is_current)


async def _postgresql(settings: Settings) -> tuple[str, bool]:
    database = Database(settings, is_guest=True)
    try:
        version = await database.server_version()
        return version, await migrations.current_is_head(database)
    finally:
        await database.close()


def _sqlite(settings: Settings) -> Iterator[Finding]:
    path = Path(settings.url.partition(":///")[2])
    if path != settings.embedded_path and not path.parent.is_dir():
        yield (
            "bad",
            f"SQLite is unable to open {path}: the folder does not exist",
            "Create it, or correct DATABASE_URL.",
        )
        return
    if not path.exists():
        yield "ok", f"SQLite: {path} will be created at the first start", ""
        return
    try:
        with closing(
            sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=5)
        ) as connection:
            version = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        yield (
            "bad",
            f"SQLite: {path} cannot be read: {error}",
            "Move the file away to start with an empty database, or restore a copy of it.",
        )
        return
    if not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK):
        yield (
            "bad",
            f"SQLite: {path} or its folder cannot be written",
            "Give both to the user who runs the service.",
        )
        return
    yield "ok", f"SQLite: {path} can be read and written", ""
    if not is_private(path):
        yield (
            "warning",
            f"SQLite: {path} can be read by other users of this machine",
            f"chmod 600 {path}*",
        )
    if version and version[0] == migrations.head():
        yield from _migrations(True)
    else:
        yield (
            "note",
            "The schema is that of another version; the service updates it at its next start",
            "",
        )


def _migrations(is_current: bool) -> Iterator[Finding]:
    yield (
        ("ok", "The schema is up to date", "")
        if is_current
        else ("bad", "The schema is not that of this version", UPGRADE)
    )


def installation(settings: Settings) -> Iterator[Finding]:
    """Check that the storage belongs to the database, and count unknown files. Yields nothing if
    either cannot be read.
    """
    credentials = Credentials(
        settings.endpoint_url, settings.key, settings.secret.get_secret_value(), settings.region
    )
    try:
        places = stores.stores(
            settings.storage_url, settings.storage_dir, credentials, most_bytes=1
        )
    except SettingsInvalid:
        return  # reported by `storage`
    if settings.is_sqlite and not Path(settings.url.partition(":///")[2]).exists():
        return  # it is created at the first start
    try:
        mark = ownership.held(places.mark.read())
        row = asyncio.run(asyncio.wait_for(_installation(settings), SECONDS))
    except (GranulaError, SQLAlchemyError, OSError, TimeoutError):
        return  # reported by `storage` and `database`
    finally:
        places.close()
    if mark is None or row is None:
        yield "note", "The storage will be assigned to this database at the first start", ""
        return
    if mark.installation != row.id:
        message = (
            f"{places.mark.where} belongs to another Granula database ({mark.installation}); this"
            f" one is {row.id}"
        )
        yield "bad", message, ownership.WHAT_TO_DO
        return
    yield "ok", f"{places.mark.where} belongs to this database", ""
    if row.held_files:
        message = (
            f"{row.held_files} files in the storage are unknown to the database, too many"
            " for the sweep"
        )
        yield (
            "warning",
            message,
            "Restore the right database, or move them to lost+found: python -m app storage sweep",
        )
    if row.lost_files:
        message = (
            f"{row.lost_files} files are in lost+found; each is removed after"
            f" {settings.lost_found_days:g} days there"
        )
        yield (
            "warning",
            message,
            "Restore the database that knows them, or leave them: docs/backup.md",
        )


async def _installation(settings: Settings) -> InstallationRow | None:
    database = Database(settings, is_guest=True)
    try:
        async with database.reading() as connection:
            return await find_installation(connection)
    finally:
        await database.close()


def model(settings: Settings) -> Iterator[Finding]:
    folder = settings.embedding_model_dir
    missing = files.missing(folder, files.needed(settings.embedding_precision))
    if missing:
        message = (
            f"{', '.join(missing)} missing or damaged in {folder}: no semantic search, no local"
            " sentiment model"
        )
        yield "warning", message, files.HOW_TO_INSTALL
    else:
        yield "ok", f"{files.MODEL_ID} is in {folder}", ""


def plug_ins(settings: Settings) -> Iterator[Finding]:
    try:
        processors = plugins.make_processors(settings)
    except SettingsInvalid as error:
        yield (
            "bad",
            error.detail,
            "Correct the name, or add the module's folder to PYTHONPATH.",
        )
        return
    yield "ok", f"processors: {', '.join(processors.names)}", ""


def services(settings: Settings) -> Iterator[Finding]:
    for variable, url, name in (
        ("ENDPOINT_URL", settings.endpoint_url, "the object store"),
        ("ML_API_URL", settings.ml_api_url, "the model service"),
        ("OPENAI_BASE_URL", settings.openai_base_url, "the language service"),
    ):
        if not url:
            continue
        try:
            httpx.get(url, timeout=10)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            yield (
                "bad",
                f"{name} of {variable} does not respond: {error}",
                f"Start it, or correct {variable}.",
            )
        else:
            yield "ok", f"{name} of {variable} responds", ""


ALL: dict[str, Callable[[Settings], Iterator[Finding]]] = {
    "storage": storage,
    "disk": disk,
    "database": database,
    "installation": installation,
    "model": model,
    "processors": plug_ins,
    "services": services,
}
