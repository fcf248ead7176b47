"""Limit of work without a slot: chunks of processors that wait for services hold no slot, but they
hold memory.
"""

from __future__ import annotations

from collections import Counter
from uuid import UUID

MAX_DETACHED_BYTES = 12 << 20
"""Limit for the chunks of all jobs of a processor, in bytes of the file. A chunk in work takes
several times its bytes: as cells, for the processes, as pages.
"""


class DetachedBudget:
    """Bytes of detached chunks, counted by processor, so that one whose service hangs stops no
    other.
    """

    def __init__(self, most_bytes: int = MAX_DETACHED_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes: Counter[str] = Counter()
        self._held_back: dict[str, set[UUID]] = {}

    def take(self, processor: str, job_id: UUID, size: int) -> bool:
        """Return whether a turn of `size` bytes may begin. It may if any budget is left, so that no
        chunk is too large. A job whose turn may not begin is returned by a later `give_back`.
        """
        if self._bytes[processor] >= self._most_bytes:
            self._held_back.setdefault(processor, set()).add(job_id)
            return False
        self._bytes[processor] += size
        return True

    def give_back(self, processor: str, size: int) -> set[UUID]:
        """End a turn; return the jobs that were held back."""
        self._bytes[processor] -= size
        return self._held_back.pop(processor, set())
