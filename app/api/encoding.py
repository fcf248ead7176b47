"""Answers that hold stored JSON as it is: FastAPI would decode it, and round its numbers."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from fastapi.responses import Response


async def as_json(body: dict[str, Any]) -> Response:
    """Encoded beside the loop: a page may have many megabytes."""
    return Response(await asyncio.to_thread(msgspec.json.encode, body), media_type="application/json")
