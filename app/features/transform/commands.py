"""transform: rewrite a stored file by a mapping."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.common import (
    CLIENT,
    DEFAULT_URL,
    PROGRAM,
    CliError,
    Exit,
    Id,
    Json,
    Quiet,
    Url,
    connect,
    examples,
    print_json,
    print_result,
    print_status,
)
from app.cli.text import shown

app = typer.Typer()


@app.command(
    rich_help_panel=CLIENT,
    epilog=examples(
        "transform last mapping.json",
        "transform ID --template TEMPLATE_ID --format parquet",
        "transform ID mapping.json --dry-run",
    ),
)
def transform(
    identifier: Id,
    mapping: Annotated[
        Path | None,
        typer.Argument(
            metavar="MAPPING", help="A mapping as JSON: your own, or what `map --json` printed."
        ),
    ] = None,
    template: Annotated[str | None, typer.Option(help="A template instead of a mapping.")] = None,
    output_format: Annotated[str, typer.Option("--format", help="csv, jsonl or parquet.")] = "csv",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count what would be rejected, and why.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Rewrite a stored file by a mapping, and print the id of the output file."""
    from app.cli.waiting import result_of

    client = connect(url)
    file_id = client.file_and_job(client.resolve(identifier))[0]
    options: dict[str, Any] = {"output_format": output_format, "dry_run": dry_run}
    if template is not None:
        options["template_id"] = template
    if mapping is not None:
        options["mapping"] = _read(mapping)
    body = {"type": "transform", "file_id": file_id, "options": options}
    report = result_of(client, body, quiet=quiet)
    if as_json:
        print_json(report)
        return
    rows = report["rows"]
    print_status(", ".join(f"{count:,} {name}" for name, count in rows.items()))
    for code, count in report["rejected_by_code"].items():
        print_status(f"  {count:,} {shown(code)}")
    if report["output"] is not None:
        output_id = report["output"]["file_id"]
        print_result(output_id)
        print_status(f"Get it: {PROGRAM} download {output_id} -o FILE")


def _read(path: Path) -> dict[str, Any]:
    """Return the mapping of a file. Raises CliError unless it is a JSON object."""
    try:
        mapping = json.loads(path.read_bytes())
    except OSError as error:
        raise CliError(f"Cannot read {shown(str(path))}: {error.strerror}.", Exit.USAGE) from None
    except ValueError as error:
        raise CliError(f"{shown(str(path))} is not JSON: {error}.", Exit.USAGE) from None
    if not isinstance(mapping, dict):
        raise CliError(f"{shown(str(path))} is not a JSON object.", Exit.USAGE)
    if "mappings" in mapping:
        return {"columns": mapping["mappings"]}
    return mapping
