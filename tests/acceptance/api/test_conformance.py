"""The client of the tests refuses undocumented JSON."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.conformance import CheckedClient

HEALTHY = {"status": "healthy"}


def ask(body: Any, status: int = 200) -> httpx.Response:
    transport = httpx.MockTransport(lambda _: httpx.Response(status, json=body))
    with CheckedClient(base_url="http://service", transport=transport) as client:
        return client.get("/health")


def test_a_documented_response_passes() -> None:
    assert ask(HEALTHY).json() == HEALTHY


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param({**HEALTHY, "more": 1}, 200, id="a member more"),
        pytest.param({}, 200, id="a member less"),
        pytest.param({"status": None}, 200, id="null in place of a value"),
        pytest.param(HEALTHY, 202, id="another status"),
    ],
)
def test_an_undocumented_response_is_an_error(body: Any, status: int) -> None:
    with pytest.raises(AssertionError, match="GET /health"):
        ask(body, status)
