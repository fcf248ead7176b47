"""Untrusted texts on a terminal, and numbers for people."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

FINAL = ("completed", "completed_with_errors", "failed", "cancelled")
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Control and format characters, lone surrogates and line separators, which can manipulate a
terminal.
"""


def shown(text: str, width: int | None = None) -> str:
    """Return the text in one line, with control characters escaped, cut to `width` characters."""
    safe = "".join(
        c if unicodedata.category(c) not in HIDDEN else c.encode("unicode_escape").decode()
        for c in text
    )
    return safe if width is None or len(safe) <= width else safe[: width - 3] + "..."


def size(count: float) -> str:
    """Return `1.2 MiB` for 1234567: the limits in the settings are counted in 1,024 as well."""
    for unit in UNITS:
        if count < 1024 or unit == UNITS[-1]:
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"


def quantity(count: int, noun: str) -> str:
    """Return `1 row`, `1,234 rows`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def duration(seconds: float) -> str:
    """Return `1:15` for 75."""
    total_seconds = int(seconds + 0.5)
    minutes, seconds_left = divmod(total_seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds_left:02}" if hours else f"{minutes}:{seconds_left:02}"


def waits_for(status: Mapping[str, Any]) -> str:
    """Return what a job waits for, and since when."""
    since = status.get("waiting_since")  # older servers do not say it
    return shown(str(status["waiting_on"])) + (f", since {ago(since)}" if since else "")


def ago(moment: str, now: datetime | None = None) -> str:
    """Return the time since an ISO moment, such as `2 min ago`; a date if it is longer than a
    month.
    """
    then = datetime.fromisoformat(moment)
    seconds = ((now or datetime.now(UTC)) - then).total_seconds()
    for limit, unit, word in (
        (60, 1, ""),
        (3_600, 60, "min"),
        (86_400, 3_600, "h"),
        (30 * 86_400, 86_400, "d"),
    ):
        if seconds < limit:
            return f"{int(seconds // unit)} {word} ago" if word else "just now"
    return then.date().isoformat()


def rows_text(job: dict[str, Any]) -> str:
    """Return the rows of a job by outcome. Zeros are left out, except for the loaded ones."""
    counts = job["counts"]
    missing = [name for name in ("rejected", "failed", "not_processed") if counts[name]]
    parts = [quantity(sum(counts.values()), "row")]
    parts += [f"{counts[name]:,} {name.replace('_', ' ')}" for name in (*missing, "loaded")]
    if job["status"] in FINAL and not job["split_complete"]:
        parts.append("the rest of the file was not read")
    return ", ".join(parts)


def state_text(job: dict[str, Any]) -> str:
    """Return the status of a job, or `incomplete` if it ended without processing all rows."""
    status, counts = str(job["status"]), job["counts"]
    is_whole = counts["rejected"] and not (
        counts["failed"] or counts["not_processed"] or job["error"]
    )
    return "incomplete" if status == "completed_with_errors" and not is_whole else status
