"""JSON responses encoded by msgspec, which takes a tenth of the time of FastAPI's encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from fastapi.responses import Response
from pydantic_core import to_json


def encoded(
    body: Mapping[str, Any] | Sequence[Any],
    status_code: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    return Response(msgspec.json.encode(body), status_code, headers, "application/json")


def encoded_any(
    body: Mapping[str, Any], status_code: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Encode values of users and processors, whose whole numbers may have any length."""
    return Response(to_json(body), status_code, headers, "application/json")
