"""Command `serve`: runs the service."""

from __future__ import annotations

import asyncio
import signal
import socket
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from app.cli.common import SERVER, CliError, Exit, examples, print_status

if TYPE_CHECKING:
    from app.config import Settings

app = typer.Typer()

# Longer than clients and load balancers keep an idle connection (60 s for most). The client should
# close first: a request sent into a connection that is just being closed is lost, and a POST is not
# sent twice.
KEEP_ALIVE_SECONDS = 75
EVERY_ADDRESS = ("0.0.0.0", "::")  # nosec B104: to know it, not to listen there


@app.command(
    rich_help_panel=SERVER,
    epilog=examples("serve", "serve --host 0.0.0.0 --port 8080", "serve --migrate"),
)
def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 means all addresses of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8000,
    migrate: Annotated[
        bool,
        typer.Option(
            "--migrate",
            help=(
                "Update the schema of PostgreSQL first. An empty database and the embedded "
                "SQLite need no option."
            ),
        ),
    ] = False,
    access_log: Annotated[bool, typer.Option(help="Log each request in one line.")] = True,
) -> None:
    """Run the service with the settings of the environment and of .env.

    Ctrl-C ends it; unfinished jobs continue at the next start. Exit code: 2 a setting is invalid,
    the schema is older than this version, or the storage belongs to another database; 5 the
    database or the storage does not respond, another process serves the database, or the port is
    taken.
    """
    from app import loading  # noqa: F401 - first: what follows loads faster
    from app.config import load_settings

    settings = load_settings()
    _check_port(host, port)
    if migrate and not settings.is_sqlite:
        _migrate(settings)
    if settings.log_format == "text":
        print_status(banner(settings, host, port))
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # from here on, the web server handles it
    import uvicorn

    uvicorn.run(
        "app.main:app",
        host=host,
        port=port,
        access_log=access_log,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )


def banner(settings: Settings, host: str, port: int) -> str:
    """Describe what runs, with which database and storage, and the address of the dashboard.
    Passwords are left out.
    """
    from sqlalchemy.engine import make_url

    from app import __version__

    if settings.is_sqlite:
        database = f"SQLite, {make_url(settings.url).database}"
    else:
        url = make_url(settings.url)
        where = url.host or url.query.get("host") or "localhost"
        database = f"PostgreSQL, {where}{f':{url.port}' if url.port else ''}/{url.database}"
    storage = urlsplit(settings.storage_url)
    sign_in = "required" if settings.auth_required else "not required (AUTH_REQUIRED=false)"
    bucket = f"{storage.scheme}://{storage.hostname or ''}{storage.path}"
    return (
        f"Granula {__version__}\n"
        f"  database  {database}\n"
        f"  storage   {bucket if settings.storage_url else settings.storage_dir.resolve()}\n"
        f"  page      http://{_reached(host)}{f':{port}' if port else ''}/\n"
        f"  sign-in   {sign_in}"
    )


def _reached(host: str) -> str:
    """Return the host for a link to a service that listens on `host`."""
    if host in EVERY_ADDRESS:
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _migrate(settings: Settings) -> None:
    from app.db import migrations

    if settings.log_format == "text":
        print_status("Updating the schema.")
    asyncio.run(migrations.upgrade(settings.url))


def _check_port(host: str, port: int) -> None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise CliError(
            f"Cannot listen on {host}, port {port}: {error.strerror}. Choose another one with "
            "--host and --port, or stop the program that uses it.",
            Exit.UNAVAILABLE,
        ) from None
