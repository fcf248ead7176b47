"""Decoder of workbooks: takes the whole file, and has it read by a process with limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.decoders.base import Kind, Wanted, begins_with
from app.decoders.process import ProcessDecoder
from app.errors import (
    ContentMismatch,
    CorruptWorkbook,
    EncryptedWorkbook,
    RequestError,
    SheetNotFound,
    WorkbookTooLarge,
)

PROGRAM = ("-m", "app.decoders.spreadsheets")
TEXT_DIALECT = {
    "format": "csv",
    "delimiter": ",",
    "quote": '"',
    "escape": "",
    "newline": "crlf",
    "skip_initial_space": False,
    "encoding": "utf-8",
    "cell_faults": True,
}
"""Dialect of the text of a sheet, whatever a user declares for other files."""


class WorkbookDecoder(ProcessDecoder):
    WHAT = "workbook"

    def program(self, wanted: Wanted) -> tuple[Sequence[str], Sequence[str]]:
        sheet = [] if wanted.sheet is None else [wanted.sheet]
        return PROGRAM, ["all" if wanted.takes_parts else "one", *sheet]

    def too_large(self, detail: str) -> RequestError:
        return WorkbookTooLarge(detail)

    def refusal(self, code: str, detail: str) -> RequestError:
        match code:
            case "encrypted":
                return EncryptedWorkbook()
            case "no_workbook":
                return ContentMismatch(f"{detail}.")
            case "no_sheet":
                return SheetNotFound(detail)
            case _:
                return CorruptWorkbook(f"The workbook is damaged: {detail}.")

    def read_as(self, facts: dict[str, Any]) -> dict[str, Any]:
        return TEXT_DIALECT


OLD_WORKBOOK = Kind(
    "workbook",
    begins_with(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
    codings=(),
    open=WorkbookDecoder,
    is_compression=False,
    is_heavy=True,
)
"""A workbook in the format of before 2007. Newer ones are zip archives."""
