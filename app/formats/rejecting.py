"""Rejects of rows that a processor refused, or could not do: where they stand in the file, and
why.
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
    """Processors know the numbers of the rows that they reject, not where in the file they are.
    `data` is that of the span.

    `own_numbers`: of a correction, whose rows have other numbers in its own file, and are kept
    whole.
    """
    numbers = sorted({r.row_number for r in rejects if not r.byte_end})
    own = [own_numbers[n] for n in numbers] if own_numbers else numbers
    places = dict(zip(numbers, form.locate(data, span, own) if numbers else (), strict=True))
    found = []
    for reject in rejects:
        if (place := places.get(reject.row_number)) is None:
            found.append(reject)
            continue
        start, end, line = place
        raw = data[start - span.byte_start : end - span.byte_start]
        if not own_numbers:
            raw = raw[:MAX_REJECT_BYTES]
        found.append(replace(reject, line=line, byte_start=start, byte_end=end, raw=raw))
    return found


def failed_row(rows: Rows, error: Exception) -> Reject:
    message = f"{type(error).__name__}: {error}"[:500].replace("\0", "\\x00")
    return Reject(rows.numbers[0], 0, 0, 0, b"", "processing_failed", message, kind="failed")
