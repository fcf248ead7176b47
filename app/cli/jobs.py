"""list, status, watch, proof, cancel, retry, delete: what becomes of jobs."""

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
    leave,
    named,
    put,
    put_json,
    say,
)
from app.cli.render import Silent, board, table
from app.cli.text import FINAL, ago, duration, rows_text, shown, size, state_text

if TYPE_CHECKING:
    from app.cli.client import Client
    from app.cli.render import Board
    from app.cli.waiting import Follower

app = typer.Typer()
PAGE = 500
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
        "list --status failed",
        "list --all --json | jq -r 'select(.progress_percent < 100).file_id'",
    ),
)
def list_jobs(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Jobs at most.")] = 20,
    everything: Annotated[bool, typer.Option("--all", help="Every job.")] = False,
    status: Annotated[
        str | None,
        typer.Option(
            help=(
                "Only those in this state: queued, processing, completed, completed_with_errors,"
                " failed, cancelled."
            )
        ),
    ] = None,
    processor: Annotated[str | None, typer.Option(help="Only those of this processor.")] = None,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only the job_id of each.")] = False,
    url: Url = DEFAULT_URL,
) -> None:
    """List jobs, newest first: what became of their rows, and when they came. The number is good as
    an ID.
    """
    jobs = _pages(
        connect(url), None if everything else limit, {"status": status, "processor": processor}
    )
    if as_json:
        for job in jobs:
            put_json(job)
        return
    if quiet:
        for job in jobs:
            put(job["job_id"])
        return
    found = list(jobs)
    if not found:
        say(f"No jobs. {PROGRAM} upload FILE makes one.")
        return
    if not sys.stdout.isatty():
        rows = [
            (
                job["job_id"],
                f"#{job['number']}",
                job["filename"],
                _became(job),
                job["created_at"][:19],
            )
            for job in found
        ]
        table(("id", "number", "file", "rows", "created (UTC)"), rows)
        return
    _show_jobs(found)


def _show_jobs(jobs: list[dict[str, Any]]) -> None:
    """In the width of the terminal: names are cut, words are not."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    most = max(12, console.width // 4)
    made = Table(box=None, pad_edge=False, show_header=False)
    made.add_column(justify="right", no_wrap=True)
    made.add_column(no_wrap=True, max_width=most)
    made.add_column(ratio=1)
    made.add_column(justify="right", no_wrap=True)
    for job in jobs:
        style = STYLES.get(state_text(job), "")
        made.add_row(
            f"#{job['number']}",
            Text(shown(job["filename"], most)),
            Text(_became(job), style),
            Text(ago(job["created_at"]), "dim"),
        )
    console.print(made)


def _became(job: dict[str, Any]) -> str:
    """How a job stands, with what became of its rows so far."""
    state, counts = (
        state_text(job).replace("completed_with_errors", "completed with rejects"),
        job["counts"],
    )
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
    return f"{state}: " + ", ".join(
        f"{counts[name]:,} {name.replace('_', ' ')}" for name in (*names, "loaded")
    )


def _pages(client: Client, limit: int | None, filters: dict[str, Any]) -> Iterator[dict[str, Any]]:
    before = None
    while limit is None or limit > 0:
        wanted = PAGE if limit is None else min(limit, PAGE)
        page = client.get("/jobs", limit=wanted, before=before, **filters)
        yield from page["items"]
        before = page["next_before"]
        if before is None:
            return
        limit = None if limit is None else limit - len(page["items"])


@app.command(rich_help_panel=CLIENT, epilog=examples("status ID", "status ID --json | jq .rows"))
def status(identifiers: Ids, as_json: Json = False, url: Url = DEFAULT_URL) -> None:
    """Tell how far jobs are: chunks, rows, speed, errors."""

    def show(client: Client, identifier: UUID) -> Exit:
        found = client.get(f"/status/{identifier}")
        put_json(found) if as_json else _show_status(found)
        return Exit.OK

    leave(_each(connect(url), identifiers, show))


@app.command(
    rich_help_panel=CLIENT,
    epilog=examples("watch ID", "watch ID ID --quiet && echo done", "watch ID --json | jq .status"),
)
def watch(
    identifiers: Ids, as_json: Json = False, quiet: Quiet = False, url: Url = DEFAULT_URL
) -> None:
    """Stay until jobs have ended. Ctrl-C leaves them running.

    Exit code: 0 every row is loaded; 1 some rows were rejected or failed; 3 a job failed or was
    cancelled.
    """
    from app.cli.waiting import Follower

    client = connect(url)
    found = dict.fromkeys(str(client.resolve(identifier)) for identifier in identifiers)
    with board(quiet) as shown_on:
        follower = Follower(client, shown_on, shown_on.put_json if as_json else lambda status: None)
        for identifier in found:
            follower.add(identifier, identifier, "")
        _follow(follower, shown_on)
    leave(follower.code)


@app.command(
    rich_help_panel=CLIENT,
    epilog=examples(
        "start analyze ID --wait",
        "start sentiment ID -O text_column=review",
        "start mapping ID -O reference_file_id=OTHER_ID --json | jq -r .job_id",
        "start scoring s3://bucket/2026/ --priority 9",
    ),
)
def start(
    job_type: Annotated[
        str, typer.Argument(metavar="TYPE", help="rows, analyze, sentiment, ..., or a processor.")
    ],
    what: Annotated[
        str,
        typer.Argument(
            metavar="ID|SOURCE", help="A file that was uploaded, by any id; or s3://bucket/key."
        ),
    ],
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-O", metavar="NAME=VALUE", help="An option of the type."),
    ] = None,
    priority: Annotated[
        int, typer.Option("--priority", "-p", min=0, max=10, help="Higher goes first.")
    ] = 0,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Run anew even if the same was done before.")
    ] = False,
    wait: Wait = False,
    as_json: Json = False,
    quiet: Quiet = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Start a job over a file that is there, or over objects of a bucket; print its id.

    Exit code: 0 it was made, and with --wait every row is loaded; 1, 3 and 130 as those of watch; 4
    it was refused.
    """
    from app.cli.waiting import Follower

    client = connect(url)
    body: dict[str, Any] = {
        "type": job_type,
        "priority": priority,
        "options": dict(map(named, option or ())),
    }
    if "://" in what:
        body["source"] = what
    else:
        body["file_id"] = client.file_and_job(client.resolve(what))[0]
    queued = client.send("POST", "/jobs", json=body, params={"fresh": fresh}).json()
    with board(quiet) as shown_on:
        if as_json and not wait:
            shown_on.put_json(queued)
        elif not as_json:
            shown_on.put(queued["job_id"])
        if not wait:
            return
        follower = Follower(client, shown_on, shown_on.put_json if as_json else lambda status: None)
        follower.add(queued["job_id"], queued["job_id"], "")
        _follow(follower, shown_on)
    leave(follower.code)


