"""The process that reads an XML document and sends its records as lines of JSON."""

from __future__ import annotations

import sys
from typing import IO

import msgspec

from app.decoders.inside import Send, decode
from app.decoders.places import XmlPlaces
from app.decoders.xml.records import Document
from app.formats.json_paths import parse_path


def main(watched: int, memory_bytes: int, records: str, encoding: str) -> None:
    def read(file: IO[bytes], send: Send) -> None:
        document = Document(file, encoding or None)
        path = parse_path(records) if records else document.path()
        for lines in document.records(path):
            send(b"D", lines)
        text = "/" + "/".join(path)
        places = msgspec.to_builtins(XmlPlaces(text))
        report = {"decoder": "xml", "facts": {"records": text}, "places": places}
        send(b"R", msgspec.json.encode(report))

    decode(watched, memory_bytes, read)


if __name__ == "__main__":
    descriptor, memory, path, name = sys.argv[1:]
    main(int(descriptor), int(memory), path, name)
