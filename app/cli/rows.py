"""Commands `results`, `rows` and `rejects`: download the rows, and find some of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO
from uuid import UUID

import typer

from app.cli.common import (
    CLIENT,
    DEFAULT_URL,
    PROGRAM,
    CliError,
    Exit,
    Id,
    Json,
    Url,
    connect,
    examples,
    exit_with,
    print_json,
    print_status,
)
from app.cli.render import table
from app.cli.text import shown, size

if TYPE_CHECKING:
    from app.cli.client import Client

app = typer.Typer()
PAGE = 10_000
SHOWN_ROWS = 20
MOST_SORTED = 1_000
"""Limit of the service for one response in another order than that of the file."""


class Format(StrEnum):
    csv = "csv"
    jsonl = "jsonl"
    parquet = "parquet"
    arrow = "arrow"
    xlsx = "xlsx"


BINARY = (Format.parquet, Format.arrow, Format.xlsx)
FORMAT_HELP = "Format of the file; by default its extension decides, else CSV."
GUARD_HELP = (
    "In CSV and xlsx, put an apostrophe before cells that a spreadsheet would run as formulas."
)

Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write to this file; it appears only when it is complete.",
    ),
]
Partial = Annotated[
    bool, typer.Option("--partial", help="Also while the job runs: the rows so far.")
]
Limit = Annotated[int | None, typer.Option("--limit", "-n", min=1, help="Only the first N rows.")]


@app.command(
    rich_help_panel=CLIENT,
    epilog=examples(
        "results ID",
        "results ID -o clean.parquet",
        "results ID --format jsonl | jq .email",
        "results ID -n 3 --json",
    ),
)
def results(
    shown_id: Id,
    output: Output = None,
    format: Annotated[
        Format | None,
        typer.Option("--format", "-f", help=FORMAT_HELP),
    ] = None,
    limit: Limit = None,
    formula_guard: Annotated[
        bool,
        typer.Option(help=GUARD_HELP),
    ] = True,
    partial: Partial = False,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Get the results in the order of the file: to view on a terminal, or complete in a file or a
    pipe.

    --json and --limit print rows with their numbers, one JSON object a line, also while the job
    runs. A file needs a job that has ended; --partial writes the rows so far.

    Exit code: 0 the file has all results; 1 rows are missing, since chunks failed or were
    cancelled; 4 the job has not ended; 5 the transfer broke off, and no file was written.
    """
    client = connect(url)
    identifier = client.resolve(shown_id)
    if as_json:
        for item in _items(client, f"/results/{identifier}", limit, format="object"):
            print_json(item)
        return
    if output is None and format is None and (limit is not None or sys.stdout.isatty()):
        _show_results(client, identifier, limit or SHOWN_ROWS)
        return
    if limit is not None:
        raise CliError("--limit shows the first rows; a file gets all of them.", Exit.USAGE)
    params = _file_params(format or _by_ending(output), output)
    params["formula_guard"] = str(formula_guard).lower()
    _download(client, f"/results/{identifier}/download", params, output, partial=partial)


@app.command(
    rich_help_panel=CLIENT,
    epilog=examples(
        "rows ID --where \"amount > 5 and name contains 'ab'\"",
        "rows ID --sort -amount --columns id,amount -n 10",
        "rows ID --search @example.org --json | jq .data.email",
        "rows ID --where 'paid is empty' -o unpaid.xlsx",
    ),
)
def rows(
    shown_id: Id,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONDITION",
            help=(
                "Conditions joined by `and`; repeated ones must all hold. Operators: =, !=, <, <=,"
                " >, >=, contains, not contains, is empty, is not empty."
            ),
        ),
    ] = None,
    search: Annotated[str, typer.Option(help="Text in one of the cells, in either case.")] = "",
    sort: Annotated[
        str, typer.Option(help="Column to sort by; `-amount` for the largest first.")
    ] = "",
    columns: Annotated[
        str, typer.Option(help='Columns to show, in this order: `id,"E-Mail"`.')
    ] = "",
    limit: Limit = None,
    output: Output = None,
    format: Annotated[Format | None, typer.Option("--format", "-f", help=FORMAT_HELP)] = None,
    partial: Partial = False,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Filter, search and sort the results: to view on a terminal, as JSON, or complete in a file.

    A number compares with cells that are numbers, an ISO 8601 date with cells that are dates, and a
    quoted value is a text. --sort shows the first rows of the order, 1,000 at most; a file keeps
    the order of the job's file.

    The exit codes of a file are those of `results`.
    """
    client = connect(url)
    identifier = client.resolve(shown_id)
    choice = {"where": " and ".join(where or ()), "search": search, "columns": columns}
    choice = {name: value for name, value in choice.items() if value}
    if output is not None or format is not None:
        if sort or limit is not None:
            raise CliError(
                "A file has all chosen rows in the order of the job's file: leave out --sort and"
                " --limit.",
                Exit.USAGE,
            )
        params = choice | _file_params(format or _by_ending(output), output)
        _download(client, f"/results/{identifier}/download", params, output, partial=partial)
        return
    most = limit
    if sort:
        choice["sort"] = sort
        most = min(limit or MOST_SORTED, MOST_SORTED)
    if as_json:
        for _, item in _chosen_rows(client, identifier, most, {**choice, "format": "object"}):
            print_json(item)
        return
    _show_rows(client, identifier, min(limit or SHOWN_ROWS, most or PAGE), choice)


def _chosen_rows(
    client: Client, identifier: UUID, limit: int | None, choice: dict[str, str]
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield (page, row) of each row, up to `limit`."""
    count = 0
    place: dict[str, Any] = {}
    while limit is None or count < limit:
        left = PAGE if limit is None else min(PAGE, limit - count)
        page = client.get(f"/rows/{identifier}", limit=left, **choice, **place)
        for item in page["items"]:
            yield page, item
        count += len(page["items"])
        if page["next_after"] is None:
            return
        place = {"after": page["next_after"]}


