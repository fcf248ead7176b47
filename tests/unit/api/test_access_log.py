"""A line of the access log: its fields for programs, and its text for people."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from app.api import access_log
from app.jobs.users import Caller
from app.telemetry.logs import JsonLines

SCOPE: dict[str, Any] = {
    "type": "http",
    "method": "GET",
    "path": "/api/v1/jobs",
    "query_string": b"limit=5",
    "client": ("192.0.2.7", 50123),
    "request_id": "4f0d8a5e7c1b4a3f9d2e6b8c0a1f2e3d",
}


@pytest.fixture(autouse=True)
def wanted(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.INFO, logger="app.api.access_log"):
        yield


def test_a_line_has_fields_for_programs(caplog: pytest.LogCaptureFixture) -> None:
    access_log.log(SCOPE | {"caller": Caller("alice")}, 200, 0.01234)
    line = json.loads(JsonLines().format(caplog.records[-1]))
    assert {name: line[name] for name in ("method", "path", "status", "duration_ms")} == {
        "method": "GET",
        "path": "/api/v1/jobs?limit=5",
        "status": 200,
        "duration_ms": 12.3,
    }
    assert (line["user"], line["client"]) == ("alice", "192.0.2.7")
    assert line["request_id"] == SCOPE["request_id"]


def test_a_line_is_a_sentence_for_people(caplog: pytest.LogCaptureFixture) -> None:
    access_log.log(SCOPE | {"caller": Caller("alice")}, 200, 0.01234)
    assert caplog.records[-1].getMessage() == (
        "GET /api/v1/jobs?limit=5 200 12.3 ms user=alice client=192.0.2.7"
        " request_id=4f0d8a5e7c1b4a3f9d2e6b8c0a1f2e3d"
    )


def test_nobody_and_no_answer_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    access_log.log(SCOPE | {"client": None, "query_string": b""}, None, 2.0)
    assert caplog.records[-1].getMessage() == (
        f"GET /api/v1/jobs - 2000.0 ms request_id={SCOPE['request_id']}"
    )
    line = json.loads(JsonLines().format(caplog.records[-1]))
    assert (line["status"], line["user"]) == (None, None)


def test_a_key_in_an_address_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    secret = "granula_" + "a" * 43
    access_log.log(SCOPE | {"query_string": f"key={secret}".encode()}, 401, 0.1)
    text = JsonLines().format(caplog.records[-1])
    assert "a" * 43 not in text
    assert "granula_***" in text


def test_a_line_break_in_an_address_does_not_start_a_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    access_log.log(SCOPE | {"path": "/x\nGET /forged"}, 404, 0.1)
    assert "\n" not in caplog.records[-1].getMessage()
