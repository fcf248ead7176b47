"""Command `preview`: how a file would be read, before it is uploaded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Annotated, Any, BinaryIO

import typer

from app.cli.common import (
    CLIENT,
    DEFAULT_URL,
    CliError,
    Exit,
    Json,
    Url,
    connect,
    examples,
    named,
    print_json,
    print_result,
)

app = typer.Typer()
PIECE_BYTES = 1 << 16
REMOTE = ("s3://", "https://", "http://", "file://")


@app.command(
    rich_help_panel=CLIENT,
    epilog=examples(
        "preview data.csv",
        "preview data.csv -O delimiter=tab -O header_rows=0",
        "preview s3://bucket/2026/data.csv",
        "preview data.csv --json | jq .readings",
    ),
)
def preview(
    place: Annotated[
        str,
        typer.Argument(
            metavar="FILE|SOURCE",
            help="A file, - for standard input, or a source of the server: s3:, https:, file:.",
        ),
    ],
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            "-O",
            metavar="NAME=VALUE",
            help="How to read it, as of an upload: delimiter, encoding, header_rows, ...",
        ),
    ] = None,
    rows: Annotated[
        int, typer.Option("--rows", "-n", min=0, max=1000, help="Number of rows to show.")
    ] = 10,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Show how a file would be read: what was detected, the first rows, and other readings.

    A file is read here, its first 256 KiB; nothing is sent or stored. Exit code: 0 every row of
    the sample would be loaded, 1 some would be rejected, 4 the file would be refused.
    """
    settings = dict(map(named, option or ()))
    if place.startswith(REMOTE):
        asked = {**settings, "source": place, "rows": str(rows)}
        answer = connect(url).send("POST", "/preview", params=asked).json()
    else:
        answer = _read(place, settings, rows)
    if as_json:
        print_json(answer)
    else:
        _show(answer)
    if answer["sample"]["rows"]["rejected"]:
        raise typer.Exit(int(Exit.INCOMPLETE))


def _read(place: str, settings: dict[str, str], rows: int) -> dict[str, Any]:
    """Return the answer of the server for a local file, without a server."""
    import msgspec
    from pydantic import ValidationError

    from app.api.parameters import DialectOptions
    from app.cli.transfer import source
    from app.errors import RequestError
    from app.features.preview.beginning import named as named_beginning
    from app.features.preview.beginning import of_pieces
    from app.features.preview.look import preview as look

    unknown = settings.keys() - DialectOptions.model_fields.keys()
    if unknown:
        raise CliError(f"There is no option {min(unknown)}.", Exit.USAGE)
    try:
        declared = DialectOptions.model_validate(settings).declared("")
    except ValidationError as error:
        first = error.errors()[0]
        raise CliError(f"-O {first['loc'][0]}: {first['msg']}.", Exit.USAGE) from None
    file = source(place, None)
    try:
        with file.open() as opened:
            beginning = of_pieces(_pieces(opened), declared)
        beginning = named_beginning(beginning, os.path.basename(file.name), "")
        answer = look(beginning, beginning.declared(declared), rows)
    except RequestError as error:
        raise CliError(f"{error.detail} {error.remedy}", Exit.REFUSED) from None
    return msgspec.json.decode(msgspec.json.encode(answer))  # type: ignore[no-any-return]


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(PIECE_BYTES):
        yield piece


def _show(answer: dict[str, Any]) -> None:
    from app.cli.render import table
    from app.cli.text import shown

    dialect, sample = answer["dialect"], answer["sample"]
    print_result(_described(answer))
    for skipped in dialect.get("skipped", ()):
        first, last = skipped["lines"]
        lines = f"line {first}" if first == last else f"lines {first}-{last}"
        print_result(f"Skipped {lines} ({skipped['why']}): {shown(skipped['text'], 80)}")
    for other in dialect.get("other_tables", ()):
        names = shown(", ".join(other["columns"]), 60)
        print_result(f"Another table seems to begin in line {other['line']}: {names}")
    counts = sample["rows"]
    codes = ", ".join(f"{code} {count}" for code, count in sample["rejected_by_code"].items())
    part = "whole file" if sample["is_complete"] else f"first {sample['size_bytes']} bytes"
    rejected = f"{counts['rejected']} rejected" + (f" ({codes})" if codes else "")
    print_result(f"Of the {part}: {counts['ok']} rows, {rejected}.")
    if answer["rows"]:
        print_result("")
        columns = answer["columns"]
        table(
            ("row", *columns),
            [(row["row_number"], *_cells(row["data"], columns)) for row in answer["rows"]],
            right=frozenset({0}),
        )
    if answer["readings"]:
        print_result("\nOther readings:")
        table(
            ("settings", "confidence", "columns", "rows", "rejected"),
            [
                (
                    _options(other["settings"]),
                    f"{other['confidence']:.2f}",
                    other["column_count"],
                    other["ok"],
                    other["rejected"],
                )
                for other in answer["readings"]
            ],
            right=frozenset({1, 2, 3, 4}),
        )
    if answer["records"]:
        names = ", ".join(f"-O records={shown(name, 80)}" for name in answer["records"])
        print_result(f"\nArrays inside: {names}")


def _described(answer: dict[str, Any]) -> str:
    dialect, confidence = answer["dialect"], answer["confidence"]
    count = len(answer["columns"])
    if dialect["kind"] == "fixed":
        return f"Fixed width, {dialect['encoding']}, {count} columns"
    if confidence is None:
        return f"JSON ({dialect['root']}), {dialect['encoding']}, {count} columns"
    header = dialect["header_rows"]
    return (
        f"CSV, {dialect['encoding']}, delimiter {_shown_value(dialect['delimiter'])}"
        f" ({confidence['delimiter']:.2f}), {header} header row{'' if header == 1 else 's'}"
        f" ({confidence['header']:.2f}), {count} column{'' if count == 1 else 's'}"
    )


def _options(settings: dict[str, Any]) -> str:
    return " ".join(f"-O {name}={_shown_value(value)}" for name, value in settings.items())


def _shown_value(value: Any) -> str:
    """Return the value as it is written with -O."""
    if isinstance(value, bool):
        return str(value).lower()
    if value == "":
        return "none"
    names = {"\t": "tab", "\x1f": r"\x1f", " ": "' '", ";": "';'", "|": "'|'", "||": "'||'"}
    return names.get(value, str(value))


def _cells(data: Any, columns: list[str]) -> list[Any]:
    if isinstance(data, dict):
        return [data.get(name) for name in columns]
    return list(data)[: len(columns)]
