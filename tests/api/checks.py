"""Checks of API responses, and a raw TCP connection for requests that HTTP clients refuse to
send.
"""

from __future__ import annotations

import socket
import struct
from typing import Any

import httpx

from tests.harness import Server, query, wait_until

MEMBERS = {"type", "title", "status", "code", "detail", "instance", "request_id"}
TABLES = ("files", "jobs", "chunks", "result_pages", "rejects")


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Assert that a response is a problem document (RFC 9457) with this status and code; return its
    body.
    """
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body.keys() >= MEMBERS, body
    assert (body["status"], body["code"], body["type"]) == (status, code, f"/errors/{code}"), body
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["title"]
    assert body["detail"]
    return dict(body)


def count_files(server: Server) -> int:
    return int(query(server.url, "SELECT count(*) FROM files")[0][0])


def parts(server: Server) -> list[str]:
    """Return the uploads that are neither finished nor cleaned up."""
    return [
        path.name for path in (server.storage / "uploads").iterdir() if path.name.endswith(".part")
    ]


def key_of(server: Server, identifier: str) -> str:
    """Return an id as it appears in SQL of this database."""
    return (
        f"'{identifier.replace('-', '')}'" if server.url.startswith("sqlite") else f"'{identifier}'"
    )


class RawConnection:
    """A TCP connection that sends given bytes, and may end at any byte."""

    def __init__(self, server: Server) -> None:
        self._socket = socket.create_connection(("127.0.0.1", server.port), timeout=20)

    def __enter__(self) -> RawConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, *pieces: bytes) -> RawConnection:
        self._socket.sendall(b"".join(pieces))
        return self

    def answer(self) -> httpx.Response:
        """Return the one pending response, read to the end of its body."""
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._more(received)
        head, _, body = received.partition(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers = httpx.Headers(
            [(name, value.strip()) for name, _, value in (x.partition(":") for x in lines)]
        )
        while len(body) < int(headers.get("content-length", len(body))):
            body += self._more(body)
        return httpx.Response(int(status_line.split()[1]), headers=headers, content=body)

    def _more(self, before: bytes) -> bytes:
        data = self._socket.recv(65_536)
        assert data, f"the server closed the connection after {before[:200]!r}"
        return data

    def send_until_cut(self, block: bytes, at_most: int) -> int:
        """Send this repeatedly; return the number of bytes sent when the server closed the
        connection.
        """
        sent = 0
        try:
            while sent < at_most:
                self._socket.sendall(block)
                sent += len(block)
        except ConnectionError:
            pass
        return sent

    def finish(self) -> RawConnection:
        """Send FIN: the response is still read."""
        self._socket.shutdown(socket.SHUT_WR)
        return self

    def status_if_any(self) -> int | None:
        """Return the status of the response; None if the connection ends without one."""
        try:
            line = self._socket.makefile("rb").readline()
        except ConnectionError:
            return None
        return int(line.split()[1]) if line else None

    def is_closed_by_server(self) -> bool:
        """Return whether the server closes the connection in time, and by FIN, not by RST."""
        try:
            while self._socket.recv(65_536):
                pass
        except (ConnectionError, TimeoutError):
            return False
        return True

    def reset(self) -> None:
        """Send RST instead of FIN, like a crashed or disconnected client."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()


def head(*lines: str, method: str = "POST", target: str = "/api/v1/upload") -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode(
        "latin-1"
    )


def wait_until_nothing_is_left(server: Server, files: int) -> None:
    """Assert that no part file is left, and no row beyond those of `files`."""
    wait_until(lambda: not parts(server), 10, "removal of the part file")
    assert count_files(server) == files
