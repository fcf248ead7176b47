"""Texts of others on a terminal, and numbers for people."""

from __future__ import annotations

import unicodedata
from typing import Any

UNITS = ("B", "kB", "MB", "GB", "TB")
HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Control, format (directions, too), lone surrogates, line separators: what can play tricks on a terminal."""


def shown(text: str, width: int | None = None) -> str:
    """In one line, with what a terminal would obey written as an escape; cut to `width` characters."""
    safe = "".join(c if unicodedata.category(c) not in HIDDEN else c.encode("unicode_escape").decode() for c in text)
    return safe if width is None or len(safe) <= width else safe[: width - 3] + "..."


def size(count: float) -> str:
    """1234567 -> `1.2 MB`."""
    for unit in UNITS:
        if count < 1000 or unit == UNITS[-1]:
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"


def duration(seconds: float) -> str:
    """75 -> `1:15`."""
    whole = int(seconds + 0.5)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def rows_text(rows: dict[str, Any]) -> str:
    """The counts of a status, in words: those that are 0 are left out, but for the total."""
    parts = [f"{rows['total']:,} rows"]
    for name, word in (("invalid", "rejected"), ("failed", "failed"), ("unprocessed", "not processed")):
        if rows[name]:
            parts.append(f"{rows[name]:,} {word}")
    return ", ".join(parts)
