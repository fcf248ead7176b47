"""doctor: look at everything that the service needs, and say what to do about what is not well."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from app.cli.common import (
    DEFAULT_URL,
    SERVER,
    CliError,
    Exit,
    Json,
    connect,
    examples,
    leave,
    put_json,
)
from app.cli.text import shown

app = typer.Typer()
STYLES = {"ok": "green", "note": "dim", "warning": "yellow", "bad": "bold red"}


@app.command(
    rich_help_panel=SERVER,
    epilog=examples("doctor", "doctor --json", "doctor --url https://granula.example.com"),
)
def doctor(
    as_json: Json = False,
    url: Annotated[
        str | None,
        typer.Option(
            "--url", "-u", envvar="GRANULA_URL", help="Look at this server from outside instead."
        ),
    ] = None,
) -> None:
    """Check settings, folders, disk, database, migrations, language model and services, and say
    what to do.

    It changes nothing. Exit code: 0 all is well, or there are only warnings; 1 something is bad.
    """
    checks = []
    for check in _of_server(url) if url else _of_this_machine():
        checks.append(check)
        if not as_json:
            _show(check)
    is_well = all(check["state"] != "bad" for check in checks)
    if as_json:
        put_json({"ok": is_well, "checks": checks})
    leave(Exit.OK if is_well else Exit.INCOMPLETE)


def _of_this_machine() -> Iterator[dict[str, str]]:
    from app.cli import checks
    from app.errors import SettingsInvalid

    try:
        settings = checks.settings()
    except SettingsInvalid as error:
        yield _check("settings", "bad", error.detail, "Correct them in the environment or in .env.")
        return
    yield _check("settings", "ok", "can be used")
    for name, look in checks.ALL.items():
        for state, found, remedy in look(settings):
            yield _check(name, state, found, remedy)
    yield from _of_server(DEFAULT_URL, must_run=False)


def _of_server(url: str, *, must_run: bool = True) -> Iterator[dict[str, str]]:
    from app.cli.client import Unreachable

    try:
        client = connect(url)
        ready = client.ready()
    except Unreachable as error:
        first, _, rest = error.message.partition("\n")
        yield _check("server", "bad" if must_run else "note", first, rest if must_run else "")
        return
    except CliError as error:
        yield _check("server", "bad" if must_run else "note", error.message)
        return
    wrong = {name: value for name, value in ready["checks"].items() if value != "ok"}
    if wrong:
        text = "; ".join(f"{shown(name)}: {shown(str(value))}" for name, value in wrong.items())
        yield _check(
            "server", "bad", f"{url} runs but takes no uploads: {text}", "Its log says more."
        )
    else:
        yield _check(
            "server", "ok", f"{url} takes uploads; {ready['queued_jobs']} jobs wait or run"
        )
    for address in _addresses_from_outside(url):
        if _lets_anybody_in(address):
            found = (
                f"anybody who can reach {address} may read, upload and delete everything: nobody"
                " has to sign in"
            )
            yield _check(
                "server", "warning", found, "Set AUTH_REQUIRED=true, or listen on 127.0.0.1 only."
            )
    try:
        client.get("/jobs", limit=1)
    except CliError as error:
        first, _, rest = error.message.partition("\n")
        yield _check("key", "bad", first, rest)


def _addresses_from_outside(url: str) -> list[str]:
    """Where others may reach this server: of one on this machine, under its address in the
    network.
    """
    import httpx

    from app.config import is_loopback

    given = httpx.URL(url)
    if not is_loopback(given.host):
        return [url]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: the system says from where it would
        except OSError:
            return []
        own = probe.getsockname()[0]
    return [] if is_loopback(own) else [str(given.copy_with(host=own))]


def _lets_anybody_in(url: str) -> bool:
    import httpx

    try:
        answer = httpx.get(f"{url.rstrip('/')}/api/v1/me", timeout=2, trust_env=False)
    except httpx.HTTPError:
        return False
    return answer.status_code == 200


def _check(name: str, state: str, found: str, remedy: str = "") -> dict[str, str]:
    return {"name": name, "state": state, "found": found, "remedy": remedy}


def _show(check: dict[str, str]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    lines: list[Any] = [
        Text.assemble(
            (f"{check['state']:<8}", STYLES[check["state"]]), f"{check['name']:<12}", check["found"]
        )
    ]
    lines += [Text(f"{'':<20}-> {line}") for line in check["remedy"].splitlines()]
    for line in lines:
        console.print(line)
