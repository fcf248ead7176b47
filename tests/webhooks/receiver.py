"""A receiver of webhooks over real HTTP that sends configured responses for each path and keeps
what it receives.
"""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

from standardwebhooks.webhooks import Webhook

from tests.harness import wait_until


@dataclass(frozen=True)
class Message:
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def content(self) -> dict[str, Any]:
        return dict(json.loads(self.body))

    def verified(self, secret: str) -> dict[str, Any]:
        """Return the content after an independent check of the signature; raise
        WebhookVerificationError.
        """
        return dict(Webhook(secret).verify(self.body, self.headers))


class Receiver:
    """Responses of a path, 204 by default."""

    def __init__(self) -> None:
        self.messages: dict[str, list[Message]] = defaultdict(list)
        self._answers: dict[str, list[tuple[int, dict[str, str]]]] = defaultdict(list)
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.messages[self.path].append(Message(headers, body, time.monotonic()))
                answers = receiver._answers[self.path]
                status, more = answers.pop(0) if answers else (204, {})
                self.send_response(status)
                for name, value in {"Content-Length": "0", **more}.items():
                    self.send_header(name, value)
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()

    def path(self, *answers: int | tuple[int, dict[str, str]]) -> str:
        """Return a new path that sends these responses to its first requests."""
        path = f"/{uuid4().hex}"
        self._answers[path] = [
            answer if isinstance(answer, tuple) else (answer, {}) for answer in answers
        ]
        return path

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def received(self, path: str, count: int = 1, seconds: float = 20) -> list[Message]:
        """Return what the path received, once it is this many messages."""
        wait_until(lambda: len(self.messages[path]) >= count, seconds, f"{count} messages")
        return list(self.messages[path])

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
