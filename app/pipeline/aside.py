"""How much may wait aside: chunks of processors that wait for others hold no slot, but they hold memory."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

MAX_BYTES_ASIDE = 12 << 20
"""Of chunks of all jobs of a processor. In work a chunk takes several times its bytes: as cells, for the processes, as pages."""


class AsideBudget:
    """Counted for each processor apart, so that one whose service hangs keeps no other from working."""

    def __init__(self, most: int = MAX_BYTES_ASIDE) -> None:
        self._most = most
        self._bytes: Counter[str] = Counter()
        self._held_back: dict[str, set[UUID]] = {}

    def take(self, processor: str, job_id: UUID, size: int) -> bool:
        """Whether a turn of `size` bytes may begin. It may while there is any room at all, so that nothing is too large; if
        not, the job is among those that `give_back` names."""
        if self._bytes[processor] >= self._most:
            self._held_back.setdefault(processor, set()).add(job_id)
            return False
        self._bytes[processor] += size
        return True

    def give_back(self, processor: str, size: int) -> set[UUID]:
        """The turn has ended; the jobs that were held back."""
        self._bytes[processor] -= size
        return self._held_back.pop(processor, set())
