"""retention: what the rules of retention delete."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from app.cli.common import (
    DEFAULT_URL,
    SERVER,
    Json,
    Url,
    connect,
    examples,
    print_json,
    print_result,
    print_status,
)
from app.cli.text import shown, size

app = typer.Typer()
WORDS = {
    "bytes": "stored files",
    "rows": "jobs with results",
    "rejects": "jobs with rejects",
    "jobs": "files with all their jobs",
}
Days = Annotated[float | None, typer.Option(min=0.001, help="Try this number of days.")]


@app.command(
    rich_help_panel=SERVER,
    epilog=examples("retention", "retention --bytes 7 --jobs 365"),
)
def retention(
    bytes: Days = None,
    rows: Days = None,
    rejects: Days = None,
    jobs: Days = None,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
) -> None:
    """List what the rules of RETENTION delete now, or what other rules would. Deletes nothing."""
    plan = connect(url).get("/retention", bytes=bytes, rows=rows, rejects=rejects, jobs=jobs)
    if as_json:
        print_json(plan)
        return
    if not plan["rules"]:
        print_status('No rules: everything is kept. RETENTION={"bytes": 7} would set one.')
        return
    for kind, due in plan["due"].items():
        _print_kind(kind, due)
    if not plan["is_in_force"]:
        print_status("These rules are not set, so nothing is deleted.")


def _print_kind(kind: str, due: dict[str, Any]) -> None:
    items = due["items"]
    if not items:
        return
    more = " or more" if due["is_cut"] else ""
    print_result(f"{len(items)}{more} {WORDS[kind]}, {size(due['bytes'])}")
    for item in items:
        identifier = item.get("file_id") or item.get("job_id")
        print_result(f"  {identifier}  {item['created_at'][:10]}  {shown(item['filename'])}")
