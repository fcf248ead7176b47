"""Commands for jobs: list, status, watch, start, proof, cancel, retry, delete."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from app.cli.common import (
    CLIENT,
    DEFAULT_URL,
    PROGRAM,
    CliError,
    Exit,
    Ids,
    Json,
    Quiet,
    Url,
    Wait,
    Yes,
    connect,
    examples,
    exit_with,
    named,
    print_json,
    print_result,
    print_status,
)
from app.cli.many import (
    DryRun,
    ManyIds,
    Where,
    act,
    check_choice,
    conditions,
    count,
    moment,
    percent,
    print_count,
)
from app.cli.render import Silent, board, table
from app.cli.text import (
    FINAL,
    ago,
    duration,
    quantity,
    rows_text,
    shown,
    size,
    state_text,
    waits_for,
)
from app.jobs.time_left import SHORT_SECONDS, seconds_run

if TYPE_CHECKING:
    from app.cli.client import Client
    from app.cli.render import Board
    from app.cli.waiting import Follower

app = typer.Typer()
PAGE = 500
LABELS_FROM = 100
"""Columns of a terminal from which labels are listed."""
COPY_SECONDS = 3600.0
"""Longest wait for the answer to a new job, whose source may have to be copied first."""
STYLES = {
    "completed": "green",
    "completed_with_errors": "yellow",
    "incomplete": "red",
    "failed": "red",
    "cancelled": "dim",
}


@app.command(
    "list",
    rich_help_panel=CLIENT,
    epilog=examples(
        "list",
        "list --status failed --from 2026-11-01",
        "list --label q3 --sort rejected",
        "list --all --json | jq -r 'select(.progress_percent < 100).file_id'",
    ),
)
def list_jobs(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Number of jobs.")] = 20,
    everything: Annotated[bool, typer.Option("--all", help="Every job.")] = False,
    status: Annotated[
        str | None,
        typer.Option(
            help=(
                "Only jobs in this state: queued, processing, completed, "
                "completed_with_errors, failed, cancelled."
            )
        ),
    ] = None,
    processor: Annotated[str | None, typer.Option(help="Only jobs of this processor.")] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="Only jobs with this label; repeat it for several.")
    ] = None,
    search: Annotated[str | None, typer.Option(help="Part of the file's name.")] = None,
    since: Annotated[
        str | None, typer.Option("--from", metavar="DATE", help="Only jobs of this day or later.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", metavar="DATE", help="Only jobs of this day or before.")
    ] = None,
    rejected: Annotated[
        str | None,
        typer.Option(
            metavar="PERCENT", help="Only jobs with more than this percentage of rows rejected."
        ),
    ] = None,
    sort: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="created, name, rows, rejected, duration or size; largest first."
        ),
    ] = "created",
    reverse: Annotated[bool, typer.Option("--reverse", help="The smallest or oldest first.")] = (
        False
    ),
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only each job_id.")] = False,
    url: Url = DEFAULT_URL,
) -> None:
    """List jobs, newest first, with their rows and the time of their upload. The number serves as
    an ID.
    """
    filters = {
        "status": status,
        "processor": processor,
        "label": ",".join(label) if label else None,
        "search": search,
        "since": moment(since) if since else None,
        "until": moment(until, is_end=True) if until else None,
        "rejected_over": percent(rejected) if rejected else None,
        "sort": sort,
        "order": "asc" if reverse else "desc",
    }
    jobs = _pages(connect(url), None if everything else limit, filters)
    if as_json:
        for job in jobs:
            print_json(job)
        return
    if quiet:
        for job in jobs:
            print_result(job["job_id"])
        return
    listed = list(jobs)
    if not listed:
        print_status(f"No jobs. {PROGRAM} upload FILE creates one.")
        return
    if not sys.stdout.isatty():
        rows = [
            (
                job["job_id"],
                f"#{job['number']}",
                job["filename"],
                _state_with_rows(job),
                job["created_at"][:19],
            )
            for job in listed
        ]
        table(("id", "number", "file", "rows", "created (UTC)"), rows)
        return
    _show_jobs(listed)


def _show_jobs(jobs: list[dict[str, Any]]) -> None:
    """Print jobs in the width of the terminal: file names are cut, words are not."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    name_width = max(12, console.width // 4)
    grid = Table(box=None, pad_edge=False, show_header=False)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(no_wrap=True, max_width=name_width)
    grid.add_column(ratio=1)
    grid.add_column(justify="right", no_wrap=True)
    has_labels = console.width >= LABELS_FROM and any(job["labels"] for job in jobs)
    if has_labels:
        grid.add_column(max_width=console.width // 5)
    for job in jobs:
        style = STYLES.get(state_text(job), "")
        grid.add_row(
            f"#{job['number']}",
            Text(shown(job["filename"], name_width)),
            Text(_state_with_rows(job), style),
            Text(ago(job["created_at"]), "dim"),
            *([Text(shown(", ".join(job["labels"])), "cyan")] if has_labels else []),
        )
    console.print(grid)


def _state_with_rows(job: dict[str, Any]) -> str:
    """Return the processor of a job, except for the ordinary one, its state and its rows so far."""
    kind = "trial" if job.get("is_trial") else job["processor"]
    text = _state_of_rows(job)
    return text if kind == "rows" else f"{kind}, {text}"


def _state_of_rows(job: dict[str, Any]) -> str:
    state, counts = state_text(job), job["counts"]
    if state == "queued":
        return state
    is_final = job["status"] in FINAL
    if not is_final:
        state = f"{state}, {job['progress_percent']:g} %"
    names = [
        name
        for name in ("rejected", "failed", "not_processed")
        if counts[name] and (is_final or name != "not_processed")
    ]
    rows = ", ".join(f"{counts[name]:,} {name.replace('_', ' ')}" for name in (*names, "loaded"))
    if state == "completed_with_errors":
        return rows  # they begin with the rejected ones
    return f"{state}: {rows}"


def _pages(client: Client, limit: int | None, filters: dict[str, Any]) -> Iterator[dict[str, Any]]:
    cursor = None
    while limit is None or limit > 0:
        page_size = PAGE if limit is None else min(limit, PAGE)
        page = client.get("/jobs", limit=page_size, cursor=cursor, **filters)
        yield from page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return
        limit = None if limit is None else limit - len(page["items"])


@app.command(rich_help_panel=CLIENT, epilog=examples("status ID", "status ID --json | jq .rows"))
def status(identifiers: Ids, as_json: Json = False, url: Url = DEFAULT_URL) -> None:
    """Show the progress of jobs: chunks, rows, speed, errors."""

    def show(client: Client, identifier: UUID) -> Exit:
        status_body = client.get(f"/status/{identifier}")
        print_json(status_body) if as_json else _show_status(status_body)
        return Exit.OK

    exit_with(_for_each(connect(url), identifiers, show))


@app.command(
    rich_help_panel=CLIENT,
    epilog=examples("watch ID", "watch ID ID --quiet && echo done", "watch ID --json | jq .status"),
)
def watch(
    identifiers: Ids, as_json: Json = False, quiet: Quiet = False, url: Url = DEFAULT_URL
) -> None:
    """Wait until jobs have ended. Ctrl-C leaves them running.

    Exit code: 0 every row is loaded; 1 some rows were rejected or failed; 3 a job failed or was
    cancelled.
    """
    from app.cli.waiting import Follower

    client = connect(url)
    job_ids = dict.fromkeys(str(client.resolve(identifier)) for identifier in identifiers)
    with board(quiet) as shown_on:
        follower = Follower(
            client, shown_on, shown_on.print_json if as_json else lambda status: None
        )
        for identifier in job_ids:
            follower.add(identifier, identifier, "")
        _follow(follower, shown_on)
    exit_with(follower.code)


@app.command(
    rich_help_panel=CLIENT,
    epilog=examples(
        "start analyze ID --wait",
        "start sentiment ID -O text_column=review",
        "start mapping ID -O reference_file_id=OTHER_ID --json | jq -r .job_id",
        "start scoring s3://bucket/2026/ --priority 9",
        "start rows https://data.example.com/orders.csv --credentials partner",
    ),
)
def start(
    job_type: Annotated[
        str, typer.Argument(metavar="TYPE", help="rows, analyze, sentiment, ..., or a processor.")
    ],
    source: Annotated[
        str,
        typer.Argument(
            metavar="ID|SOURCE", help="An uploaded file, by any id; or a URI: s3:, https:, file:."
        ),
    ],
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-O", metavar="NAME=VALUE", help="An option of the job type."),
    ] = None,
    priority: Annotated[
        int, typer.Option("--priority", "-p", min=0, max=10, help="Higher goes first.")
    ] = 0,
    credentials: Annotated[
        str, typer.Option(metavar="NAME", help="Name in SOURCE_CREDENTIALS, for https.")
    ] = "",
    labels: Annotated[
        list[str] | None, typer.Option("--label", help="Label of the job; repeat it for several.")
    ] = None,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh", help="Run again even if the same job ran on the same bytes before."
        ),
    ] = False,
    wait: Wait = False,
    as_json: Json = False,
    quiet: Quiet = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Start a job over an uploaded file, or over files of a bucket, a web server or a folder of the
    service; print its id.

    Exit code: 0 the job was created, and with --wait every row is loaded; 1, 3 and 130 as for
    watch; 4 it was refused.
    """
    from app.cli.waiting import Follower

    client = connect(url)
    body: dict[str, Any] = {
        "type": job_type,
        "priority": priority,
        "options": dict(map(named, option or ())),
    }
    if labels:
        body["labels"] = labels
    if "://" in source:
        body["source"] = source
        if credentials:
            body["credentials"] = credentials
    else:
        body["file_id"] = client.file_and_job(client.resolve(source))[0]
    queued = client.send(
        "POST", "/jobs", json=body, params={"fresh": fresh}, timeout=COPY_SECONDS
    ).json()
    with board(quiet) as shown_on:
        if as_json and not wait:
            shown_on.print_json(queued)
        elif not as_json:
            shown_on.print_result(queued["job_id"])
        if not wait:
            return
        follower = Follower(
            client, shown_on, shown_on.print_json if as_json else lambda status: None
        )
        follower.add(queued["job_id"], queued["job_id"], "")
        _follow(follower, shown_on)
    exit_with(follower.code)


def _follow(follower: Follower, shown_on: Board) -> None:
    """Wait until the jobs have ended. Ctrl-C leaves them running, and prints how to watch them
    again.
    """
    from app.cli.waiting import go_on

    try:
        follower.run()
    except KeyboardInterrupt:
        shown_on.print_status(go_on(follower.ids))
        raise


@app.command(rich_help_panel=CLIENT, epilog=examples("proof ID", "proof ID --json | jq .problems"))
def proof(identifiers: Ids, as_json: Json = False, url: Url = DEFAULT_URL) -> None:
    """Prove that the tables hold each row once and unchanged, by reading them again.

    Exit code: 0 the proof holds; 1 it fails.
    """

    def show(client: Client, identifier: UUID) -> Exit:
        proof_body = client.get(f"/jobs/{identifier}/proof")
        print_json(proof_body) if as_json else _show_proof(proof_body)
        return Exit.OK if proof_body["closes"] else Exit.INCOMPLETE

    exit_with(_for_each(connect(url), identifiers, show))


@app.command(
    rich_help_panel=CLIENT,
    epilog=examples(
        "label 55 56 --add q3",
        "label --where search=orders --where from=2026-11-01 --add orders",
        "label last --remove q3 --add q4",
    ),
)
def label(
    identifiers: ManyIds = None,
    add: Annotated[list[str] | None, typer.Option("--add", help="Label to add.")] = None,
    remove: Annotated[list[str] | None, typer.Option("--remove", help="Label to remove.")] = None,
    where: Where = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Add labels to jobs, and remove others. `list --label` shows the jobs that have one."""
    check_choice(identifiers, where, dry_run=dry_run)
    if not add and not remove:
        raise CliError("Name a label: --add NAME or --remove NAME.", Exit.USAGE)
    client = connect(url)
    body: dict[str, Any] = {
        "action": "label",
        "add_labels": add or [],
        "remove_labels": remove or [],
    }
    if where:
        exit_with(_all_that_match(client, body, where, dry_run=dry_run, as_json=as_json))
        return

    def change(client: Client, identifier: UUID) -> Exit:
        job_id = client.file_and_job(identifier)[1]
        answer = client.send("POST", "/jobs/bulk", json=body | {"jobs": [job_id]}).json()
        (item,) = answer["items"]
        if item["outcome"] == "refused":
            raise CliError(str(item["detail"]), Exit.REFUSED)
        if as_json:
            print_json(item)
        else:
            print_result(f"#{item['number']} {shown(item['filename'])}: {item['outcome']}")
        return Exit.OK

    exit_with(_for_each(client, identifiers or [], change))


