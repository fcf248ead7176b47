"""Commands `dashboard` and `open`: pages of the server in the browser."""

from __future__ import annotations

import webbrowser
from typing import Annotated

import typer

from app.cli.common import (
    CLIENT,
    DEFAULT_URL,
    Id,
    Url,
    connect,
    examples,
    print_result,
    print_status,
)

app = typer.Typer()
PrintOnly = Annotated[
    bool, typer.Option("--print", help="Only print the address; do not start a browser.")
]


@app.command(rich_help_panel=CLIENT, epilog=examples("dashboard", "dashboard --print"))
def dashboard(print_only: PrintOnly = False, url: Url = DEFAULT_URL) -> None:
    """Open the dashboard in the browser, and print its address."""
    client = connect(url)
    client.ready()
    _show(f"{client.url}/", print_only=print_only)


@app.command("open", rich_help_panel=CLIENT, epilog=examples("open last", "open 55"))
def open_job(identifier: Id, print_only: PrintOnly = False, url: Url = DEFAULT_URL) -> None:
    """Open the page of a job in the browser, and print its address."""
    client = connect(url)
    job_id = client.file_and_job(client.resolve(identifier))[1]
    _show(f"{client.url}/#/jobs/{job_id}", print_only=print_only)


def _show(address: str, *, print_only: bool) -> None:
    print_result(address)
    if not print_only and not webbrowser.open(address):
        print_status("No browser was found: open this address in one.")
