"""undo: remove what jobs wrote into tables."""

from __future__ import annotations

import sys
import time

import typer

from app.cli.common import (
    CLIENT,
    DEFAULT_URL,
    CliError,
    Exit,
    Ids,
    Json,
    Url,
    Yes,
    connect,
    examples,
    print_json,
    print_result,
)

app = typer.Typer()
PAUSE_SECONDS = 1.0


@app.command(rich_help_panel=CLIENT, epilog=examples("undo last", "undo ID --yes"))
def undo(identifiers: Ids, yes: Yes = False, as_json: Json = False, url: Url = DEFAULT_URL) -> None:
    """Remove the rows that jobs wrote into tables, and restore those that they replaced."""
    if not yes:
        if not sys.stdin.isatty():
            raise CliError("This removes rows from tables: add --yes.", Exit.USAGE)
        typer.confirm(f"Undo {len(identifiers)} job(s)?", abort=True, err=True)
    client = connect(url)
    for identifier in identifiers:
        job_id = client.file_and_job(client.resolve(identifier))[1]
        undone = client.send("POST", f"/undo/{job_id}").json()
        while undone["status"] != "undone":
            time.sleep(PAUSE_SECONDS)
            undone = client.send("POST", f"/undo/{job_id}").json()
        if as_json:
            print_json(undone)
        else:
            print_result(
                f"{identifier}: undone, {undone['removed']:,} rows removed,"
                f" {undone['restored']:,} restored"
            )