def _follow(follower: Follower, shown_on: Board) -> None:
    """Until the jobs have ended. Ctrl-C leaves them running, and says how to watch them again."""
    from app.cli.waiting import go_on

    try:
        follower.run()
    except KeyboardInterrupt:
        shown_on.say(go_on(follower.ids))
        raise


@app.command(rich_help_panel=CLIENT, epilog=examples("proof ID", "proof ID --json | jq .problems"))
def proof(identifiers: Ids, as_json: Json = False, url: Url = DEFAULT_URL) -> None:
    """Prove that the tables hold each row once and unchanged, read anew now.

    Exit code: 0 the proof closes; 1 it is broken.
    """

    def show(client: Client, identifier: UUID) -> Exit:
        found = client.get(f"/jobs/{identifier}/proof")
        put_json(found) if as_json else _show_proof(found)
        return Exit.OK if found["closes"] else Exit.INCOMPLETE

    leave(_each(connect(url), identifiers, show))


@app.command(rich_help_panel=CLIENT, epilog=examples("cancel ID"))
def cancel(identifiers: Ids, as_json: Json = False, url: Url = DEFAULT_URL) -> None:
    """Cancel jobs: no further row is written. Finished rows stay readable."""

    def end(client: Client, identifier: UUID) -> Exit:
        answer = client.send("POST", f"/jobs/{client.file_and_job(identifier)[1]}/cancel").json()
        put_json(answer) if as_json else put(f"{identifier}: {shown(answer['status'])}")
        return Exit.OK

    leave(_each(connect(url), identifiers, end))


