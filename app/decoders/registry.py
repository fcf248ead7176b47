"""Registry of the kinds of bytes. A new kind is a module with its decoder, and an entry in KINDS."""

from __future__ import annotations

from collections.abc import Sequence

from app.decoders.archives.decoder import ARCHIVES
from app.decoders.base import Kind
from app.decoders.columnar.decoder import COLUMNAR
from app.decoders.compression import COMPRESSIONS
from app.decoders.spreadsheets.workbook import OLD_WORKBOOK

KINDS = (*COMPRESSIONS, *COLUMNAR, OLD_WORKBOOK, *ARCHIVES)
"""All kinds except plain bytes, which are canonical as they are."""


def by_content(beginning: bytes) -> Kind | None:
    """Return the kind of a file that begins so; None if its bytes are taken as they are."""
    return next((kind for kind in KINDS if kind.recognises(beginning)), None)


def by_coding(coding: str) -> Kind | None:
    """Return the kind of a Content-Encoding; None if none has this name."""
    return next((kind for kind in KINDS if coding in kind.codings), None)


def plain_name(filename: str, decoders: Sequence[str]) -> str:
    """Return the name of a file once these decoders have read it: `data.csv` of `data.csv.zst`."""
    for kind in KINDS:
        if kind.name in decoders:
            ending = next((end for end in kind.endings if filename.lower().endswith(end)), "")
            filename = filename[: len(filename) - len(ending)]
    return filename
