"""schedules: jobs that start at the times of a cron expression."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

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
    print_status,
)
from app.cli.render import table
from app.cli.text import shown

if TYPE_CHECKING:
    from app.cli.client import Client

app = typer.Typer()
schedules = typer.Typer(
    help="List, create and change schedules: jobs that start at the times of a cron expression.",
    no_args_is_help=True,
    epilog=examples(
        "schedules list",
        "schedules create '0 3 * * *' scoring s3://bucket/daily/ --name nightly",
        "schedules pause nightly",
        "schedules run nightly",
    ),
)
app.add_typer(schedules, name="schedules", rich_help_panel=CLIENT)
Which = Annotated[
    str, typer.Argument(metavar="SCHEDULE", help="Its name, its id, or the beginning of its id.")
]


@schedules.command("list")
def list_schedules(as_json: Json = False, url: Url = DEFAULT_URL) -> None:
    """List all schedules with their next and last runs."""
    items = connect(url).get("/schedules")["items"]
    if as_json:
        for item in items:
            print_json(item)
        return
    if not items:
        print_status("There are no schedules.")
        return
    rows = [
        (item["id"][:8], item["name"], item["cron"], item["job"]["type"], _next(item), _last(item))
        for item in items
    ]
    table(("id", "name", "cron", "job", "next run", "last run"), rows)


@schedules.command("create", epilog=examples("schedules create '0 3 * * *' rows s3://bucket/in/"))
def create(
    cron: Annotated[str, typer.Argument(help="Five fields, as in Debian's cron.")],
    job_type: Annotated[str, typer.Argument(metavar="TYPE", help="Type of the jobs.")],
    source: Annotated[
        str, typer.Argument(metavar="ID|SOURCE", help="An uploaded file, or s3://bucket/key.")
    ],
    name: Annotated[str, typer.Option(help="Name to show.")] = "",
    timezone: Annotated[str, typer.Option(help="Such as Europe/Berlin.")] = "UTC",
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-O", metavar="NAME=VALUE", help="An option of the job type."),
    ] = None,
    priority: Annotated[
        int, typer.Option("--priority", "-p", min=0, max=10, help="Higher goes first.")
    ] = 0,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Create a schedule, and print its id."""
    client = connect(url)
    job: dict[str, Any] = {
        "type": job_type,
        "priority": priority,
        "options": dict(map(named, option or ())),
    }
    if "://" in source:
        job["source"] = source
    else:
        job["file_id"] = client.file_and_job(client.resolve(source))[0]
    body = {"cron": cron, "timezone": timezone, "name": name, "job": job}
    schedule = client.send("POST", "/schedules", json=body).json()
    print_json(schedule) if as_json else print_result(schedule["id"])


@schedules.command("pause")
def pause(which: Which, url: Url = DEFAULT_URL) -> None:
    """Plan no further runs."""
    _change(which, url, {"paused": True})


@schedules.command("resume")
def resume(which: Which, url: Url = DEFAULT_URL) -> None:
    """Plan runs again."""
    _change(which, url, {"paused": False})


@schedules.command("run")
def run(which: Which, url: Url = DEFAULT_URL) -> None:
    """Start its job now, and print the id of the job."""
    client = connect(url)
    job = client.send("POST", f"/schedules/{_find(client, which)}/run").json()
    print_result(job["job_id"])


@schedules.command("delete")
def delete(which: Which, url: Url = DEFAULT_URL) -> None:
    """Delete a schedule. Its jobs stay."""
    client = connect(url)
    client.send("DELETE", f"/schedules/{_find(client, which)}")
    print_result(f"{which}: deleted")


def _change(which: str, url: str, change: dict[str, Any]) -> None:
    client = connect(url)
    schedule = client.send("PATCH", f"/schedules/{_find(client, which)}", json=change).json()
    print_result(f"{which}: {'paused' if schedule['paused'] else 'next run ' + _next(schedule)}")


def _find(client: Client, which: str) -> str:
    """Return the id of a schedule; raises CliError unless exactly one has this name or id."""
    items = client.get("/schedules")["items"]
    ids = [item["id"] for item in items if which in (item["name"], item["id"])]
    ids = ids or [item["id"] for item in items if item["id"].startswith(which.lower())]
    if len(ids) != 1:
        problem = "No schedule has" if not ids else f"{len(ids)} schedules have"
        raise CliError(f"{problem} the name or id {shown(which)}.", Exit.REFUSED)
    return str(ids[0])


def _next(schedule: dict[str, Any]) -> str:
    if schedule["paused"]:
        return "paused"
    return schedule["next_runs"][0][:16].replace("T", " ") if schedule["next_runs"] else "never"


def _last(schedule: dict[str, Any]) -> str:
    outcome = schedule["last_outcome"]
    if outcome is None:
        return ""
    return f"{schedule['last_run_at'][:16].replace('T', ' ')} {outcome['outcome']}"
