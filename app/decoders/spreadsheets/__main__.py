"""The process that reads a workbook: what a file does here, it does to nobody else.

Standard input is the file, standard output takes frames: a letter, the length of what follows, and
that. `D` are bytes of the text of a sheet, `N` ends it with a report before the next one, `R` ends the
last one, `E` says in their place why there is none.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
from typing import IO, Any

import msgspec

from app.decoders.spreadsheets.book import Sheet, chosen, open_book
from app.decoders.spreadsheets.errors import TooLarge, Unreadable

MOST_CPU_SECONDS = 3_600
"""Whoever started this ends it much earlier, unless something ended him."""


def main(watched: int, memory_bytes: int, wanted: str | None, *, takes_all: bool) -> None:
    threading.Thread(target=_end_with, args=(watched,), daemon=True).start()
    _limit(resource.RLIMIT_DATA, memory_bytes)
    _limit(resource.RLIMIT_CPU, MOST_CPU_SECONDS)
    _limit(resource.RLIMIT_CORE, 0)
    out = os.fdopen(os.dup(1), "wb")
    try:
        _read(os.fdopen(0, "rb"), out, wanted, takes_all=takes_all)
    except Unreadable as error:
        _send(out, b"E", json.dumps({"code": error.code, "detail": str(error)}).encode())
    except MemoryError:
        _send(out, b"E", json.dumps({"code": TooLarge.code, "detail": ""}).encode())


def _read(file: IO[bytes], out: IO[bytes], wanted: str | None, *, takes_all: bool) -> None:
    kind, book = open_book(file)
    names = chosen(book, wanted, takes_all=takes_all)
    for name in names:
        sheet = Sheet(book, name)
        for piece in sheet.pieces():
            _send(out, b"D", piece.encode("utf-8", "surrogateescape"))
        report = {
            "decoder": kind,
            "facts": sheet.report(),
            "places": msgspec.to_builtins(sheet.places),
        }
        _send(out, b"R" if name == names[-1] else b"N", msgspec.json.encode(report))


def _send(out: Any, letter: bytes, data: bytes) -> None:
    out.write(letter + len(data).to_bytes(8, "big") + data)
    out.flush()


def _limit(which: int, most: int) -> None:
    _, hard = resource.getrlimit(which)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(which, (most, hard))


def _end_with(watched: int) -> None:
    """When whoever started this process is gone, or has enough, nobody wants its result."""
    while os.read(watched, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    descriptor, memory, number, *sheet = sys.argv[1:]
    main(int(descriptor), int(memory), sheet[0] if sheet else None, takes_all=number == "all")
