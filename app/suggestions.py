"""Suggests the nearest known name for one that does not exist."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

LIKENESS = 0.5
MAX_SHOWN = 60


def did_you_mean(names: str | Iterable[str], known: Iterable[str]) -> str:
    """Return ` Did you mean ...?` with the known name that resembles one of `names` most, to follow
    a sentence; empty if none does. Case and surrounding blanks do not matter.
    """
    by_folded = {name.strip().casefold(): name for name in reversed(list(known))}
    for name in [names] if isinstance(names, str) else names:
        close = get_close_matches(name.strip().casefold(), list(by_folded), 1, LIKENESS)
        if close:
            return f" Did you mean `{by_folded[close[0]][:MAX_SHOWN]}`?"
    return ""
