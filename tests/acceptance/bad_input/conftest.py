"""A service that receives bad input."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.forks import Server
from tests.harness import Api


@pytest.fixture(scope="module", autouse=True)
def nothing_went_wrong(server: Server) -> Iterator[None]:
    """Whatever is sent here, the service must not log an error."""
    yield
    log = server.log.read_text(errors="replace")
    assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:3000]
    assert " ERROR " not in log
    assert server.is_ready()


@pytest.fixture(scope="module")
def api(server: Server) -> Iterator[Api]:
    """One client for all tests: creating one costs more than most of these requests."""
    with server.client() as client:
        yield Api(client)
