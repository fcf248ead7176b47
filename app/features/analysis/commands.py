"""analyze: what is in a stored file, column by column."""

from __future__ import annotations

from typing import Any

import typer

from app.cli.common import (
    CLIENT,
    DEFAULT_URL,
    Id,
    Json,
    Quiet,
    Url,
    connect,
    examples,
    print_json,
    print_status,
)
from app.cli.render import table

app = typer.Typer()


@app.command(
    rich_help_panel=CLIENT,
    epilog=examples("analyze last", "analyze ID --json | jq '.columns[].type'"),
)
def analyze(
    identifier: Id, as_json: Json = False, quiet: Quiet = False, url: Url = DEFAULT_URL
) -> None:
    """Analyse a stored file: types, missing and distinct values, smallest and largest ones."""
    from app.cli.waiting import result_of

    client = connect(url)
    file_id = client.file_and_job(client.resolve(identifier))[0]
    profile = result_of(client, {"type": "analyze", "file_id": file_id}, quiet=quiet)
    if as_json:
        print_json(profile)
        return
    names = ("column", "type", "missing", "distinct", "min", "max", "examples")
    table(names, [_described(column) for column in profile["columns"]])
    rows = profile["rows"]
    print_status(f"{rows['total']:,} rows, {rows['rejected']:,} of them rejected")


def _described(column: dict[str, Any]) -> tuple[object, ...]:
    return (
        column["name"],
        column["subtype"] or column["type"],
        column["nulls"],
        column["distinct"],
        column["min"],
        column["max"],
        ", ".join(column["examples"][:3]),
    )
