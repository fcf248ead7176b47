"""What to do next with a job. Pure: a view of the job in, one step out."""

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
    """What the decision depends on."""

    is_split: bool = False
    """The whole file is cut into chunks."""
    is_splitting: bool = False
    """This process, or another, is cutting it now."""
    waits_for_service: bool = False
    """Its processor waits for others instead of computing."""
    is_held_up: bool = False
    """The service that it waits for does not answer."""
    detached_turns: int = 0
    """Turns of this process that run its chunks without a slot."""
    has_chunks_in_work: bool = False
    """In this process."""
    is_reducing: bool = False
    """This process makes its result."""
    has_result: bool = False
    """It ends with a result that takes work to make."""
    is_cancelled: bool = False
    is_shared: bool = False
    """Other processes work on the same jobs."""
    nothing_to_claim: bool = False
    """A claim was tried in this turn, and there was no chunk."""


MAX_DETACHED_TURNS = 4
"""Of one job: enough that one is always being answered while others are read and written."""


def next_step(job: JobView) -> Step:
    """The next thing to do for this job in this turn."""
    if job.nothing_to_claim:
        return _step_without_chunks(job)
    if not job.is_split and not job.is_splitting:
        return Step.SPLIT
    if not job.waits_for_service:
        return Step.RUN
    # One turn is enough to find out whether the service answers again.
    most_turns = 1 if job.is_held_up else MAX_DETACHED_TURNS
    if job.detached_turns >= most_turns:
        return Step.LEAVE
    return Step.RUN_DETACHED


def _step_without_chunks(job: JobView) -> Step:
    if job.has_chunks_in_work or job.is_reducing:
        return Step.LEAVE
    if not job.is_split:
        # Among several processes, the one that cuts the file puts a token for each chunk.
        return Step.LEAVE if job.is_splitting or job.is_shared else Step.REQUEUE
    if job.has_result and not job.is_cancelled:
        return Step.REDUCE
    return Step.FINISH
