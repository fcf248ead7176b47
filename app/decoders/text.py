"""Decoder of text in encodings whose bytes cannot be cut into rows: several bytes a character, or
states. The text is stored as UTF-8.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from typing import Any

from app.decoders.base import Kind, Report, Wanted
from app.decoders.likely import likely_encoding
from app.formats.encodings import UNDECODED, decoded_on_arrival

PIECE_BYTES = 256 << 10
MARKED_LENGTH = 3
"""Characters that stand for a byte that is no text: the mark and two digits."""
ERRORS = "granula.undecoded"


def _mark(error: UnicodeError) -> tuple[str, int]:
    """Replace each invalid byte by a mark and its hexadecimal digits, so that its row is rejected."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    wrong = error.object[error.start : error.end]
    return "".join(f"{UNDECODED}{byte:02x}" for byte in wrong), error.end


codecs.register_error(ERRORS, _mark)


class TextDecoder:
    part = 0

    def __init__(self, encoding: str, confidence: float | None = None) -> None:
        """`confidence` is that of a detected encoding, from 0 to 1; None if it is declared."""
        self._encoding = encoding
        self._confidence = confidence
        self._decoder = codecs.getincrementaldecoder(encoding)(ERRORS)
        self._is_begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), PIECE_BYTES):
            yield self._encoded(self._decoder.decode(data[start : start + PIECE_BYTES]))

    def finish(self, wanted: Wanted) -> Iterator[bytes]:
        yield self._encoded(self._decoder.decode(b"", True))

    def _encoded(self, text: str) -> bytes:
        """Return the text in UTF-8, without byte order marks at the beginning of the file."""
        if text and not self._is_begun:
            text = text.lstrip("\ufeff")
            self._is_begun = bool(text)
        return text.encode("utf-8", "surrogateescape")

    def reports(self) -> list[Report]:
        declared = {"encoding": "utf-8", "decoded_from": self._encoding}
        facts: dict[str, Any] = {"encoding": self._encoding}
        if self._confidence is not None:
            facts["confidence"] = self._confidence
        return [Report("text", facts, declared=declared)]

    def close(self) -> None: ...


def encoded_back(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Yield text as it was received, from the UTF-8 that a TextDecoder made of it. Raises
    UnicodeError for a character that the encoding does not have.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    encoder = codecs.getincrementalencoder(encoding)()
    if encoding.startswith("utf-32"):
        yield encoder.encode("\ufeff")
    rest = ""
    for piece in pieces:
        text = rest + decoder.decode(piece)
        mark = text.rfind(UNDECODED, max(0, len(text) - MARKED_LENGTH + 1))
        end = len(text) if mark < 0 else mark
        rest = text[end:]
        yield _with_marked_bytes(text[:end], encoder)
    yield _with_marked_bytes(rest, encoder)
    yield encoder.encode("", True)


def _with_marked_bytes(text: str, encoder: codecs.IncrementalEncoder) -> bytes:
    """Encode text in which marks stand for bytes that were no text."""
    first, *others = text.split(UNDECODED)
    parts = [encoder.encode(first)]
    for other in others:
        parts.append(bytes.fromhex(other[:2]))
        parts.append(encoder.encode(other[2:]))
    return b"".join(parts)


def text_kind(beginning: bytes, declared: str | None, *, or_likely: bool) -> Kind | None:
    """Return how text that begins so is decoded; None if it is stored as it is. With `or_likely`,
    text that is not UTF-8 and has no declared encoding is decoded from its likely encoding. Raises
    UnsupportedEncoding.
    """
    encoding, confidence = decoded_on_arrival(beginning, declared), None
    if encoding is None and declared is None and or_likely and b"\0" not in beginning:
        encoding, confidence = likely_encoding(beginning) or (None, None)
    if encoding is None:
        return None
    return Kind(
        "text",
        recognises=lambda _: True,
        codings=(),
        open=lambda: TextDecoder(encoding, confidence),
        is_compression=False,
    )
