"""watches: each new or changed object of a bucket or folder becomes a job."""

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
from app.cli.text import size

app = typer.Typer()
KIND = Kind("watch", "watches")
watches = typer.Typer(
    help="List, create and change watches: each new file of a bucket or folder becomes a job.",
    no_args_is_help=True,
    epilog=examples(
        "watches list",
        "watches create s3://bucket/inbox/ rows --name inbox",
        "watches create 'file:///srv/inbox/*.xlsx' rows --settle 60",
        "watches history inbox",
    ),
)
app.add_typer(watches, name="watches", rich_help_panel=CLIENT)
Which = Annotated[
    str, typer.Argument(metavar="WATCH", help="Its name, its id, or the beginning of its id.")
]


@watches.command("list")
def list_watches(as_json: Json = False, url: Url = DEFAULT_URL) -> None:
    """List all watches with their last checks."""
    items = connect(url).get("/watches")["items"]
    if as_json:
        print_each(items)
        return
    if not items:
        print_status("There are no watches.")
        return
    rows = [
        (
            item["id"][:8],
            item["name"],
            item["source"],
            item["job"]["type"],
            _counts(item),
            _last(item),
        )
        for item in items
    ]
    table(("id", "name", "source", "job", "objects", "last check"), rows)


@watches.command("create", epilog=examples("watches create s3://bucket/inbox/ rows"))
def create(
    source: Annotated[str, typer.Argument(help="s3://bucket/prefix/ or file:///folder/*.csv.")],
    job_type: Annotated[str, typer.Argument(metavar="TYPE", help="Type of the jobs.")],
    name: Annotated[str, typer.Option(help="Name to show.")] = "",
    every: Annotated[float, typer.Option(help="Seconds between two checks.")] = 30.0,
    settle: Annotated[
        float | None,
        typer.Option(
            help="Seconds for which a file must stay the same; 10 for folders, 0 for buckets."
        ),
    ] = None,
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
    """Create a watch, and print its id. Files that are there already become jobs too."""
    job = job_of(job_type, option, priority)
    body: dict[str, Any] = {"source": source, "name": name, "every_seconds": every, "job": job}
    if settle is not None:
        body["settle_seconds"] = settle
    watch = connect(url).send("POST", "/watches", json=body).json()
    print_json(watch) if as_json else print_result(watch["id"])


@watches.command("history", epilog=examples("watches history inbox --status failed"))
def history(
    which: Which,
    status: Annotated[
        str | None, typer.Option(help="Only objects in this state: waiting, queued, failed.")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=1000, help="Number of objects.")
    ] = 20,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
) -> None:
    """List the objects that a watch has seen, newest first, with their jobs."""
    client = connect(url)
    page = client.get(
        f"/watches/{find_id(client, KIND, which)}/objects", status=status, limit=limit
    )
    if as_json:
        print_each(page["items"])
        return
    rows = [
        (
            item["seen_at"][:19].replace("T", " "),
            item["uri"],
            size(item["size_bytes"]),
            _state(item),
        )
        for item in page["items"]
    ]
    table(("seen (UTC)", "object", "size", "job"), rows)


@watches.command("pause")
def pause(which: Which, url: Url = DEFAULT_URL) -> None:
    """Make no further checks."""
    _change(which, url, {"paused": True})


@watches.command("resume")
def resume(which: Which, url: Url = DEFAULT_URL) -> None:
    """Make checks again."""
    _change(which, url, {"paused": False})


@watches.command("run")
def run(which: Which, url: Url = DEFAULT_URL) -> None:
    """Check now, and try objects that failed again."""
    client = connect(url)
    client.send("POST", f"/watches/{find_id(client, KIND, which)}/run")
    print_result(f"{which}: check requested")


@watches.command("delete")
def delete(which: Which, url: Url = DEFAULT_URL) -> None:
    """Delete a watch with its history. Its jobs stay."""
    client = connect(url)
    client.send("DELETE", f"/watches/{find_id(client, KIND, which)}")
    print_result(f"{which}: deleted")


def _change(which: str, url: str, change: dict[str, Any]) -> None:
    client = connect(url)
    watch = client.send("PATCH", f"/watches/{find_id(client, KIND, which)}", json=change).json()
    print_result(f"{which}: {'paused' if watch['paused'] else 'watched'}")


def _counts(watch: dict[str, Any]) -> str:
    counts = [f"{watch['jobs']} jobs"]
    counts += [f"{watch[name]} {name}" for name in ("waiting", "failed") if watch[name]]
    return ", ".join(counts)


def _last(watch: dict[str, Any]) -> str:
    outcome = watch["last_outcome"]
    if outcome is None:
        return "paused" if watch["paused"] else ""
    problem = f": {outcome['message']}" if "message" in outcome else ""
    state = " (paused)" if watch["paused"] else ""
    return f"{watch['last_checked_at'][:16].replace('T', ' ')} {outcome['outcome']}{problem}{state}"


def _state(item: dict[str, Any]) -> str:
    if item["job_id"] is not None:
        return str(item["job_id"])
    problem = f": {item['error']['message']}" if item["error"] else ""
    return f"{item['status']}{problem}"
