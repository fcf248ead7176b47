"""Memory of a computing process: how much it has, and how much it may have at most. Only Linux
reports the first.
"""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
RESERVED_BYTES = 3 << 30
"""Bytes that native libraries may reserve and never touch: stacks of threads, arenas of allocators.
"""


def private_bytes(pid: int) -> int:
    """Return the private memory of the process in bytes, without pages backed by files. 0 if the
    process has ended, or the system does not report it.
    """
    try:
        resident, shared = Path(f"/proc/{pid}/statm").read_text().split()[1:3]
    except (OSError, ValueError):
        return 0
    return (int(resident) - int(shared)) * PAGE_BYTES


def limit(most_bytes: int) -> None:
    """Limit the memory of this process for good. The process that started it reads `private_bytes`
    now and then. A faster growth gets a MemoryError here, before the kernel must choose a process
    to end.
    """
    most = most_bytes + RESERVED_BYTES
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
