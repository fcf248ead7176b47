"""Actions on many jobs by a filter, and the filters as they are written on a command line."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.common import CliError, Exit, named, print_json, print_result, print_status
from app.cli.text import quantity, shown

if TYPE_CHECKING:
    from app.cli.client import Client

FILTERS = ("status", "processor", "search", "label", "from", "to", "rejected")
STEP = 100
"""Jobs of one request."""
MOST_REASONS = 20

Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="NAME=VALUE",
        help=(
            "All jobs that match instead of ids: status, processor, search, label, from, to,"
            " rejected (as the options of `list`). Repeat it to combine conditions."
        ),
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="With --where: count the jobs, and change nothing.")
]
ManyIds = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[ID...]",
        help="Job numbers, `last`, `file_id`s or `job_id`s, or the first characters of ids.",
    ),
]


def moment(text: str, *, is_end: bool = False) -> str:
    """Return an ISO moment for one that is written so, or for a day, which begins at midnight here;
    the end of a day is that of the next one. Raises CliError.
    """
    try:
        written = datetime.fromisoformat(text)
    except ValueError:
        raise CliError(
            f"{shown(text, 60)} is no date. Write it as 2026-11-30 or 2026-11-30T08:00.", Exit.USAGE
        ) from None
    is_day = written.time() == time() and len(text) <= len("2026-11-30")
    if is_day and is_end:
        written += timedelta(days=1)
    return written.astimezone().isoformat()


def conditions(written: list[str]) -> dict[str, Any]:
    """Return the filters of --where as the API takes them; raises CliError."""
    where: dict[str, Any] = {}
    for name, value in map(named, written):
        if name not in FILTERS:
            raise CliError(
                f"--where {shown(name, 40)}: use one of {', '.join(FILTERS)}.", Exit.USAGE
            )
        if name == "label":
            where.setdefault("label", []).append(value)
        elif name == "from":
            where["since"] = moment(value)
        elif name == "to":
            where["until"] = moment(value, is_end=True)
        elif name == "rejected":
            where["rejected_over"] = percent(value)
        else:
            where[name] = value
    return where


def percent(text: str) -> float:
    """Return 5.0 for `5` or `5%`; raises CliError."""
    try:
        return float(text.removesuffix("%"))
    except ValueError:
        raise CliError(f"{shown(text, 40)} is no percentage.", Exit.USAGE) from None


def check_choice(identifiers: list[str] | None, where: list[str] | None, *, dry_run: bool) -> None:
    """Raise CliError unless jobs are named in one way."""
    if bool(identifiers) == bool(where):
        raise CliError("Name jobs by their ids, or by --where NAME=VALUE.", Exit.USAGE)
    if dry_run and not where:
        raise CliError("--dry-run counts the jobs of --where.", Exit.USAGE)


def count(client: Client, body: dict[str, Any]) -> dict[str, Any]:
    """Return how many jobs match, and how many of them the action would change."""
    answer = client.send("POST", "/jobs/bulk", json=body | {"dry_run": True}).json()
    return {"matched": answer["matched"], "can": answer["can"]}


def print_count(client: Client, body: dict[str, Any], *, as_json: bool) -> None:
    counts = count(client, body)
    if as_json:
        print_json(counts)
        return
    verb = "matches" if counts["matched"] == 1 else "match"
    print_result(f"{quantity(counts['matched'], 'job')} {verb}, {counts['can']:,} would change")


def act(client: Client, body: dict[str, Any], *, as_json: bool) -> Exit:
    """Do an action with all jobs that match, in steps; print the outcome of each with `as_json`,
    else a summary and why some were refused.
    """
    outcomes: dict[str, int] = {"done": 0, "unchanged": 0, "refused": 0}
    before = None
    while True:
        step = body | {"limit": STEP} | ({} if before is None else {"before": before})
        answer = client.send("POST", "/jobs/bulk", json=step).json()
        for item in answer["items"]:
            outcomes[item["outcome"]] += 1
            _print_item(item, as_json=as_json, is_listed=outcomes["refused"] <= MOST_REASONS)
        before = answer["next_before"]
        if before is None:
            break
    if not as_json:
        print_result(", ".join(f"{number:,} {name}" for name, number in outcomes.items()))
    return Exit.REFUSED if outcomes["refused"] else Exit.OK


def _print_item(item: dict[str, Any], *, as_json: bool, is_listed: bool) -> None:
    if as_json:
        print_json(item)
    elif item["outcome"] == "refused" and is_listed:
        print_status(f"#{item['number']} {shown(item['filename'] or '')}: {item['detail']}")
