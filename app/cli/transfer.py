"""How the bytes of a file get to the server. One function, whatever the protocol: `send`."""

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
"""Bytes from which on a plain upload would lose much with its connection."""
TRIES = 4
PAUSE_SECONDS = 2.0

Sent = Callable[[int], None]
"""Called with the number of bytes that were sent so far."""


@dataclass(frozen=True, slots=True)
class Source:
    """What is to be uploaded."""

    name: str
    path: Path | None
    """None: standard input."""
    size: int | None
    """Bytes; None: it is not known, and what was read cannot be read again."""

    def open(self) -> BinaryIO:
        return sys.stdin.buffer if self.path is None else self.path.open("rb")


class Stopped(Exception):
    """The user wants no more of it."""


def source(argument: str, name: str | None) -> Source:
    """The file of a command line, `-` for standard input; raises CliError if it cannot be read."""
    if argument == "-":
        return Source(name or "stdin", None, None)
    path = Path(argument)
    try:
        size = path.stat().st_size if path.is_file() else None
        # whose bytes can be read only once, and who opens it waits for a writer
        if not path.is_fifo():
            path.open("rb").close()
    except OSError as error:
        raise CliError(f"{shown(argument)} cannot be read: {error.strerror}.", Exit.USAGE) from None
    return Source(name or path.name, path, size)


def send(
    client: Client,
    address: str,
    given: Source,
    params: dict[str, Any],
    sent: Sent,
    stop: Event,
    *,
    media_type: str = "application/octet-stream",
    resumable: bool | None = None,
    told: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Send the file and return what the server says of it: `file_id`, `size_bytes`, `sha256` and
    more.

    `resumable`: by the tus protocol, so that a connection that breaks costs nothing of what was
    sent; None: large files, if the server knows it. Else as the body of a POST: a connection that
    breaks is tried again from the beginning, under the same Idempotency-Key, so that nothing is
    there twice. What can be read only once cannot be sent again. Raises CliError, or Stopped once
    `stop` is set.
    """
    is_large = given.size is not None and given.size >= RESUMABLE_FROM
    if (
        address == UPLOAD
        and given.size is not None
        and (is_large if resumable is None else resumable)
    ):
        from app.cli import resuming

        upload = resuming.begin(client, given, params, is_needed=resumable is True)
        if upload is not None:
            return upload.run(sent, stop, told)
    key = str(uuid4())
    for left in reversed(range(TRIES)):
        try:
            return _post(
                client,
                address,
                given,
                params,
                sent,
                stop,
                {"Content-Type": media_type, "Idempotency-Key": key},
            )
        except Unreachable as error:
            if not left or given.size is None or (error.is_absent and left == TRIES - 1):
                raise
            told(f"{error.message.splitlines()[0]} Sending {shown(given.name)} again.")
            if stop.wait(PAUSE_SECONDS):
                raise Stopped from None
    raise AssertionError("unreachable")


def _post(
    client: Client,
    address: str,
    given: Source,
    params: dict[str, Any],
    sent: Sent,
    stop: Event,
    headers: dict[str, str],
) -> dict[str, Any]:
    digest = hashlib.sha256()
    count = 0

    def pieces() -> Iterator[bytes]:
        nonlocal count
        with given.open() as file:
            while piece := file.read(PIECE_BYTES):
                if stop.is_set():
                    raise Stopped
                digest.update(piece)
                yield piece
                count += len(piece)
                sent(count)

    if given.size is not None:
        headers = {**headers, "Content-Length": str(given.size)}
    body = client.send("POST", address, params=params, content=pieces(), headers=headers).json()
    check(given, body, digest.hexdigest())
    return dict(body)


def check(given: Source, body: dict[str, Any], sha256: str) -> None:
    """Raises CliError if the server has other bytes than those that were read."""
    if body.get("sha256") not in (None, sha256):
        raise CliError(
            f"The server received other bytes of {shown(given.name)} than were sent, as"
            f" {body.get('file_id')}. Did the file change meanwhile?",
            Exit.REFUSED,
        )


def speedometer() -> Callable[[int], float]:
    """Bytes a second since now, for a count of bytes."""
    began = time.monotonic()
    return lambda count: count / max(time.monotonic() - began, 1e-3)
