"""serve: the service itself."""

from __future__ import annotations

import asyncio
import signal
import socket
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.common import PROGRAM, SERVER, CliError, Exit, examples, say

if TYPE_CHECKING:
    from app.config import Settings

app = typer.Typer()

# Longer than clients and balancers keep an idle connection (60 s at most of them). Whoever closes first should be the
# one who asks: a request that is sent into a connection that is just being closed is lost, and a POST is not sent twice.
KEEP_ALIVE_SECONDS = 75


@app.command(
    rich_help_panel=SERVER,
    epilog=examples("serve", "serve --host 0.0.0.0 --port 8080", "serve --migrate"),
)
def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 is every one of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8000,
    migrate: Annotated[
        bool,
        typer.Option(
            "--migrate", help="On PostgreSQL, bring the schema up to date first; the embedded SQLite does so by itself."
        ),
    ] = False,
    access_log: Annotated[bool, typer.Option(help="A line for each request.")] = True,
) -> None:
    """Run the service, with the settings of the environment and of .env.

    Ctrl-C ends it; what is not done goes on at the next start. Exit code: 2 a setting cannot be used, or the schema is
    older than this version; 5 the database does not answer, or the port is taken.
    """
    settings = settings_or_leave()
    _check_port(host, port)
    asyncio.run(prepare(settings, migrate))
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # from here on the web server's own
    import uvicorn

    uvicorn.run(
        "app.main:app",
        host=host,
        port=port,
        access_log=access_log,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )


def settings_or_leave() -> Settings:
    """The settings of the environment; raises CliError with a line for each that cannot be used."""
    from app.config import load_settings
    from app.errors import SettingsInvalid

    try:
        return load_settings()
    except SettingsInvalid as error:
        raise CliError(error.detail, Exit.USAGE) from None


def _check_port(host: str, port: int) -> None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise CliError(
            f"Cannot listen on {host}, port {port}: {error.strerror}. Choose another by --host and --port, or end what "
            "listens there.",
            Exit.UNAVAILABLE,
        ) from None


async def prepare(settings: Settings, migrate: bool) -> None:
    """The embedded database migrates itself at the start of the service."""
    if settings.is_sqlite:
        return
    from app.db import migrations
    from app.db.engine import Database
    from app.errors import TransientError

    if migrate:
        if settings.log_format == "text":
            say("Bringing the schema up to date.")
        await migrations.upgrade(settings.url)
        return
    database = Database(settings, is_guest=True)
    try:
        is_current = await migrations.current_is_head(database)
    except TransientError as error:
        raise CliError(
            f"The database of DATABASE_URL does not answer: {error.detail} {PROGRAM} doctor looks into it.",
            Exit.UNAVAILABLE,
        ) from None
    finally:
        await database.close()
    if not is_current:
        raise CliError(
            f"The schema in the database is not that of this version. Run `alembic upgrade head`, or {PROGRAM} serve --migrate.",
            Exit.USAGE,
        )
