"""Commands `users`: who may sign in. They write to the database of the settings, also while the
service runs.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar
from uuid import UUID

import typer

from app.cli.common import SERVER, examples

if TYPE_CHECKING:
    from app.jobs.users import NewKey, Users

app = typer.Typer()
users = typer.Typer(
    help="Create, list and revoke users and their keys.",
    no_args_is_help=True,
    epilog=examples(
        "users create alice", "users create bob --admin --expires-in 90", "users keys list alice"
    ),
)
app.add_typer(users, name="users", rich_help_panel=SERVER)
keys = typer.Typer(
    help="Create, list and revoke keys. A user may have several, to replace one without a gap.",
    no_args_is_help=True,
)
users.add_typer(keys, name="keys")
Result = TypeVar("Result")

Name = Annotated[str, typer.Argument(help="Name of the user.")]
Days = Annotated[
    int | None,
    typer.Option(min=1, metavar="DAYS", help="The key expires after this number of days."),
]


@users.command("create")
def create_user(
    name: Name,
    expires_in: Days = None,
    admin: Annotated[
        bool, typer.Option("--admin", help="The user may also manage users over HTTP.")
    ] = False,
) -> None:
    """Create a user and print the key, which is shown only once."""
    _show(_run(lambda u: u.create(name, is_admin=admin, days=expires_in)))


@users.command("list")
def list_users() -> None:
    """List all users with the number of their valid keys."""
    all_users = _run(lambda u: u.list())
    columns = ("user_id", "is_admin", "status", "valid_keys", "created_at", "last_used_at")
    _table(columns, all_users, "There are no users: python -m app users create NAME")


@users.command("revoke")
def revoke_user(name: Name) -> None:
    """End all keys and sessions of the user immediately, and stop the schedules. The user's files
    stay.
    """
    _run(lambda u: u.revoke(name))
    _say(f"{name} is revoked.")


@users.command("restore")
def restore_user(name: Name) -> None:
    """Allow a revoked user to have keys again. The old ones stay revoked."""
    _run(lambda u: u.restore(name))
    _say(f"{name} is restored and needs a new key: python -m app users keys create {name}")


@keys.command("create")
def create_key(
    name: Name,
    label: Annotated[str, typer.Option(help="A name to tell keys apart.")] = "",
    expires_in: Days = None,
) -> None:
    """Create another key and print it; it is shown only once."""
    _show(_run(lambda u: u.create_key(name, days=expires_in, label=label)))


@keys.command("list")
def list_keys(name: Name) -> None:
    """List the keys of a user, without their values, which are not stored."""
    columns = ("key_id", "label", "status", "created_at", "expires_at", "last_used_at")
    _table(columns, list(_run(lambda u: u.list_keys(name))), f"{name} has no keys.")


@keys.command("revoke")
def revoke_key(
    key_id: Annotated[
        UUID, typer.Argument(help="Id of the key from `users keys list NAME`; not the key itself.")
    ],
) -> None:
    """End a key and its sessions immediately."""
    _run(lambda u: u.revoke_key(key_id))
    _say(f"The key {key_id} is revoked.")


def _run(work: Callable[[Users], Awaitable[Result]]) -> Result:
    """Run `work` on the database of the settings. Failures end in one sentence and exit code 1."""
    from app.errors import GranulaError

    try:
        return asyncio.run(_with_database(work))
    except GranulaError as error:
        typer.echo(error.detail, err=True)
        raise typer.Exit(1) from None


async def _with_database(work: Callable[[Users], Awaitable[Result]]) -> Result:
    from app.config import load_settings
    from app.db import migrations
    from app.db.engine import Database
    from app.jobs.users import Users

    settings = load_settings()
    if settings.is_sqlite and settings.url == f"sqlite+aiosqlite:///{settings.embedded_path}":
        settings.storage_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = Database(settings, is_guest=True)
    try:
        await migrations.prepare(database, settings.url, update=False)
        return await work(Users(database))
    finally:
        await database.close()


def _show(key: NewKey) -> None:
    """Print the key alone on standard output, so that a script can read it."""
    _say(f"The key {key.id}. Keep it now: it is shown only once and stored nowhere.")
    typer.echo(key.key)


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _table(columns: tuple[str, ...], rows: list[dict[str, object]], nothing: str) -> None:
    from rich.console import Console
    from rich.table import Table

    if not rows:
        _say(nothing)
        return
    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(name.replace("_", " "), no_wrap=name.endswith("_id"))
    for row in rows:
        cells = {name: "" if row[name] is None else str(row[name]) for name in columns}
        table.add_row(
            *(cell[:19] if name.endswith("_at") else cell for name, cell in cells.items())
        )
    Console(width=None if sys.stdout.isatty() else 200).print(table)
