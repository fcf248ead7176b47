"""The limit of files and connections that this process may have open."""

from __future__ import annotations

import resource

MOST = 1 << 20
"""Some systems allow a thousand times as many, and a few libraries iterate over all of them."""


def raise_limit() -> None:
    """Raise the soft limit, which is often 1024, to the hard limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def available() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else soft
