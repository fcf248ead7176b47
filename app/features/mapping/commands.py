"""map: which column of a stored file is which of another."""

from __future__ import annotations

from typing import Annotated

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
    "map",
    rich_help_panel=CLIENT,
    epilog=examples("map last REFERENCE_ID", "map ID REFERENCE_ID --json > mapping.json"),
)
def map_columns(
    identifier: Id,
    reference: Annotated[
        str, typer.Argument(metavar="REFERENCE", help="A file with the wanted columns, by any id.")
    ],
    as_json: Json = False,
    quiet: Quiet = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Propose which columns of a stored file are the columns of a reference file. `transform`
    takes the proposal.
    """
    from app.cli.waiting import result_of

    client = connect(url)
    file_id = client.file_and_job(client.resolve(identifier))[0]
    reference_id = client.file_and_job(client.resolve(reference))[0]
    body = {
        "type": "mapping",
        "file_id": file_id,
        "options": {"reference_file_id": reference_id},
    }
    proposal = result_of(client, body, quiet=quiet)
    if as_json:
        print_json(proposal)
        return
    rows = [
        (
            match["reference_column"],
            " + ".join(match["input_columns"]) or "-",
            f"{match['confidence']:.2f}",
            match["reason"],
        )
        for match in proposal["mappings"]
    ]
    table(("wanted", "from", "confidence", "why"), rows, right=frozenset((2,)))
    unused = proposal["unused_input_columns"]
    if unused:
        print_status(f"Not used: {', '.join(unused)}")
