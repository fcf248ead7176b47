"""A proxy that cuts large requests, each after a configured number of bytes."""

from __future__ import annotations

import socket
from contextlib import suppress
from threading import Thread
from types import TracebackType


class Cutter:
    """Forwards to a port of this machine. `cuts`: bytes after which large requests are cut, one
    after the other.
    """

    def __init__(self, target: int, cuts: tuple[int, ...]) -> None:
        self._target = target
        self._cuts = list(cuts)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.passed = 0
        """Number of bytes forwarded to the server."""

    def __enter__(self) -> Cutter:
        Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                Thread(target=self._forth, args=(client, server), daemon=True).start()
                Thread(target=self._back, args=(server, client), daemon=True).start()

    def _forth(self, client: socket.socket, server: socket.socket) -> None:
        count = 0
        with suppress(OSError):
            while data := client.recv(1 << 16):
                count += len(data)
                if self._cuts and count > self._cuts[0]:
                    self._cuts.pop(0)
                    break
                server.sendall(data)
                self.passed += len(data)
        self._close(client, server)

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 16):
                client.sendall(data)
        self._close(client, server)

    def _close(self, *ends: socket.socket) -> None:
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
