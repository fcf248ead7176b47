"""The HTTP interface of a language model: sends configured responses, and records requests."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, dict[str, str], str]
"""(status, headers, body)"""


def completion(content: str) -> Answer:
    return (
        200,
        {},
        json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]}),
    )


def mapping(**pairs: str | None) -> Answer:
    """A valid response: each reference column with its input column."""
    said = [
        {"reference_column": want, "input_column": have, "confidence": 0.9, "reason": "it says so"}
        for want, have in pairs.items()
    ]
    return completion(json.dumps({"mappings": said}))


class ChatServer:
    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.answers: list[Answer] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.asked.append(json.loads(body))
                outer.keys.append(self.headers.get("Authorization"))
                status, headers, text = outer.next_answer()
                self.send_response(status if self.path == "/v1/chat/completions" else 404)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def next_answer(self) -> Answer:
        if not self.answers:
            return 500, {}, "no answer left"
        return self.answers.pop(0)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