@app.command(rich_help_panel=CLIENT, epilog=examples("retry ID --wait"))
def retry(
    identifiers: Ids,
    wait: Wait = False,
    as_json: Json = False,
    quiet: Quiet = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Run the failed chunks of jobs again, and only those. Rejected rows want `fix`."""

    def again(client: Client, identifier: UUID) -> Exit:
        answer = client.send("POST", f"/jobs/{client.file_and_job(identifier)[1]}/retry").json()
        if as_json and not wait:
            put_json(answer)
        elif not as_json:
            put(f"{identifier}: {shown(answer['message'])}")
        return Exit.OK

    code = _each(connect(url), identifiers, again)
    if wait and code is Exit.OK:
        watch(identifiers, as_json=as_json, quiet=quiet, url=url)
    leave(code)


@app.command(rich_help_panel=CLIENT, epilog=examples("delete ID", "delete ID ID --yes"))
def delete(
    identifiers: Ids, yes: Yes = False, as_json: Json = False, url: Url = DEFAULT_URL
) -> None:
    """Delete files with their results, rejects and bytes; what runs is cancelled first."""
    if not yes:
        if not sys.stdin.isatty():
            raise CliError("This deletes for good: add --yes.", Exit.USAGE)
        typer.confirm(
            f"Delete {len(identifiers)} file(s) with all rows for good?", abort=True, err=True
        )

    def remove(client: Client, identifier: UUID) -> Exit:
        client.send("DELETE", f"/files/{client.file_and_job(identifier)[0]}")
        (
            put_json({"file_id": str(identifier), "deleted": True})
            if as_json
            else put(f"{identifier}: deleted")
        )
        return Exit.OK

    leave(_each(connect(url), identifiers, remove))


def _each(client: Client, identifiers: list[str], do: Callable[[Client, UUID], Exit]) -> Exit:
    """Do it for every id, whatever happens with the others; the worst outcome. Without a server
    there is only one error.
    """
    worst = Exit.OK
    for identifier in dict.fromkeys(identifiers):
        try:
            worst = max(worst, do(client, client.resolve(identifier)))
        except CliError as error:
            if error.code is Exit.UNAVAILABLE or len(identifiers) == 1:
                raise
            say(f"{shown(identifier)}: {error.message}")
            worst = max(worst, error.code)
    return worst


def _show_status(found: dict[str, Any]) -> None:
    counts, chunks = found["counts"], found["chunks"]
    put(f"{shown(found['filename'])}: {state_text(found)}, {found['progress_percent']:g} %")
    lines = [
        ("id", found["file_id"]),
        ("rows", rows_text(found)),
        (
            "chunks",
            f"{chunks['completed']} of"
            f" {found['total_chunks']}{'' if found['split_complete'] else ' or more'} completed"
            + (f", {chunks['failed']} failed" if chunks["failed"] else ""),
        ),
        ("processor", f"{found['processor']}, priority {found['priority']}"),
        (
            "file",
            f"{size(found['size_bytes'])}, {found['format']}, {len(found['columns'])} columns",
        ),
    ]
    if found["rows_per_second"]:
        lines.append(("speed", f"{found['rows_per_second']:,.0f} rows/s"))
    if found["eta_seconds"] is not None:
        lines.append(("left", duration(found["eta_seconds"])))
    if found["waiting_on"]:
        lines.append(("waits for", found["waiting_on"]))
    if found["error"]:
        lines.append(("error", str(found["error"].get("message", found["error"]))))
    for error in found["errors"]:
        inner = error.get("error") or error
        lines.append(
            ("error", str(inner.get("message", inner)) if isinstance(inner, dict) else str(inner))
        )
    for name, text in lines:
        put(f"  {name:<10} {shown(str(text))}")
    if found["status"] in FINAL and counts["rejected"]:
        Silent().say(f"  Why rows were rejected: {PROGRAM} rejects {found['file_id']}")
    if found["status"] in ("failed", "completed_with_errors") and counts["failed"]:
        Silent().say(f"  Run the failed rows again: {PROGRAM} retry {found['file_id']}")


def _show_proof(found: dict[str, Any]) -> None:
    counts, stored = found["counts"], found["stored"]
    put(f"{found['file_id']}: the proof {'closes' if found['closes'] else 'is broken'}")
    put(
        f"  {sum(counts.values()):,} rows = {counts['loaded']:,} loaded + {counts['rejected']:,}"
        f" rejected + {counts['failed']:,} failed + {counts['not_processed']:,} not processed"
    )
    put(f"  stored: {stored['results']:,} results, {stored['rejects']:,} rejects")
    put(f"  hash sums: read {found['hash']['read']}, stored {found['hash']['stored']}")
    for problem in found["problems"]:
        put(f"  {shown(problem)}")
    if not found["is_final"]:
        put("  The job has not ended: this is about what is done so far.")
