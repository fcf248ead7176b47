"""Command `api`: any request to the server."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.common import (
    CLIENT,
    DEFAULT_URL,
    CliError,
    Exit,
    Url,
    connect,
    examples,
    named,
    print_json,
)
from app.cli.text import shown

app = typer.Typer()
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")
PIECE_BYTES = 1 << 20


@app.command(
    rich_help_panel=CLIENT,
    epilog=examples(
        "api GET /api/v1/system",
        "api GET jobs -P limit=3 | jq -r '.items[].filename'",
        'api POST jobs -d \'{"type": "analyze", "file_id": "..."}\'',
        "api POST /api/records/search -d @search.json",
    ),
)
def api(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="GET, POST, PATCH, DELETE, ...")],
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH", help="Path of the server; without a leading slash, below /api/v1/."
        ),
    ],
    parameter: Annotated[
        list[str] | None,
        typer.Option("--parameter", "-P", metavar="NAME=VALUE", help="A query parameter."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            "-d",
            metavar="JSON|@FILE|-",
            help="Body: JSON, the bytes of a file, or standard input.",
        ),
    ] = None,
    content_type: Annotated[
        str, typer.Option("--content-type", "-t", help="Media type of the body.")
    ] = "application/json",
    url: Url = DEFAULT_URL,
) -> None:
    """Send a request with the key in GRANULA_KEY, and print the body of the response.

    JSON is indented on a terminal and printed as it comes elsewhere. Exit code: 4 and 5 as for
    the other commands; the body of an error is printed too.
    """
    from app.cli.client import API

    if method.upper() not in METHODS:
        raise CliError(
            f"{shown(method)} is not a method. Write one of {', '.join(METHODS)} before the path.",
            Exit.USAGE,
        )
    client = connect(url)
    address = path if path.startswith("/") else f"{API}/{path}"
    arguments: dict[str, Any] = {"params": dict(map(named, parameter or ()))}
    if data is not None:
        arguments |= {"content": _body(data), "headers": {"Content-Type": content_type}}
    try:
        with client.stream_from(method.upper(), address, **arguments) as answer:
            is_json = "json" in answer.headers.get("content-type", "")
            if is_json and sys.stdout.isatty():
                _print_indented(b"".join(client.pieces(answer)))
                return
            for piece in client.pieces(answer):
                sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
    except CliError as error:
        if error.problem is not None:
            print_json(error.problem)
        raise


def _body(data: str) -> bytes | Iterator[bytes]:
    if data == "-":
        return iter(lambda: sys.stdin.buffer.read(PIECE_BYTES), b"")
    if not data.startswith("@"):
        return data.encode()
    try:
        return Path(data[1:]).read_bytes()
    except OSError as error:
        raise CliError(f"Cannot read {shown(data[1:])}: {error.strerror}.", Exit.USAGE) from None


def _print_indented(body: bytes) -> None:
    """Print JSON for people; control characters stay escaped."""
    try:
        text = json.dumps(json.loads(body), indent=2)
    except ValueError:
        text = shown(body.decode(errors="replace"))
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
