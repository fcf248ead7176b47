"""A bucket for tests, and its contents."""

from __future__ import annotations

import socket
from contextlib import suppress
from threading import Thread
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from app.sources.bucket import Bucket as Client
from app.sources.s3 import Credentials
from tests.scoring.services import Bucket


class OurBucket(Bucket):
    def __init__(self, name: str, *, like: OurBucket | None = None) -> None:
        """`like`: on the server of another bucket."""
        if like is None:
            super().__init__(name)
            return
        self.name, self.endpoint, self.key, self.secret = name, like.endpoint, like.key, like.secret
        self._server, self._client = None, like._client
        self._client.create_bucket(Bucket=name)

    def remove(self) -> None:
        self.clear()
        self._client.delete_bucket(Bucket=self.name)

    def url(self) -> str:
        """Settings of a separate place in the bucket."""
        return f"s3://{self.name}/{uuid4().hex[:8]}"

    def credentials(self) -> Credentials:
        return Credentials(self.endpoint, self.key, self.secret, "us-east-1")

    def settings(self, url: str) -> dict[str, str]:
        return {
            "STORAGE_URL": url,
            "KEY": self.key,
            "SECRET": self.secret,
            "ENDPOINT_URL": self.endpoint,
        }

    def client(self, url: str) -> Client:
        return Client(self.name, url.rpartition("/")[2], self.credentials())

    def below(self, url: str) -> list[str]:
        """Return the keys without the prefix of the place."""
        prefix = url.rpartition("/")[2] + "/"
        return [key.removeprefix(prefix) for key in self.keys() if key.startswith(prefix)]

    def broken_off(self, url: str) -> list[str]:
        """Return the keys of multipart uploads that are neither completed nor aborted, as another
        client sees them.
        """
        found: dict[str, Any] = self._client.list_multipart_uploads(Bucket=self.name)
        prefix = url.rpartition("/")[2] + "/"
        return [
            upload["Key"].removeprefix(prefix)
            for upload in found.get("Uploads", [])
            if upload["Key"].startswith(prefix)
        ]


class Line:
    """The connection to an object store, which can be cut and restored."""

    def __init__(self, endpoint: str) -> None:
        named = urlsplit(endpoint)
        self._target = (named.hostname or "", named.port or 80)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._is_cut = False
        self._open: set[socket.socket] = set()
        Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self._is_cut:
                near.close()
                continue
            far = socket.create_connection(self._target)
            self._open |= {near, far}
            for one, other in ((near, far), (far, near)):
                Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(1 << 16):
                other.sendall(data)
        for each in (one, other):
            self._open.discard(each)
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def cut(self) -> None:
        self._is_cut = True
        for each in list(self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._is_cut = False

    def close(self) -> None:
        self.cut()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
