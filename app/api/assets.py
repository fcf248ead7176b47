"""The dashboard: its page for browsers, and the files that the page is made of, under names that
change with their content.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.errors import NotFound

FOLDER = Path(__file__).resolve().parents[1] / "dashboard"
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
PAGE_HEADERS = {
    # Trusted Types: a browser that knows them refuses any text that is given to be parsed as HTML.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    "Cache-Control": "no-cache",
    "Vary": "Accept",
}


@cache
def bundle() -> tuple[str, dict[str, bytes]]:
    """(hash of everything, the files by their path), read once."""
    files = {
        path.relative_to(FOLDER).as_posix(): path.read_bytes()
        for path in sorted(FOLDER.rglob("*"))
        if path.suffix in TYPES or path.name == "index.html"
    }
    digest = hashlib.sha256()
    for name, data in files.items():
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()[:12], files


def page() -> Response:
    """The one page of the dashboard."""
    version, files = bundle()
    text = files["index.html"].decode().replace("{{assets}}", f"/assets/{version}")
    return Response(text, media_type="text/html", headers=PAGE_HEADERS)


async def assets(scope: Scope, receive: Receive, send: Send) -> None:
    """The files of the dashboard, at /assets/{version}/{path}. An older page that asks for files of
    its version gets a 404 and is loaded anew.
    """
    if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
        raise HTTPException(405, headers={"Allow": "GET, HEAD"})
    version, _, path = (
        scope["path"].removeprefix(scope.get("root_path", "")).lstrip("/").partition("/")
    )
    await _asset(version, path)(scope, receive, send)


def _asset(version: str, path: str) -> Response:
    current, files = bundle()
    kind = TYPES.get(Path(path).suffix)
    if version != current or kind is None or path not in files:
        raise NotFound(
            "There is no such file in this version of the dashboard. Load the page again."
        )
    return Response(
        files[path],
        media_type=kind,
        headers={"Cache-Control": "public, max-age=31536000, immutable"},
    )


def wants_page(accept: str) -> bool:
    """Whether this Accept header names HTML and likes it better than JSON (RFC 9110, 12.5.1). Who
    says nothing, or that anything will do, is a program.
    """
    html = _quality(accept, "text", "html")
    return html > 0 and html > _quality(accept, "application", "json")


def _quality(accept: str, kind: str, subtype: str) -> float:
    """Of the most specific range that fits; 0 if none does."""
    best, quality = -1, 0.0
    for part in accept[:2000].split(","):
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        fits = {f"{kind}/{subtype}": 2, f"{kind}/*": 1, "*/*": 0}.get(media, -1)
        if fits > best:
            best, quality = fits, _weight(parameters)
    return quality


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0
