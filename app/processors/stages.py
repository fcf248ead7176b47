"""The stages that the status of a job names, and the work that moves its percent through them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class By(Enum):
    """What moves a stage from its beginning to its end."""

    NOTHING = auto()
    """It is over when the job is."""
    SPLIT = auto()
    """The share of the file that is cut into chunks."""
    ROWS = auto()
    """The share of the bytes whose chunks have ended; of a job with parts, the mean of theirs."""
    FIRST_PART = auto()
    SECOND_PART = auto()
    """The share of one part's bytes."""
    PARTS = auto()
    """The mean of the parts' own percents."""


OF_PARTS = (By.FIRST_PART, By.SECOND_PART, By.PARTS)


@dataclass(frozen=True, slots=True)
class Stage:
    name: str
    begins_at: int
    """Percent."""
    by: By = By.NOTHING


@dataclass(frozen=True, slots=True)
class Stages:
    """Those between `queued` and `done`, in their order."""

    work: tuple[Stage, ...]

    @property
    def named(self) -> list[tuple[str, int]]:
        """Each with the percent at which it begins, with `queued` and `done` around them."""
        return [
            ("queued", 0),
            *((stage.name, stage.begins_at) for stage in self.work),
            ("done", 100),
        ]

    @property
    def is_of_parts(self) -> bool:
        """Whether its parts do the work."""
        return any(stage.by in OF_PARTS for stage in self.work)

    @property
    def spans(self) -> list[tuple[Stage, int]]:
        """Each stage with its percents."""
        ends = [stage.begins_at for stage in self.work[1:]] + [100]
        return [(stage, end - stage.begins_at) for stage, end in zip(self.work, ends, strict=True)]


IN_WORK = Stages((Stage("processing", 0, By.ROWS),))
IN_PARTS = Stages((Stage("processing", 0, By.PARTS),))
