"""Rejects of rows that a processor refused or could not process: where they are in the file, and
why they were rejected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from app.formats.base import MAX_REJECT_BYTES, Format, Reject, Rows, Span


def located(
    form: Format,
    span: Span,
    data: bytes,
    rejects: Sequence[Reject],
    own_numbers: dict[int, int] | None = None,
) -> list[Reject]:
    """Return the rejects with their places in the file: processors know only the numbers of rows.
    `data` is that of the span.

    `own_numbers`: of a correction, whose rows have other numbers in its own file, and are kept
    whole.
    """
    numbers = sorted({r.row_number for r in rejects if not r.byte_end})
    own = [own_numbers[n] for n in numbers] if own_numbers else numbers
    places = dict(zip(numbers, form.locate(data, span, own) if numbers else (), strict=True))
    placed = []
    for reject in rejects:
        if (place := places.get(reject.row_number)) is None:
            placed.append(reject)
            continue
        start, end, line = place
        raw = data[start - span.byte_start : end - span.byte_start]
        if not own_numbers:
            raw = raw[:MAX_REJECT_BYTES]
        placed.append(replace(reject, line=line, byte_start=start, byte_end=end, raw=raw))
    return placed


def failed_row(rows: Rows, error: Exception) -> Reject:
    message = f"{type(error).__name__}: {error}"[:500].replace("\0", "\\x00")
    return Reject(rows.numbers[0], 0, 0, 0, b"", "processing_failed", message, kind="failed")
