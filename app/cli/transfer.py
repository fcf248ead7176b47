"""Sends the bytes of a file to the server by any protocol, with one function: `send`."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, BinaryIO
from uuid import uuid4

from app.cli.client import Client, Unreachable
from app.cli.common import CliError, Exit
from app.cli.text import shown

UPLOAD = "/upload"
PIECE_BYTES = 1 << 18
RESUMABLE_FROM = 64 << 20
"""Size in bytes from which a broken plain upload would lose much."""
TRIES = 4
PAUSE_SECONDS = 2.0

Sent = Callable[[int], None]
"""Called with the number of bytes sent so far."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file to upload."""

    name: str
    path: Path | None
    """None for standard input."""
    size: int | None
    """Size in bytes. None if it is unknown; the source can be read only once then."""

    def open(self) -> BinaryIO:
        return sys.stdin.buffer if self.path is None else self.path.open("rb")


class Stopped(Exception):
    """The user stopped the upload."""


def source(argument: str, name: str | None) -> Source:
    """Return the file of a command line, `-` for standard input; raises CliError if it cannot be
    read.
    """
    if argument == "-":
        return Source(name or "stdin", None, None)
    path = Path(argument)
    try:
        size = path.stat().st_size if path.is_file() else None
        # A pipe: it can be read only once, and opening it waits for a writer.
        if not path.is_fifo():
            path.open("rb").close()
    except OSError as error:
        raise CliError(f"{shown(argument)} cannot be read: {error.strerror}.", Exit.USAGE) from None
    return Source(name or path.name, path, size)


def send(
    client: Client,
    address: str,
    source: Source,
    params: dict[str, Any],
    sent: Sent,
    stop: Event,
    *,
    media_type: str = "application/octet-stream",
    resumable: bool | None = None,
    notify: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Send the file and return the server's answer: `file_id`, `size_bytes`, `sha256` and more.

    With `resumable`, the tus protocol is used, so that a broken connection loses nothing that was
    sent; with None, for large files if the server supports it. Otherwise the file is the body of a
    POST. A broken POST is sent again from the beginning with the same Idempotency-Key, so that
    nothing is stored twice. A source that can be read only once cannot be sent again. Raises
    CliError, or Stopped once `stop` is set.
    """
    is_large = source.size is not None and source.size >= RESUMABLE_FROM
    if (
        address == UPLOAD
        and source.size is not None
        and (is_large if resumable is None else resumable)
    ):
        from app.cli import resuming

        upload = resuming.begin(client, source, params, is_needed=resumable is True)
        if upload is not None:
            return upload.run(sent, stop, notify)
    key = str(uuid4())
    for tries_left in reversed(range(TRIES)):
        try:
            return _post(
                client,
                address,
                source,
                params,
                sent,
                stop,
                {"Content-Type": media_type, "Idempotency-Key": key},
            )
        except Unreachable as error:
            if (
                not tries_left
                or source.size is None
                or (error.is_absent and tries_left == TRIES - 1)
            ):
                raise
            notify(f"{error.message.splitlines()[0]} Sending {shown(source.name)} again.")
            if stop.wait(PAUSE_SECONDS):
                raise Stopped from None
    raise AssertionError("unreachable")


def _post(
    client: Client,
    address: str,
    source: Source,
    params: dict[str, Any],
    sent: Sent,
    stop: Event,
    headers: dict[str, str],
) -> dict[str, Any]:
    digest = hashlib.sha256()
    count = 0

    def pieces() -> Iterator[bytes]:
        nonlocal count
        with source.open() as file:
            while piece := file.read(PIECE_BYTES):
                if stop.is_set():
                    raise Stopped
                digest.update(piece)
                yield piece
                count += len(piece)
                sent(count)

    if source.size is not None:
        headers = {**headers, "Content-Length": str(source.size)}
    body = client.send("POST", address, params=params, content=pieces(), headers=headers).json()
    check(source, body, digest.hexdigest())
    return dict(body)


def check(source: Source, body: dict[str, Any], sha256: str) -> None:
    """Raises CliError if the server received other bytes than were read."""
    if body.get("sha256") not in (None, sha256):
        raise CliError(
            f"The server received other bytes of {shown(source.name)} than were sent "
            f"({body.get('file_id')}). Did the file change during the upload?",
            Exit.REFUSED,
        )


def speedometer() -> Callable[[int], float]:
    """Return a function from a count of bytes to bytes a second since now."""
    began = time.monotonic()
    return lambda count: count / max(time.monotonic() - began, 1e-3)
