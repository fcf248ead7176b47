"""The tus protocol, written by hand."""

from __future__ import annotations

import base64
from typing import Any

import httpx

UPLOADS = "/api/v1/uploads"
TUS = {"Tus-Resumable": "1.0.0"}
BYTES = TUS | {"Content-Type": "application/offset+octet-stream"}


def metadata(**values: str) -> dict[str, str]:
    pairs = (f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items())
    return {"Upload-Metadata": ",".join(pairs)}


def create(
    client: httpx.Client, length: int | None, *, query: dict[str, Any] | None = None, **values: str
) -> str:
    """Create an upload and return its address."""
    size = {"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": str(length)}
    answer = client.post(
        UPLOADS, params=query, headers=TUS | size | (metadata(**values) if values else {})
    )
    assert answer.status_code == 201, answer.text
    assert answer.headers["tus-resumable"] == "1.0.0"
    return str(answer.headers["location"])


def send(client: httpx.Client, url: str, offset: int, data: Any, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.patch(url, content=data, headers=BYTES | {"Upload-Offset": str(offset)} | named)


def offset_of(client: httpx.Client, url: str) -> int:
    answer = client.head(url, headers=TUS)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    return int(answer.headers["upload-offset"])
