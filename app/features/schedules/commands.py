"""schedules: jobs that start at the times of a cron expression."""

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
    print_json,
    print_result,
    print_status,
)
from app.cli.named import Kind, find_id, job_of, print_each
from app.cli.render import table

app = typer.Typer()
KIND = Kind("schedule", "schedules")
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
        print_each(items)
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
    job = job_of(job_type, option, priority)
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
    job = client.send("POST", f"/schedules/{find_id(client, KIND, which)}/run").json()
    print_result(job["job_id"])


@schedules.command("delete")
def delete(which: Which, url: Url = DEFAULT_URL) -> None:
    """Delete a schedule. Its jobs stay."""
    client = connect(url)
    client.send("DELETE", f"/schedules/{find_id(client, KIND, which)}")
    print_result(f"{which}: deleted")


def _change(which: str, url: str, change: dict[str, Any]) -> None:
    client = connect(url)
    schedule = client.send(
        "PATCH", f"/schedules/{find_id(client, KIND, which)}", json=change
    ).json()
    print_result(f"{which}: {'paused' if schedule['paused'] else 'next run ' + _next(schedule)}")


def _next(schedule: dict[str, Any]) -> str:
    if schedule["paused"]:
        return "paused"
    return schedule["next_runs"][0][:16].replace("T", " ") if schedule["next_runs"] else "never"


def _last(schedule: dict[str, Any]) -> str:
    outcome = schedule["last_outcome"]
    if outcome is None:
        return ""
    return f"{schedule['last_run_at'][:16].replace('T', ' ')} {outcome['outcome']}"
