"""The decoder of workbooks: takes the whole file, and has it read by a process with limits."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from app.decoders.base import Kind, Report, Wanted, begins_with
from app.decoders.places import places_from_json
from app.decoders.spool import Spool
from app.errors import (
    ContentMismatch,
    CorruptWorkbook,
    EncryptedWorkbook,
    RequestError,
    SheetNotFound,
    WorkbookTooLarge,
)

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = ("-m", "app.decoders.spreadsheets")
READ_BYTES = 256 << 10
HEAD_BYTES = 9
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
"""How the text of a sheet is read, whatever a user says of other files."""


class WorkbookDecoder:
    """Makes a file of each sheet, in the order of the workbook."""

    def __init__(self, spool: Spool | None = None) -> None:
        """`spool`: the file, if it is complete already."""
        self._spool = Spool() if spool is None else spool
        self._process: subprocess.Popen[bytes] | None = None
        self._reports: list[Report] = []
        self.part = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._spool.write(data)
        return iter(())

    def finish(self, wanted: Wanted) -> Iterator[bytes]:
        self._spool.rewind()
        watched, watching = os.pipe()
        try:
            command = [sys.executable, *PROGRAM, str(watched), str(wanted.memory_mb << 20)]
            command += ["all" if wanted.takes_parts else "one"]
            command += [] if wanted.sheet is None else [wanted.sheet]
            self._process = subprocess.Popen(
                command,
                stdin=self._spool.file,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=(watched,),
                env={"PYTHONPATH": str(ROOT)},  # no secrets for what reads files of others
            )
            os.close(watched)
            watched = -1
            yield from self._received(self._process, wanted)
        finally:
            for descriptor in (watched, watching):
                if descriptor >= 0:
                    os.close(descriptor)
            self.close()

    def reports(self) -> Sequence[Report]:
        return self._reports

    def close(self) -> None:
        """End the process if there is one, from any thread."""
        process = self._process
        if process is not None and process.poll() is None:
            process.kill()
        if process is not None:
            process.wait()

    # ------------------------------------------------------------------ what the process says

    def _received(self, process: subprocess.Popen[bytes], wanted: Wanted) -> Iterator[bytes]:
        assert process.stdout is not None
        with process.stdout as out:
            pipe = _Pipe(out.fileno(), wanted.seconds)
            while True:
                head = pipe.read(HEAD_BYTES)
                size = int.from_bytes(head[1:], "big")
                if len(head) == HEAD_BYTES and head[:1] == b"D":
                    yield from pipe.pieces(size)
                    continue
                message = pipe.read(size) if len(head) == HEAD_BYTES else b""
                if head[:1] != b"N" or len(message) < size:
                    break
                self._reports.append(_report(msgspec.json.decode(message)))
                self.part += 1
        if pipe.is_late:
            raise WorkbookTooLarge(
                f"The workbook gave no row for {wanted.seconds:g} seconds (SPREADSHEET_SECONDS)."
            )
        if head[:1] == b"R" and len(message) == size:
            self._reports.append(_report(msgspec.json.decode(message)))
            return
        if head[:1] == b"E" and len(message) == size:
            raise _refusal(msgspec.json.decode(message), wanted)
        raise WorkbookTooLarge(
            "The process that reads the workbook ended; the file may be damaged, or need more than"
            f" {wanted.memory_mb} MiB (SPREADSHEET_MEMORY_MB)."
        )


class _Pipe:
    """What a process writes, as long as it does write."""

    def __init__(self, descriptor: int, seconds: float) -> None:
        self._descriptor = descriptor
        self._seconds = seconds
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self.is_late = False

    def pieces(self, size: int) -> Iterator[bytes]:
        """So many bytes; fewer if no more come."""
        until = time.monotonic() + self._seconds
        while size:
            if not self._poll.poll(max(0.0, until - time.monotonic()) * 1000):
                self.is_late = True
                return
            piece = os.read(self._descriptor, min(size, READ_BYTES))
            if not piece:
                return
            size -= len(piece)
            yield piece
            until = time.monotonic() + self._seconds

    def read(self, size: int) -> bytes:
        return b"".join(self.pieces(size))


def _report(message: dict[str, Any]) -> Report:
    return Report(
        message["decoder"],
        message["facts"],
        places_from_json(message["places"]),
        TEXT_DIALECT,
    )


def _refusal(message: dict[str, str], wanted: Wanted) -> RequestError:
    detail = message["detail"]
    match message["code"]:
        case "encrypted":
            return EncryptedWorkbook()
        case "no_workbook":
            return ContentMismatch(f"{detail}.")
        case "no_sheet":
            return SheetNotFound(detail)
        case "too_large":
            return WorkbookTooLarge(
                f"The workbook needs more than {wanted.memory_mb} MiB (SPREADSHEET_MEMORY_MB)."
            )
        case _:
            return CorruptWorkbook(f"The workbook is damaged: {detail}.")


OLD_WORKBOOK = Kind(
    "workbook",
    begins_with(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
    codings=(),
    open=WorkbookDecoder,
    is_compression=False,
    is_heavy=True,
)
"""A workbook in the format of before 2007. Newer ones are zip archives."""
