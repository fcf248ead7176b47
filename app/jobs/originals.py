"""Bytes of a stored upload as they were received, to be read with other settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from app.db.rows import FileRow
from app.decoders.compression import COMPRESSIONS
from app.decoders.registry import plain_name
from app.decoders.text import encoded_back
from app.errors import StoredBytesGone

TEXT, JSON = "text", "json"
REVERSIBLE = {TEXT, JSON, *(kind.name for kind in COMPRESSIONS)}
"""Decoders whose input can be told from what is stored, but for a compression."""


def original(file: FileRow, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Return the received bytes without their compression, from the stored bytes in `pieces`.
    Raises StoredBytesGone if the received bytes cannot be told from the stored ones.
    """
    if not is_reversible(file):
        kind = next(name for name in _decoders(file) if name not in REVERSIBLE)
        raise StoredBytesGone(
            f"Only the rows of a file of the kind {kind} are stored, so it cannot be read again."
        )
    encoding = next((each["encoding"] for each in _decoding(file) if each["decoder"] == TEXT), None)
    return iter(pieces) if encoding is None else _encoded_back(pieces, encoding)


def is_reversible(file: FileRow) -> bool:
    """Return whether the received bytes can be told from the stored ones: not of a workbook."""
    return REVERSIBLE.issuperset(_decoders(file))


def plain_filename(file: FileRow) -> str:
    """Return the name of the file without the endings of its compression."""
    return plain_name(file.filename, _decoders(file))


def _decoders(file: FileRow) -> list[str]:
    return [report["decoder"] for report in _decoding(file)]


def _decoding(file: FileRow) -> list[dict[str, Any]]:
    return file.decoding or []


def _encoded_back(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    try:
        yield from encoded_back(pieces, encoding)
    except UnicodeError:
        raise StoredBytesGone(
            f"The received bytes cannot be restored from the stored text: it is not {encoding}."
        ) from None
