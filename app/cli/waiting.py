"""Waiting for jobs until they have ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from app.cli.client import Client, Unreachable
from app.cli.common import PROGRAM, CliError, Exit
from app.cli.render import Board, board, outcome
from app.cli.text import FINAL

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
PATIENCE_SECONDS = 60.0
"""How long a server may be unreachable, for instance during an update, before waiting ends."""

OUTCOMES = {
    "completed": Exit.OK,
    "completed_with_errors": Exit.INCOMPLETE,
    "failed": Exit.FAILED,
    "cancelled": Exit.FAILED,
}


@dataclass(slots=True)
class Followed:
    key: str
    name: str
    pause: float = FIRST_PAUSE
    due: float = field(default_factory=time.monotonic)


class Follower:
    """Polls the status of each job until it is final, less often the longer it takes."""

    def __init__(
        self, client: Client, shown_on: Board, on_end: Callable[[dict[str, Any]], None]
    ) -> None:
        """`on_end` gets each final status."""
        self._client = client
        self._board = shown_on
        self._on_end = on_end
        self._jobs: dict[str, Followed] = {}
        self._away_since: float | None = None
        self.code = Exit.OK

    @property
    def ids(self) -> list[str]:
        return list(self._jobs)

    def add(self, identifier: str, key: str, name: str) -> None:
        self._jobs[identifier] = Followed(key, name)

    def step(self) -> None:
        """Poll the jobs that are due. Raises CliError; Unreachable only after a long outage."""
        for identifier, job in list(self._jobs.items()):
            if job.due <= time.monotonic():
                self._look(identifier, job)

    def _look(self, identifier: str, job: Followed) -> None:
        try:
            status = self._client.get(f"/status/{identifier}")
        except Unreachable as error:
            self._be_patient(error)
            job.due = time.monotonic() + LONGEST_PAUSE
            return
        except CliError as error:
            if error.problem is None or error.problem.get("code") != "not_found":
                raise
            del self._jobs[identifier]
            self._board.over(job.key, f"{identifier}: not found; it may have been deleted.")
            self.code = max(self.code, Exit.REFUSED)
            return
        self._away_since = None
        job.name = job.name or status["filename"]
        if status["status"] not in FINAL:
            self._board.working(job.key, job.name, status)
            job.pause = min(job.pause * 1.5, LONGEST_PAUSE)
            job.due = time.monotonic() + job.pause
            return
        del self._jobs[identifier]
        self._board.over(job.key, outcome(job.name, status) + _next_step(status))
        self.code = max(self.code, OUTCOMES[status["status"]])
        self._on_end(status)

    def _be_patient(self, error: Unreachable) -> None:
        now = time.monotonic()
        if self._away_since is None:
            self._away_since = now
            self._board.print_status(f"{error.message.splitlines()[0]} Waiting for the server.")
        elif now - self._away_since > PATIENCE_SECONDS:
            raise CliError(f"{error.message}\n{go_on(self.ids)}", error.code) from None

    def run(self) -> None:
        """Poll until no job is left."""
        while self._jobs:
            self.step()
            if self._jobs:
                nearest = min(job.due for job in self._jobs.values())
                time.sleep(max(0.0, min(nearest - time.monotonic(), 0.2)))


def go_on(ids: list[str]) -> str:
    """Return how to watch jobs again that no client watches now."""
    return (
        f"The {'job continues' if len(ids) == 1 else 'jobs continue'}. Watch: {PROGRAM} watch"
        f" {' '.join(ids)}"
    )


def _next_step(status: dict[str, Any]) -> str:
    counts, number = status["counts"], status["number"]
    steps = []
    if counts["rejected"]:
        steps.append(f"Why: {PROGRAM} rejects {number}")
    if counts["failed"] and status["status"] in ("failed", "completed_with_errors"):
        steps.append(f"Run again: {PROGRAM} retry {number}")
    return "".join(f"\n  {step}" for step in steps)


def result_of(client: Client, body: dict[str, Any], *, quiet: bool) -> dict[str, Any]:
    """Start a job by this body of POST /jobs, wait for its end with progress on standard error, and
    return its result. Raises CliError if the job is refused or fails.
    """
    job_id = client.send("POST", "/jobs", json=body).json()["job_id"]
    with board(quiet) as shown_on:
        follower = Follower(client, shown_on, lambda status: None)
        follower.add(job_id, job_id, "")
        try:
            follower.run()
        except KeyboardInterrupt:
            shown_on.print_status(go_on([job_id]))
            raise
    if follower.code is Exit.FAILED:
        raise CliError(f"{PROGRAM} status {job_id} shows why.", Exit.FAILED)
    result: dict[str, Any] = client.get(f"/jobs/{job_id}/result")["result"]
    return result
