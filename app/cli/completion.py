"""Completes ids of jobs on the command line, from the newest jobs of the server."""

from __future__ import annotations

import os
from typing import Any

from app.cli.common import DEFAULT_URL, CliError

MOST_JOBS = 50
NAME_WIDTH = 40
SECONDS = 2.0
"""The shell waits meanwhile: a server that takes longer completes nothing."""


def job_ids(ctx: Any, incomplete: str) -> list[tuple[str, str]]:
    """Return (`last` or job number, file and status) of the newest jobs whose number begins as
    typed. Empty if the server does not answer, since a shell has no place for errors.
    """
    import httpx

    from app.cli.client import Client
    from app.cli.text import shown, state_text

    url = ctx.params.get("url") or os.environ.get("GRANULA_URL") or DEFAULT_URL
    try:
        client = Client(url, os.environ.get("GRANULA_KEY") or None)
        answer = client.send(
            "GET", "/jobs", params={"limit": MOST_JOBS}, timeout=httpx.Timeout(SECONDS)
        )
    except CliError:
        return []
    jobs = answer.json()["items"]
    proposals = [
        (
            str(job["number"]),
            f"{shown(job['filename'], NAME_WIDTH)}, {state_text(job).replace('_', ' ')}",
        )
        for job in jobs
    ]
    if jobs:
        proposals.insert(0, ("last", f"the newest job, {shown(jobs[0]['filename'], NAME_WIDTH)}"))
    typed = incomplete.removeprefix("#")
    return [(value, text) for value, text in proposals if value.startswith(typed)]
