"""How many files and connections this process may have open."""

from __future__ import annotations

import resource

MOST = 1 << 20
"""Some systems allow a thousand times as many; a few libraries walk through all of them."""


def raise_limit() -> None:
    """From the soft limit, often 1024 for the sake of ancient programs, to the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def available() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else soft