def _all_that_match(
    client: Client, body: dict[str, Any], where: list[str], *, dry_run: bool, as_json: bool
) -> Exit:
    """Do an action with the jobs of --where, or count them."""
    whole = body | {"where": conditions(where)}
    if dry_run:
        print_count(client, whole, as_json=as_json)
        return Exit.OK
    return act(client, whole, as_json=as_json)


@app.command(
    rich_help_panel=CLIENT,
    epilog=examples("cancel ID", "cancel --where status=queued --where label=q3"),
)
def cancel(
    identifiers: ManyIds = None,
    where: Where = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Cancel jobs: no further row is written. Finished rows stay readable."""
    check_choice(identifiers, where, dry_run=dry_run)
    if where:
        body = {"action": "cancel"}
        exit_with(_all_that_match(connect(url), body, where, dry_run=dry_run, as_json=as_json))
        return

    def end(client: Client, identifier: UUID) -> Exit:
        answer = client.send("POST", f"/jobs/{client.file_and_job(identifier)[1]}/cancel").json()
        print_json(answer) if as_json else print_result(f"{identifier}: {shown(answer['status'])}")
        return Exit.OK

    exit_with(_for_each(connect(url), identifiers or [], end))


@app.command(
    rich_help_panel=CLIENT, epilog=examples("retry ID --wait", "retry --where status=failed")
)
def retry(
    identifiers: ManyIds = None,
    where: Where = None,
    dry_run: DryRun = False,
    wait: Wait = False,
    as_json: Json = False,
    quiet: Quiet = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Run the failed chunks of jobs again, and only those. Use `fix` for rejected rows."""
    check_choice(identifiers, where, dry_run=dry_run)
    if where:
        if wait:
            raise CliError("--wait needs ids.", Exit.USAGE)
        body = {"action": "retry"}
        exit_with(_all_that_match(connect(url), body, where, dry_run=dry_run, as_json=as_json))
        return

    def again(client: Client, identifier: UUID) -> Exit:
        answer = client.send("POST", f"/jobs/{client.file_and_job(identifier)[1]}/retry").json()
        if as_json and not wait:
            print_json(answer)
        elif not as_json:
            print_result(f"{identifier}: {shown(answer['message'])}")
        return Exit.OK

    code = _for_each(connect(url), identifiers or [], again)
    if wait and code is Exit.OK:
        watch(identifiers or [], as_json=as_json, quiet=quiet, url=url)
    exit_with(code)


@app.command(
    rich_help_panel=CLIENT,
    epilog=examples(
        "delete ID", "delete ID ID --yes", "delete --where label=test --where to=2026-10-31"
    ),
)
def delete(
    identifiers: ManyIds = None,
    where: Where = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Delete files with their results, rejects and bytes; running jobs are cancelled first."""
    check_choice(identifiers, where, dry_run=dry_run)
    if not yes and not dry_run:
        if not sys.stdin.isatty():
            raise CliError("This deletes permanently: add --yes.", Exit.USAGE)
        number = len(identifiers or [])
        if where:
            whole = {"action": "delete", "where": conditions(where)}
            number = count(connect(url), whole)["matched"]
        typer.confirm(f"Delete {number} file(s) with all rows for good?", abort=True, err=True)
    if where:
        body = {"action": "delete"}
        exit_with(_all_that_match(connect(url), body, where, dry_run=dry_run, as_json=as_json))
        return

    def remove(client: Client, identifier: UUID) -> Exit:
        client.send("DELETE", f"/files/{client.file_and_job(identifier)[0]}")
        (
            print_json({"file_id": str(identifier), "deleted": True})
            if as_json
            else print_result(f"{identifier}: deleted")
        )
        return Exit.OK

    exit_with(_for_each(connect(url), identifiers or [], remove))


def _for_each(client: Client, identifiers: list[str], do: Callable[[Client, UUID], Exit]) -> Exit:
    """Run `do` for every id, even if some fail; return the worst outcome. Without a server, only
    one error is printed.
    """
    worst = Exit.OK
    for identifier in dict.fromkeys(identifiers):
        try:
            worst = max(worst, do(client, client.resolve(identifier)))
        except CliError as error:
            if error.code is Exit.UNAVAILABLE or len(identifiers) == 1:
                raise
            print_status(f"{shown(identifier)}: {error.message}")
            worst = max(worst, error.code)
    return worst


def _show_status(body: dict[str, Any]) -> None:
    counts, chunks = body["counts"], body["chunks"]
    print_result(f"{shown(body['filename'])}: {state_text(body)}, {body['progress_percent']:g} %")
    lines = [
        ("id", body["file_id"]),
        ("rows", rows_text(body)),
        (
            "chunks",
            f"{chunks['completed']} of"
            f" {body['total_chunks']}{'' if body['split_complete'] else ' or more'} completed"
            + (f", {chunks['failed']} failed" if chunks["failed"] else ""),
        ),
        ("processor", f"{body['processor']}, priority {body['priority']}"),
        (
            "file",
            f"{size(body['size_bytes'])}, {body['format']},"
            f" {quantity(len(body['columns']), 'column')}",
        ),
    ]
    if body["rows_per_second"]:
        lines.append(("speed", f"{body['rows_per_second']:,.0f} rows/s"))
    if body["eta_seconds"] is not None and seconds_run(body) >= SHORT_SECONDS:
        lines.append(("left", duration(body["eta_seconds"])))
    if body["waiting_on"]:
        lines.append(("waits for", waits_for(body)))
    if body["error"]:
        lines.append(("error", str(body["error"].get("message", body["error"]))))
    for error in body["errors"]:
        inner = error.get("error") or error
        lines.append(
            ("error", str(inner.get("message", inner)) if isinstance(inner, dict) else str(inner))
        )
    for name, text in lines:
        print_result(f"  {name:<10} {shown(str(text))}")
    if body["status"] in FINAL and counts["rejected"]:
        Silent().print_status(f"  Why rows were rejected: {PROGRAM} rejects {body['number']}")
    if body["status"] in ("failed", "completed_with_errors") and counts["failed"]:
        Silent().print_status(f"  Run the failed rows again: {PROGRAM} retry {body['number']}")


def _show_proof(proof: dict[str, Any]) -> None:
    counts, stored = proof["counts"], proof["stored"]
    print_result(f"{proof['file_id']}: the proof {'closes' if proof['closes'] else 'is broken'}")
    print_result(
        f"  {quantity(sum(counts.values()), 'row')} = {counts['loaded']:,} loaded + {counts['rejected']:,}"
        f" rejected + {counts['failed']:,} failed + {counts['not_processed']:,} not processed"
    )
    results, rejects = (quantity(stored[f"{name}s"], name) for name in ("result", "reject"))
    print_result(f"  stored: {results}, {rejects}")
    print_result(f"  hash sums: read {proof['hash']['read']}, stored {proof['hash']['stored']}")
    for problem in proof["problems"]:
        print_result(f"  {shown(problem)}")
    if not proof["is_final"]:
        print_result("The job has not ended: this covers what is done so far.")