def _show_rows(client: Client, identifier: UUID, limit: int, choice: dict[str, str]) -> None:
    chosen = list(_chosen_rows(client, identifier, limit, choice))
    if not chosen:
        print_status("No row matches.")
        return
    page, _ = chosen[0]
    lines = [(item["row_number"], *item["data"]["row"]) for _, item in chosen]
    table(("row", *page["columns"]), lines, right=frozenset((0,)))
    if page["sorted_as"] == "texts":
        print_status("Sorted as text, since not all cells of the column are numbers.")
    if len(lines) == limit:
        print_status(f"The first {limit:,} rows. More: --limit N, or all with --json or -o FILE")


@app.command(
    rich_help_panel=CLIENT,
    epilog=examples(
        "rejects ID",
        "rejects ID -o rejects.csv",
        "rejects ID -o rejects.xlsx",
        "rejects ID --json | jq -r .code | sort | uniq -c",
    ),
)
def rejects(
    identifier: Id,
    output: Output = None,
    format: Annotated[
        Format | None,
        typer.Option("--format", "-f", help=FORMAT_HELP),
    ] = None,
    limit: Limit = None,
    code: Annotated[
        str | None, typer.Option(help="Only rejects with this code; for viewing, or with --json.")
    ] = None,
    partial: Partial = False,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Get the rejected rows and their reasons: to view on a terminal, or complete in a file or a
    pipe.

    The file has the original columns, then _row,_line,_column,_code,_message. Send it back with
    `fix` after correcting it. The exit codes are those of `results`.
    """
    client = connect(url)
    address = f"/rejects/{client.resolve(identifier)}"
    if as_json:
        for item in _items(client, address, limit, code=code):
            print_json(item)
        return
    if output is None and (
        limit is not None or code is not None or (format is None and sys.stdout.isatty())
    ):
        _show_rejects(client, address, limit or SHOWN_ROWS, code)
        return
    if limit is not None or code is not None:
        raise CliError("--limit and --code are for viewing; a file gets all rejects.", Exit.USAGE)
    params = _file_params(format or _by_ending(output), output)
    _download(client, f"{address}/download", params, output, partial=partial)


@app.command(
    rich_help_panel=CLIENT,
    epilog=examples("archive ID -o job.zip", "archive ID -o job.zip --format parquet"),
)
def archive(
    shown_id: Id,
    output: Output = None,
    format: Annotated[
        Format, typer.Option("--format", "-f", help="Format of results and rejects.")
    ] = Format.csv,
    partial: Partial = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Get everything that belongs to a job as a zip archive: results, rejects, the stored file,
    status and proof, with their hashes in contents.json.

    The exit codes are those of `results`.
    """
    if output is None and sys.stdout.isatty():
        raise CliError("An archive cannot be shown on a terminal: name a file with -o.", Exit.USAGE)
    client = connect(url)
    address = f"/files/{client.resolve(shown_id)}/archive"
    _download(client, address, {"format": format.value}, output, partial=partial)


def _file_params(chosen: Format, output: Path | None) -> dict[str, str]:
    if chosen in BINARY and output is None and sys.stdout.isatty():
        raise CliError(
            f"{chosen.value} cannot be shown on a terminal: name a file with -o.", Exit.USAGE
        )
    return {"format": chosen.value}


@app.command(
    rich_help_panel=CLIENT, epilog=examples("download last -o orders.csv", "download ID | wc -l")
)
def download(identifier: Id, output: Output = None, url: Url = DEFAULT_URL) -> None:
    """Get a file as it is stored: the upload, decompressed, or the output of a transform."""
    client = connect(url)
    job_or_file = client.resolve(identifier)
    address = f"/files/{_output_file(client, job_or_file) or job_or_file}/download"
    if output is None and sys.stdout.isatty():
        raise CliError("Name a file with -o, or use a pipe.", Exit.USAGE)
    _download(client, address, {}, output, partial=False)


def _output_file(client: Client, identifier: UUID) -> str | None:
    """Return the output file of a job; None for other jobs and for files."""
    try:
        job_id = client.file_and_job(identifier)[1]
    except CliError as error:
        if error.problem is None or error.problem.get("code") != "not_found":
            raise
        return None  # an output file has no job of its own
    result_file_id: str | None = client.get(f"/jobs/{job_id}/status")["result_file_id"]
    return result_file_id


def _items(
    client: Client, address: str, limit: int | None, **params: Any
) -> Iterator[dict[str, Any]]:
    after = 0
    while limit is None or limit > 0:
        page = client.get(address, limit=min(limit or PAGE, PAGE), after=after, **params)
        yield from page["items"]
        if page["next_after"] is None:
            return
        after = page["next_after"]
        limit = None if limit is None else limit - len(page["items"])


def _show_results(client: Client, identifier: UUID, limit: int) -> None:
    page = client.get(f"/results/{identifier}", limit=min(limit, PAGE), after=0)
    rows = [(item["row_number"], *item["data"]["row"]) for item in page["items"]]
    table(("row", *page["columns"]), rows, right=frozenset((0,)))
    _tell_more(len(rows), page["total"], f"{PROGRAM} results {identifier} -o FILE")


def _show_rejects(client: Client, address: str, limit: int, code: str | None) -> None:
    page = client.get(address, limit=min(limit, PAGE), after=0, code=code)
    rows = [
        (
            item["row_number"],
            item.get("place", item["line"]),
            item["column"],
            item["code"],
            item["message"],
            item["value"],
        )
        for item in page["items"]
    ]
    if not rows:
        print_status("No rejects.")
        return
    table(("row", "line", "column", "code", "message", "value"), rows, right=frozenset((0, 1)))
    _tell_more(
        len(rows), page["total"], f"{PROGRAM} rejects {address.rpartition('/')[2]} -o rejects.csv"
    )


def _tell_more(shown_count: int, total: int, command: str) -> None:
    if total > shown_count:
        print_status(f"{shown_count:,} of {total:,}. All: {command}")


def _by_ending(output: Path | None) -> Format:
    ending = "" if output is None else output.suffix.lower()
    return {
        ".jsonl": Format.jsonl,
        ".ndjson": Format.jsonl,
        ".parquet": Format.parquet,
        ".pq": Format.parquet,
        ".arrow": Format.arrow,
        ".arrows": Format.arrow,
        ".xlsx": Format.xlsx,
    }.get(ending, Format.csv)


def _download(
    client: Client, address: str, params: dict[str, str], output: Path | None, *, partial: bool
) -> None:
    if partial:
        params = {**params, "partial": "true"}
    try:
        with client.stream("GET", address, params=params) as answer, _into(output) as file:
            count = 0
            for piece in client.pieces(answer):
                file.write(piece)
                count += len(piece)
    except CliError as error:
        if error.problem is None or error.problem.get("code") != "download_incomplete":
            raise
        identifier = address.split("/")[2]
        raise CliError(
            f"The job has not ended. Wait for it: {PROGRAM} watch {identifier}\n--partial "
            "prints the rows so far.",
            Exit.REFUSED,
            error.problem,
        ) from None
    if output is not None:
        print_status(f"{shown(str(output))}: {size(count)}")
    if answer.headers.get("granula-complete") == "false":
        missing = answer.headers.get("granula-missing-rows", "not counted yet")
        print_status(f"Not complete. Rows that are neither results nor rejects: {shown(missing)}.")
        if not partial:
            exit_with(Exit.INCOMPLETE)


@contextmanager
def _into(output: Path | None) -> Iterator[BinaryIO]:
    """Yield the file with this name, which appears once all is written; or standard output."""
    if output is None or str(output) == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    part = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        with part.open("xb") as file:
            yield file
        os.replace(part, output)
    except OSError as error:
        raise CliError(
            f"{shown(str(output))} cannot be written: {error.strerror}.", Exit.USAGE
        ) from None
    finally:
        part.unlink(missing_ok=True)
