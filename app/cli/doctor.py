"""Command `doctor`: checks everything that the service needs, and prints a remedy for each
problem.
"""

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
    exit_with,
    print_json,
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
            "--url", "-u", envvar="GRANULA_URL", help="Check this server from outside instead."
        ),
    ] = None,
) -> None:
    """Check settings, folders, disk, database, migrations, language model and services, and print
    what to do.

    It changes nothing. Exit code: 0 no problem, or only warnings; 1 a check failed.
    """
    checks = []
    for check in _of_server(url) if url else _of_this_machine():
        checks.append(check)
        if not as_json:
            _show(check)
    is_well = all(check["state"] != "bad" for check in checks)
    if as_json:
        print_json({"ok": is_well, "checks": checks})
    exit_with(Exit.OK if is_well else Exit.INCOMPLETE)


def _of_this_machine() -> Iterator[dict[str, str]]:
    from app.cli import checks
    from app.errors import SettingsInvalid

    try:
        settings = checks.settings()
    except SettingsInvalid as error:
        yield _check("settings", "bad", error.detail, "Correct them in the environment or in .env.")
        return
    yield _check("settings", "ok", "can be used")
    for warning in checks.warnings():
        yield _check("settings", "warning", warning, "Correct its name, or remove it.")
    for name, look in checks.ALL.items():
        for state, message, remedy in look(settings):
            yield _check(name, state, message, remedy)
    yield from _of_server(DEFAULT_URL, must_run=False)


def _of_server(url: str, *, must_run: bool = True) -> Iterator[dict[str, str]]:
    from app.cli.client import Unreachable

    try:
        client = connect(url)
        ready = client.ready()
    except Unreachable as error:
        first, _, remedy = error.message.partition("\n")
        yield _check("server", "bad" if must_run else "note", first, remedy if must_run else "")
        return
    except CliError as error:
        yield _check("server", "bad" if must_run else "note", error.message)
        return
    wrong = {name: value for name, value in ready["checks"].items() if value != "ok"}
    if wrong:
        text = "; ".join(f"{shown(name)}: {shown(str(value))}" for name, value in wrong.items())
        yield _check("server", "bad", f"{url} runs but accepts no uploads: {text}", "See its log.")
    else:
        yield _check(
            "server", "ok", f"{url} accepts uploads; {ready['queued_jobs']} jobs wait or run"
        )
    for address in _addresses_from_outside(url):
        if _lets_anybody_in(address):
            message = (
                f"anybody who can reach {address} may read, upload and delete everything: nobody"
                " has to sign in"
            )
            yield _check(
                "server", "warning", message, "Set AUTH_REQUIRED=true, or listen on 127.0.0.1 only."
            )
    try:
        client.get("/jobs", limit=1)
    except CliError as error:
        first, _, remedy = error.message.partition("\n")
        yield _check("key", "bad", first, remedy)


def _addresses_from_outside(url: str) -> list[str]:
    """Return the URLs under which other machines may reach a server: for a server on this machine,
    its address in the network.
    """
    import httpx

    from app.config import is_loopback

    parsed = httpx.URL(url)
    if not is_loopback(parsed.host):
        return [url]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # sends nothing: the system only chooses the source address
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return []
        address = probe.getsockname()[0]
    return [] if is_loopback(address) else [str(parsed.copy_with(host=address))]


def _lets_anybody_in(url: str) -> bool:
    import httpx

    try:
        answer = httpx.get(f"{url.rstrip('/')}/api/v1/me", timeout=2, trust_env=False)
    except httpx.HTTPError:
        return False
    return answer.status_code == 200


def _check(name: str, state: str, message: str, remedy: str = "") -> dict[str, str]:
    return {"name": name, "state": state, "found": message, "remedy": remedy}


def _show(check: dict[str, str]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    lines: list[Any] = [
        Text.assemble(
            (f"{check['state']:<8}", STYLES[check["state"]]), f"{check['name']:<13}", check["found"]
        )
    ]
    lines += [Text(f"{'':<20}-> {line}") for line in check["remedy"].splitlines()]
    for line in lines:
        console.print(line)
