from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.sources import http
from tests.scoring.buckets import bucket, s3
from tests.sources.web import WebServer

__all__ = ["bucket", "s3"]


@pytest.fixture(scope="session")
def web_server() -> Iterator[WebServer]:
    server = WebServer()
    yield server
    server.stop()


@pytest.fixture
def web(web_server: WebServer, monkeypatch: pytest.MonkeyPatch) -> WebServer:
    """A server without files, asked again at once where a service would wait."""
    monkeypatch.setattr(http, "PAUSE_SECONDS", 0.0)
    web_server.paths.clear()
    return web_server
