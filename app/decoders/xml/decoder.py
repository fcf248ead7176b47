"""The decoder of XML documents: takes the whole file, and has it read by a process with limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.decoders.base import Kind, Wanted
from app.decoders.process import ProcessDecoder
from app.errors import (
    ContentMismatch,
    CorruptXml,
    InvalidParameter,
    RecordsNotFound,
    RequestError,
    XmlTooLarge,
)
from app.formats.json_paths import ROOT, parse_path
from app.formats.xml_beginning import xml_in

PROGRAM = ("-m", "app.decoders.xml")
MAX_DETAIL = 2_000
LINES_DIALECT = {
    "format": "jsonl",
    "encoding": "utf-8",
    "newline": None,
    "records": None,
    "located": None,
}
"""How the lines of a document are read, whatever a user says of other files."""


class XmlDecoder(ProcessDecoder):
    WHAT = "document"

    def program(self, wanted: Wanted) -> tuple[Sequence[str], Sequence[str]]:
        if wanted.record_key is not None:
            raise InvalidParameter("`record_key` is for JSON, but this is XML.")
        records = wanted.records or ""
        if records and not all(parse_path(records)):
            raise InvalidParameter("`records` has an empty name; write it as /orders/order.")
        if records and not parse_path(records):
            raise InvalidParameter(f"`records={ROOT}` is for JSON; write it as /orders/order.")
        return PROGRAM, [records, wanted.encoding or ""]

    def too_large(self, detail: str) -> RequestError:
        return XmlTooLarge(detail)

    def refusal(self, code: str, detail: str) -> RequestError:
        detail = detail[:MAX_DETAIL]
        match code:
            case "no_xml":
                return ContentMismatch(f"{detail}.")
            case "no_records":
                return RecordsNotFound(f"{detail}.")
            case "beyond":
                return XmlTooLarge(f"{detail}.")
            case _:
                return CorruptXml(f"The XML document is damaged: {detail}.")

    def read_as(self, facts: dict[str, Any]) -> dict[str, Any]:
        return LINES_DIALECT


XML = Kind(
    "xml",
    recognises=xml_in,
    codings=(),
    open=XmlDecoder,
    is_compression=False,
    is_heavy=True,
)
