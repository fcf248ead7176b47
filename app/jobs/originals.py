"""Bytes of a stored upload as they were received, to be read with other settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from app.db.rows import FileRow
from app.decoders.registry import plain_name
from app.decoders.text import encoded_back
from app.errors import StoredBytesGone

TEXT = "text"


def original(file: FileRow, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Return the received bytes without their compression, from the stored bytes in `pieces`.
    Raises StoredBytesGone if the received bytes cannot be told from the stored ones.
    """
    if is_workbook(file):
        raise StoredBytesGone(
            "Of a workbook only the rows of its sheets are stored, so it cannot be read again."
        )
    encoding = next((each["encoding"] for each in _decoding(file) if each["decoder"] == TEXT), None)
    return iter(pieces) if encoding is None else _encoded_back(pieces, encoding)


def plain_filename(file: FileRow) -> str:
    """Return the name of the file without the endings of its compression."""
    return plain_name(file.filename, [each["decoder"] for each in _decoding(file)])


def is_workbook(file: FileRow) -> bool:
    return any("sheet" in each for each in _decoding(file))


def _decoding(file: FileRow) -> list[dict[str, str]]:
    return file.decoding or []


def _encoded_back(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    try:
        yield from encoded_back(pieces, encoding)
    except UnicodeError:
        raise StoredBytesGone(
            f"The received bytes cannot be restored from the stored text: it is not {encoding}."
        ) from None
