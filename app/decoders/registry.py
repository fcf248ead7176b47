"""The ways in which bytes come. To add one is a module with its decoder, and a line in KINDS."""

from __future__ import annotations

from app.decoders.base import Kind
from app.decoders.gzip import Gunzip

KINDS = (Kind("gzip", magic=(b"\x1f\x8b",), codings=("gzip", "x-gzip"), open=Gunzip),)
"""Besides plain bytes, which are canonical as they are."""


def by_content(beginning: bytes) -> Kind | None:
    """The kind of a file that begins so; None if its bytes are taken as they are."""
    return next((kind for kind in KINDS if beginning.startswith(kind.magic)), None)


def by_coding(coding: str) -> Kind | None:
    """The kind of a Content-Encoding; None if there is none of this name."""
    return next((kind for kind in KINDS if coding in kind.codings), None)
