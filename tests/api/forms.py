"""Uploads that no client would send: their bodies, and how to send them."""

from __future__ import annotations

import base64
import gzip
import hashlib
from dataclasses import dataclass, field

import httpx

from tests.harness import Api

CSV = b"a,b\n1,2\n"
MARK = "zqxMark"
"""A marker in bad input: it would appear in the response if the input were echoed."""


def part(
    data: bytes = CSV, *, name: str = "file", filename: str | None = "x.csv", headers: str = ""
) -> bytes:
    """Return one part of a form with the boundary b."""
    disposition = f'form-data; name="{name}"' + (
        f'; filename="{filename}"' if filename is not None else ""
    )
    return f"--b\r\nContent-Disposition: {disposition}\r\n{headers}\r\n".encode() + data + b"\r\n"


def option(name: str, value: str | bytes) -> bytes:
    return part(value.encode() if isinstance(value, str) else value, name=name, filename=None)


END = b"--b--\r\n"
FORM = "multipart/form-data; boundary=b"


@dataclass(frozen=True)
class Refused:
    """A request, and the reason of its refusal."""

    what: str
    status: int
    code: str
    body: bytes
    type: str = FORM
    headers: dict[str, str] = field(default_factory=dict)
    query: str = ""

    def __str__(self) -> str:
        return self.what


def raw(
    what: str, status: int, code: str, body: bytes, type: str = "text/csv", **headers: str
) -> Refused:
    return Refused(
        what, status, code, body, type, {k.replace("_", "-"): v for k, v in headers.items()}
    )


def digest(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


GZIPPED = gzip.compress(CSV)
GZIP = "application/gzip"


def send(api: Api, request: Refused) -> httpx.Response:
    headers = {"Content-Type": request.type} | request.headers
    encoded = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
    return api.client.post(f"/api/v1/upload?{request.query}", content=request.body, headers=encoded)
