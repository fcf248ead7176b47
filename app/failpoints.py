"""Named points where a test can make the process die, wait or raise. Unset, each costs one
dictionary look-up.

`GRANULA_FAIL="chunk.after_write=kill@3;upload.before_rename=raise"` kills the process (SIGKILL, no
clean-up) the third time a chunk has written its rows, and raises OSError the first time an upload
is about to be renamed. Actions: `kill`, `raise`, `transient`; `@N` is the occurrence (default 1),
`@N+` means from the N-th on.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

from app.errors import TransientError

NAMES = frozenset(
    {
        "upload.first_byte",
        "upload.part_written",
        "upload.before_fsync",
        "upload.before_rename",
        "upload.after_rename",
        "upload.before_commit",
        "upload.after_commit",
        "source.received",
        "source.before_commit",
        "watch.seen",
        "watch.before_commit",
        "watch.after_commit",
        "tus.created",
        "tus.piece_written",
        "tus.appended",
        "tus.settled",
        "split.begin",
        "split.before_commit",
        "split.after_commit",
        "chunk.claimed",
        "chunk.read",
        "chunk.before_write",
        "chunk.after_write",
        "chunk.after_commit",
        "correction.before_commit",
        "correction.after_commit",
        "correction.rejects_removed",
        "correction.results_written",
        "ml.after_response",
        "job.before_finish",
        "job.after_finish",
        "output.part_written",
        "output.settled",
        "output.written",
        "output.renamed",
        "cancel.before_commit",
        "delete.rows",
        "retention.hidden",
        "retention.step",
        "delete.disk",
        "undo.before_commit",
        "undo.after_commit",
        "webhook.claimed",
        "webhook.sent",
        "load.staged",
        "load.settled",
        "load.published",
        "load.committed",
        "load.undone",
        "load.rejected",
        "connection.before_commit",
        "connection.committed",
        "vectors.encoded",
        "vectors.before_commit",
        "vectors.after_commit",
    }
)


@dataclass(slots=True)
class _Armed:
    action: str
    occurrence: int
    repeats: bool
    seen: int = 0


_armed: dict[str, _Armed] = {}


def arm(spec: str) -> None:
    """Replace all armed points by those of `spec`; raises ValueError for an unknown name or
    action.
    """
    _armed.clear()
    for part in filter(None, spec.split(";")):
        name, _, what = part.partition("=")
        action, _, occurrence = what.partition("@")
        if name not in NAMES or action not in ("kill", "raise", "transient"):
            raise ValueError(f"unknown fail-point {part!r}")
        _armed[name] = _Armed(action, int(occurrence.rstrip("+") or 1), occurrence.endswith("+"))


def die() -> None:
    """End the process like SIGKILL: no cleanup, no message. Tests that run it in their own process
    replace this.
    """
    os.kill(os.getpid(), signal.SIGKILL)


def hit(name: str) -> None:
    """Pass the point `name`."""
    point = _armed.get(name)
    if point is None:
        return
    point.seen += 1
    if point.seen == point.occurrence or (point.repeats and point.seen > point.occurrence):
        if point.action == "kill":
            die()
        if point.action == "transient":
            raise TransientError(f"fail-point {name}")
        raise OSError(f"fail-point {name}")
