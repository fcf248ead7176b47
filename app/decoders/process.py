"""Decoders that have a file read by a process with limits, which can harm nothing else. inside.py is the
other end of it.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from app.decoders.base import Report, Wanted
from app.decoders.places import places_from_json
from app.decoders.spool import Spool
from app.errors import RequestError

ROOT = Path(__file__).resolve().parents[2]
READ_BYTES = 256 << 10
HEAD_BYTES = 9


class ProcessDecoder(ABC):
    """Decoder that keeps the whole file in a temporary one, and then starts a process to read it."""

    WHAT = "file"
    """Noun for messages."""
    ENVIRONMENT: ClassVar[Mapping[str, str]] = {}
    """Variables of the process."""

    def __init__(self, spool: Spool | None = None) -> None:
        """`spool`: the file, if it is complete already."""
        self._spool = Spool() if spool is None else spool
        self._process: subprocess.Popen[bytes] | None = None
        self._reports: list[Report] = []
        self.part = 0

    @abstractmethod
    def program(self, wanted: Wanted) -> tuple[Sequence[str], Sequence[str]]:
        """Return the arguments of Python before and after those of every such process: the number
        of a descriptor and the limit of memory in bytes. Raises a RequestError.
        """

    @abstractmethod
    def too_large(self, detail: str) -> RequestError:
        """Return the error of a file that needs too much memory or time."""

    @abstractmethod
    def refusal(self, code: str, detail: str) -> RequestError:
        """Return the error for a reason of the process, with its code."""

    @abstractmethod
    def read_as(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Return how canonical bytes with these facts are read: fields of Declared."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._spool.write(data)
        return iter(())

    def finish(self, wanted: Wanted) -> Iterator[bytes]:
        before, behind = self.program(wanted)
        self._spool.rewind()
        watched, watching = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, *before, str(watched), str(wanted.memory_mb << 20), *behind],
                stdin=self._spool.file,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=(watched,),
                # no secrets for what reads files of others
                env={"PYTHONPATH": str(ROOT), **self.ENVIRONMENT},
            )
            os.close(watched)
            watched = -1
            yield from self._received(self._process, wanted)
        finally:
            for descriptor in (watched, watching):
                if descriptor >= 0:
                    os.close(descriptor)
            self.close()

    def reports(self) -> list[Report]:
        return self._reports

    def close(self) -> None:
        """End the process if there is one; callable from any thread."""
        process = self._process
        if process is not None and process.poll() is None:
            process.kill()
        if process is not None:
            process.wait()

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
                self._reports.append(self._report(message))
                self.part += 1
        if pipe.is_late:
            raise self.too_large(
                f"The {self.WHAT} gave no row for {wanted.seconds:g} seconds (SPREADSHEET_SECONDS)."
            )
        if head[:1] == b"R" and len(message) == size:
            self._reports.append(self._report(message))
            return
        if head[:1] != b"E" or len(message) < size:
            raise self.too_large(
                f"The process that reads the {self.WHAT} ended; the file may be damaged, or need"
                f" more than {wanted.memory_mb} MiB (SPREADSHEET_MEMORY_MB)."
            )
        reason = msgspec.json.decode(message)
        if reason["code"] == "too_large":
            raise self.too_large(
                f"The {self.WHAT} needs more than {wanted.memory_mb} MiB (SPREADSHEET_MEMORY_MB)."
            )
        raise self.refusal(reason["code"], reason["detail"])

    def _report(self, message: bytes) -> Report:
        report = msgspec.json.decode(message)
        facts = report["facts"]
        places = places_from_json(report["places"])
        return Report(report["decoder"], facts, places, self.read_as(facts))


class _Pipe:
    """Output of a process, with a limit for the time without any."""

    def __init__(self, descriptor: int, seconds: float) -> None:
        self._descriptor = descriptor
        self._seconds = seconds
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self.is_late = False

    def pieces(self, size: int) -> Iterator[bytes]:
        """Yield so many bytes; fewer if no more come."""
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
