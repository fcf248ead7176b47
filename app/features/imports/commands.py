"""search: records of imports by meaning, text and fields."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from app.cli.common import (
    CLIENT,
    DEFAULT_URL,
    Json,
    Url,
    connect,
    examples,
    named,
    print_json,
    print_status,
)
from app.cli.render import table

app = typer.Typer()


@app.command(
    rich_help_panel=CLIENT,
    epilog=examples(
        "search 'people who write software'",
        "search --text smith -F country=DE",
        "search 'late delivery' --json | jq .data",
    ),
)
def search(
    query: Annotated[str | None, typer.Argument(metavar="WORDS", help="Search by meaning.")] = None,
    text: Annotated[str | None, typer.Option(help="Part of any value.")] = None,
    field: Annotated[
        list[str] | None,
        typer.Option("--field", "-F", metavar="NAME=VALUE", help="The value of a field."),
    ] = None,
    status: Annotated[str | None, typer.Option(help="valid or invalid.")] = None,
    import_id: Annotated[int | None, typer.Option("--import", help="Only this import.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000)] = 20,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Search the records of imports. With WORDS, the nearest in meaning come first."""
    body: dict[str, Any] = {
        "query": query,
        "text": text,
        "status": status,
        "import_id": import_id,
        "fields": dict(map(named, field or ())),
        "limit": limit,
    }
    body = {name: value for name, value in body.items() if value is not None}
    records = connect(url).send("POST", "/api/records/search", json=body).json()["records"]
    if as_json:
        for record in records:
            print_json(record)
        return
    if not records:
        print_status("No records.")
        return
    names = list(dict.fromkeys(name for record in records for name in record["data"]))
    rows = [(record["id"], *(record["data"].get(name) for name in names)) for record in records]
    table(("id", *names), rows, right=frozenset((0,)))
