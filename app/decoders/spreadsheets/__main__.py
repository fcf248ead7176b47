"""The process that reads a workbook and sends the text of its sheets."""

from __future__ import annotations

import sys
from typing import IO

import msgspec

from app.decoders.inside import Send, decode
from app.decoders.spreadsheets.book import Sheet, chosen, open_book


def main(watched: int, memory_bytes: int, wanted: str | None, *, takes_all: bool) -> None:
    def read(file: IO[bytes], send: Send) -> None:
        kind, book = open_book(file)
        names = chosen(book, wanted, takes_all=takes_all)
        for name in names:
            sheet = Sheet(book, name)
            for piece in sheet.pieces():
                send(b"D", piece.encode("utf-8", "surrogateescape"))
            report = {
                "decoder": kind,
                "facts": sheet.report(),
                "places": msgspec.to_builtins(sheet.places),
            }
            send(b"R" if name == names[-1] else b"N", msgspec.json.encode(report))

    decode(watched, memory_bytes, read)


if __name__ == "__main__":
    descriptor, memory, number, *sheet = sys.argv[1:]
    main(int(descriptor), int(memory), sheet[0] if sheet else None, takes_all=number == "all")
