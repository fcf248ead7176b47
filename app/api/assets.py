"""The dashboard: its page, and the files that the page loads. The URLs of the files change with
their content.
"""

from __future__ import annotations

import gzip
import hashlib
import posixpath
import re
from functools import cache
from pathlib import Path

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.errors import NotFound

FOLDER = Path(__file__).resolve().parents[1] / "dashboard"
TYPES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
FIRST_MODULES = ("js/main.js", "js/views/jobs.js")
"""What the first view loads, with all that these import."""
STATIC_IMPORT = re.compile(
    r"""^(?:import|export)\b[^;]*?\bfrom\s+"(\.[^"]+)"|^import\s+"(\.[^"]+)""", re.M
)
PAGE_HEADERS = {
    # Trusted Types: browsers that support them refuse to parse any string as HTML.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
        " require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "Cache-Control": "no-cache",
    "Vary": "Accept",
}


@cache
def bundle() -> tuple[str, dict[str, bytes]]:
    """Read the files of the dashboard once; return (hash of their content, {path: bytes})."""
    files = {
        path.relative_to(FOLDER).as_posix(): path.read_bytes()
        for path in sorted(FOLDER.rglob("*"))
        if path.suffix in TYPES or path.name == "index.html"
    }
    digest = hashlib.sha256()
    for name, data in files.items():
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()[:12], files


@cache
def compressed(path: str) -> bytes:
    """Return a file of the dashboard in gzip. It is compressed once and kept."""
    return gzip.compress(bundle()[1][path], compresslevel=9, mtime=0)


@cache
def first_modules() -> tuple[str, ...]:
    """Return the paths of the modules of the first view. The page names them, so that a browser
    requests all at once and not each after the one that imports it.
    """
    files = bundle()[1]
    paths: list[str] = []
    open_paths = list(FIRST_MODULES)
    while open_paths:
        path = open_paths.pop(0)
        if path in paths:
            continue
        paths.append(path)
        folder = posixpath.dirname(path)
        for match in STATIC_IMPORT.finditer(files[path].decode()):
            target = match[1] or match[2]
            open_paths.append(posixpath.normpath(posixpath.join(folder, target)))
    return tuple(paths)


@cache
def page_text() -> str:
    """Return the page. It names the first modules, and the languages that have a catalogue."""
    version, files = bundle()
    languages = [Path(name).stem for name in files if name.startswith("messages/")]
    links = [
        f'<link rel="modulepreload" href="/assets/{version}/{path}">' for path in first_modules()
    ]
    text = files["index.html"].decode().replace("{{assets}}", f"/assets/{version}")
    text = text.replace("{{languages}}", " ".join(languages))
    return text.replace("{{modules}}", "\n    ".join(links))


def page(status: int = 200) -> Response:
    """Return the single page of the dashboard."""
    return Response(page_text(), status, media_type="text/html", headers=PAGE_HEADERS)


async def assets(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve the files of the dashboard at /assets/{version}/{path}.

    A page that was loaded from an older version gets a 404 for its files and reloads itself.
    """
    if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
        raise HTTPException(405, headers={"Allow": "GET, HEAD"})
    version, _, path = (
        scope["path"].removeprefix(scope.get("root_path", "")).lstrip("/").partition("/")
    )
    takes_gzip = accepts_gzip(Headers(scope=scope).get("accept-encoding", ""))
    await _asset(version, path, takes_gzip)(scope, receive, send)


def _asset(version: str, path: str, takes_gzip: bool) -> Response:
    current, files = bundle()
    kind = TYPES.get(Path(path).suffix)
    if version != current or kind is None or path not in files:
        raise NotFound(
            "There is no such file in this version of the dashboard. Load the page again."
        )
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
    if takes_gzip:
        headers["Content-Encoding"] = "gzip"
    data = compressed(path) if takes_gzip else files[path]
    return Response(data, media_type=kind, headers=headers)


def accepts_gzip(accept_encoding: str) -> bool:
    """Return whether this Accept-Encoding header permits gzip (RFC 9110, 12.5.3)."""
    weights: dict[str, float] = {}
    for part in accept_encoding[:2000].split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weights[name] = _weight(parameters)
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def wants_page(accept: str) -> bool:
    """Return whether this Accept header prefers HTML to JSON (RFC 9110, 12.5.1).

    A client that sends no Accept header or only `*/*` is taken for a program.
    """
    html = _quality(accept, "text", "html")
    return html > 0 and html > _quality(accept, "application", "json")


def _quality(accept: str, kind: str, subtype: str) -> float:
    """Return the quality of the most specific range that matches; 0 if none matches."""
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
