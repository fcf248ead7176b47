"""The stages in the status of a job, and what their progress is measured by."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class By(Enum):
    """Measure of the progress of a stage."""

    NOTHING = auto()
    """The stage ends with the job."""
    SPLIT = auto()
    """Share of the file that is cut into chunks."""
    ROWS = auto()
    """Share of the bytes in finished chunks; the mean of the parts for a job with parts."""
    FIRST_PART = auto()
    SECOND_PART = auto()
    """Share of the bytes of one part."""
    PARTS = auto()
    """Mean of the parts' own progress."""


OF_PARTS = (By.FIRST_PART, By.SECOND_PART, By.PARTS)


@dataclass(frozen=True, slots=True)
class Stage:
    name: str
    begins_at: int
    """Percent at which it begins."""
    by: By = By.NOTHING


@dataclass(frozen=True, slots=True)
class Stages:
    """The stages between `queued` and `done`, in order."""

    work: tuple[Stage, ...]

    @property
    def named(self) -> list[tuple[str, int]]:
        """Return each stage and the percent at which it begins, including `queued` and `done`."""
        return [
            ("queued", 0),
            *((stage.name, stage.begins_at) for stage in self.work),
            ("done", 100),
        ]

    @property
    def is_of_parts(self) -> bool:
        """Return whether the parts do the work."""
        return any(stage.by in OF_PARTS for stage in self.work)

    @property
    def spans(self) -> list[tuple[Stage, int]]:
        """Return each stage and the percents that it takes."""
        ends = [stage.begins_at for stage in self.work[1:]] + [100]
        return [(stage, end - stage.begins_at) for stage, end in zip(self.work, ends, strict=True)]


IN_WORK = Stages((Stage("processing", 0, By.ROWS),))
IN_PARTS = Stages((Stage("processing", 0, By.PARTS),))
