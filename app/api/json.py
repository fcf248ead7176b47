"""Answers that are asked for often: made by msgspec, which takes a tenth of the time."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi.responses import Response


def encoded(body: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(body), media_type="application/json")
