"""Decides the next step of a job. Pure: it takes a view of the job and returns one step."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Step(Enum):
    SPLIT = "cut a stretch of its file into chunks"
    RUN = "claim chunks and run them in this turn"
    RUN_DETACHED = (
        "claim chunks and run them without a slot, since their processor waits for a service"
    )
    REDUCE = "make its result without a slot, then finish it"
    FINISH = "give it its final status, or wait for the chunk that may run next"
    REQUEUE = "put its token back: there is more to do than this turn can"
    LEAVE = "nothing: whoever works on it puts the token back"


@dataclass(frozen=True, slots=True)
class JobView:
    """The facts that the decision depends on."""

    is_split: bool = False
    """Whether the whole file is cut into chunks."""
    is_splitting: bool = False
    """Whether this process, or another, is cutting the file now."""
    waits_for_service: bool = False
    """Whether the processor waits for a service instead of computing."""
    is_held_up: bool = False
    """Whether the service that the job waits for does not answer."""
    detached_turns: int = 0
    """Number of turns of this process that run chunks without a slot."""
    has_chunks_in_work: bool = False
    """Whether this process has chunks in work."""
    is_reducing: bool = False
    """Whether this process makes the result."""
    has_result: bool = False
    """Whether the job ends with a result that takes work to make."""
    is_cancelled: bool = False
    is_shared: bool = False
    """Whether other processes work on the same jobs."""
    nothing_to_claim: bool = False
    """Whether a claim in this turn got no chunk."""


MAX_DETACHED_TURNS = 4
"""Limit for one job: enough that one turn always waits for answers while others read and write."""


def next_step(job: JobView) -> Step:
    """Return the next step for this job in this turn."""
    if job.nothing_to_claim:
        return _step_without_chunks(job)
    if not job.is_split and not job.is_splitting:
        return Step.SPLIT
    if not job.waits_for_service:
        return Step.RUN
    # One turn is enough to learn whether the service answers again.
    most_turns = 1 if job.is_held_up else MAX_DETACHED_TURNS
    if job.detached_turns >= most_turns:
        return Step.LEAVE
    return Step.RUN_DETACHED


def _step_without_chunks(job: JobView) -> Step:
    if job.has_chunks_in_work or job.is_reducing:
        return Step.LEAVE
    if not job.is_split:
        # With several processes, the one that splits the file puts a token for every chunk.
        return Step.LEAVE if job.is_splitting or job.is_shared else Step.REQUEUE
    if job.has_result and not job.is_cancelled:
        return Step.REDUCE
    return Step.FINISH
