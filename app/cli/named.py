"""Things of the server that have a name and an id, such as schedules, watches and webhooks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.cli.common import CliError, Exit, named, print_json
from app.cli.text import shown

if TYPE_CHECKING:
    from app.cli.client import Client


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of things that a user has several of."""

    singular: str
    plural: str
    """Also the path of their list."""
    named_by: str = "name"
    """Member that users know them by."""
    label: str = "name"
    """Word for that member."""


def find_id(client: Client, kind: Kind, which: str) -> str:
    """Return the id of the one with this name, this id, or an id that begins so. Raises CliError
    unless there is exactly one.
    """
    items = client.get(f"/{kind.plural}")["items"]
    ids = [item["id"] for item in items if which in (item[kind.named_by], item["id"])]
    ids = ids or [item["id"] for item in items if item["id"].startswith(which.lower())]
    if len(ids) != 1:
        problem = f"{len(ids)} {kind.plural} have" if ids else f"No {kind.singular} has"
        raise CliError(f"{problem} the {kind.label} or id {shown(which)}.", Exit.REFUSED)
    return str(ids[0])


def print_each(items: Iterable[dict[str, Any]]) -> None:
    """Print a line of JSON for each item."""
    for item in items:
        print_json(item)


def job_of(job_type: str, options: list[str] | None, priority: int) -> dict[str, Any]:
    """Return the body of a job without its input, from options such as NAME=VALUE."""
    return {"type": job_type, "priority": priority, "options": dict(map(named, options or ()))}
