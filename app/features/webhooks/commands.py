"""webhooks: messages to a URL when a job ends."""

from __future__ import annotations

from typing import Annotated

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
from app.cli.named import Kind, find_id, print_each
from app.cli.render import table

app = typer.Typer()
KIND = Kind("webhook", "webhooks", "url", "URL")
webhooks = typer.Typer(
    help="List, create and delete webhooks: messages to a URL when a job ends.",
    no_args_is_help=True,
    epilog=examples(
        "webhooks create https://example.com/hook --event job.failed",
        "webhooks test https://example.com/hook",
        "webhooks deliveries https://example.com/hook",
    ),
)
app.add_typer(webhooks, name="webhooks", rich_help_panel=CLIENT)
Which = Annotated[
    str, typer.Argument(metavar="WEBHOOK", help="Its URL, its id, or the beginning of its id.")
]
SHOWN = 20


@webhooks.command("list")
def list_webhooks(as_json: Json = False, url: Url = DEFAULT_URL) -> None:
    """List all webhooks."""
    items = connect(url).get("/webhooks")["items"]
    if as_json:
        print_each(items)
        return
    if not items:
        print_status("There are no webhooks.")
        return
    rows = [
        (
            item["id"][:8],
            item["url"],
            " ".join(item["events"]),
            "on" if item["enabled"] else item["disabled_reason"],
        )
        for item in items
    ]
    table(("id", "url", "events", "state"), rows)


@webhooks.command("create")
def create(
    to: Annotated[str, typer.Argument(metavar="URL", help="Address of the receiver.")],
    event: Annotated[
        list[str] | None,
        typer.Option("--event", "-e", help="Such as job.failed. [default: every end of a job]"),
    ] = None,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Create a webhook, and print the secret of its signatures, which is shown only once."""
    body = {"url": to} | ({"events": event} if event else {})
    webhook = connect(url).send("POST", "/webhooks", json=body).json()
    print_json(webhook) if as_json else print_result(webhook["secret"])


@webhooks.command("test")
def send_test(which: Which, url: Url = DEFAULT_URL) -> None:
    """Send a test message."""
    client = connect(url)
    client.send("POST", f"/webhooks/{find_id(client, KIND, which)}/test")
    print_status("Sent. `webhooks deliveries` shows the response.")


@webhooks.command("deliveries")
def deliveries(which: Which, as_json: Json = False, url: Url = DEFAULT_URL) -> None:
    """List the latest messages and their outcomes."""
    client = connect(url)
    items = client.get(f"/webhooks/{find_id(client, KIND, which)}/deliveries", limit=SHOWN)["items"]
    if as_json:
        print_each(items)
        return
    rows = [
        (item["created_at"][:19].replace("T", " "), item["event"], item["status"], item["job_id"])
        for item in items
    ]
    table(("created (UTC)", "event", "status", "job"), rows)


@webhooks.command("delete")
def delete(which: Which, url: Url = DEFAULT_URL) -> None:
    """Delete a webhook."""
    client = connect(url)
    client.send("DELETE", f"/webhooks/{find_id(client, KIND, which)}")
    print_result(f"{which}: deleted")
