"""Resumable uploads: a client of tus 1.0 (https://tus.io/protocols/resumable-upload)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from http import HTTPStatus
from threading import Event
from typing import Any

from app.cli.client import Client, Unreachable
from app.cli.common import CliError
from app.cli.text import shown
from app.cli.transfer import PAUSE_SECONDS, PIECE_BYTES, TRIES, Sent, Source, Stopped, check

VERSION = {"Tus-Resumable": "1.0.0"}
BYTES = {"Content-Type": "application/offset+octet-stream"}
UPLOADS = "/uploads"
NOT_THERE = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)
OUT_OF_STEP = ("offset_mismatch", "upload_locked")
"""Errors while the server still reads an earlier request of ours whose connection broke. The remedy
is to ask for the offset.
"""


def begin(
    client: Client, source: Source, params: dict[str, Any], *, is_needed: bool
) -> Upload | None:
    """Create an upload; return None if the server does not support the protocol and it is not
    `is_needed`.
    """
    try:
        answer = client.send(
            "POST", UPLOADS, params=params, headers=VERSION | {"Upload-Length": str(source.size)}
        )
    except CliError as error:
        if is_needed or error.problem is None or error.problem.get("status") not in NOT_THERE:
            raise
        return None
    return Upload(
        client, source, f"{UPLOADS}/{answer.headers['location'].rpartition('/')[2]}", answer.headers
    )


class Upload:
    def __init__(self, client: Client, source: Source, address: str, headers: Any) -> None:
        self._client = client
        self._source = source
        self._address = address
        self._digest = hashlib.sha256()
        self._hashed = 0
        # an empty file is complete already
        self._file_id: str | None = headers.get("granula-file-id")

    def run(self, sent: Sent, stop: Event, notify: Callable[[str], None]) -> dict[str, Any]:
        """Send all bytes, resuming after each break as long as some arrive in between; return the
        server's final answer. An upload that is given up is removed from the server.
        """
        offset, tries_left = 0, TRIES
        try:
            while self._file_id is None:
                try:
                    self._send_from(offset, sent, stop)
                except CliError as error:
                    if not _may_go_on(error) or tries_left == 0:
                        raise
                    notify(f"{error.message.splitlines()[0]} Resuming {shown(self._source.name)}.")
                    if stop.wait(PAUSE_SECONDS):
                        raise Stopped from None
                    before, offset = offset, self._stands_at(offset)
                    tries_left = TRIES if offset > before else tries_left - 1
        except Stopped:
            self._remove()
            raise
        body = dict(self._client.get(f"/status/{self._file_id}"))
        check(self._source, body, self._digest.hexdigest())
        return body

    def _send_from(self, offset: int, sent: Sent, stop: Event) -> None:
        headers = (
            VERSION
            | BYTES
            | {
                "Upload-Offset": str(offset),
                "Content-Length": str((self._source.size or 0) - offset),
            }
        )
        pieces = self._pieces(offset, sent, stop)
        answer = self._client.send("PATCH", self._address, content=pieces, headers=headers)
        self._file_id = answer.headers.get("granula-file-id") or self._client.get(
            self._address
        ).get("file_id")

    def _pieces(self, offset: int, sent: Sent, stop: Event) -> Iterator[bytes]:
        with self._source.open() as file:
            file.seek(offset)
            while piece := file.read(PIECE_BYTES):
                if stop.is_set():
                    raise Stopped
                # bytes sent again were hashed before
                if (new := offset + len(piece) - self._hashed) > 0:
                    self._digest.update(piece[-new:])
                    self._hashed += new
                yield piece
                offset += len(piece)
                sent(offset)

    def _stands_at(self, before: int) -> int:
        """Return the offset to resume at; the last known one while the server does not respond."""
        try:
            answer = self._client.send("HEAD", self._address, headers=VERSION)
        except Unreachable:
            return before
        self._file_id = answer.headers.get("granula-file-id")
        return int(answer.headers["upload-offset"])

    def _remove(self) -> None:
        try:
            self._client.send("DELETE", self._address, headers=VERSION)
        except CliError:
            pass  # it expires on the server


def _may_go_on(error: CliError) -> bool:
    return isinstance(error, Unreachable) or (error.problem or {}).get("code") in OUT_OF_STEP
