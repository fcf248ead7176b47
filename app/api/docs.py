"""Pages for browsers: the API reference at /docs, which needs no internet, and the pages on
errors.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from app.data_files import ERROR_PAGES
from app.errors import NotFound

router = APIRouter(include_in_schema=False)
ASSETS = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon.png")
POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:;"
    " font-src 'self' data:; style-src 'self' 'unsafe-inline'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)
"""Swagger UI sets inline styles on its elements. Scripts are loaded from files only."""
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Granula: routes</title>
<link rel="stylesheet" href="docs/assets/swagger-ui.css">
<link rel="icon" href="docs/assets/favicon.png">
</head>
<body>
<div id="swagger-ui">
This page needs JavaScript; <a href="openapi.json">openapi.json</a> has the same.
</div>
<script src="docs/assets/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
START = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  docExpansion: "list",
  filter: true,
  displayRequestDuration: true,
  persistAuthorization: false,
  validatorUrl: null,
});
"""

STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem;"
    "color-scheme:light dark}"
    "pre{overflow:auto;padding:.75rem;border:1px solid #8886;border-radius:.25rem}"
    "code{font-size:.9em}"
)
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
ERROR_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; base-uri 'none';"
        " frame-ancestors 'none'"
    ),
    "Cache-Control": "no-cache",
    "Vary": "Accept",
}


@cache
def error_page(code: str) -> Response | None:
    """Return the page on this error; None if the pages are not installed."""
    from markdown_it import MarkdownIt

    try:
        text = (ERROR_PAGES / f"{code}.md").read_text()
    except FileNotFoundError:
        return None
    body = MarkdownIt("commonmark", {"html": False}).render(text)
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{code}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )
    return HTMLResponse(page, headers=ERROR_HEADERS)


def _folder() -> Path:
    """Return the folder of the package with the files of Swagger UI. The package is not imported:
    only its files are needed.
    """
    spec = find_spec("fastapi_offline")
    if spec is None or not spec.submodule_search_locations:
        raise NotFound(
            "Swagger UI is not installed: pip install -r requirements.txt; /openapi.json has the same."
        )
    return Path(spec.submodule_search_locations[0]) / "static"


@router.get("/docs")
async def docs() -> Response:
    return HTMLResponse(PAGE, headers={"Content-Security-Policy": POLICY})


@router.get("/docs/start.js")
async def start() -> Response:
    return Response(START, media_type="text/javascript")


@router.get("/docs/assets/{name}")
async def asset(name: str) -> Response:
    if name not in ASSETS:
        raise NotFound
    return FileResponse(_folder() / name, headers={"Cache-Control": "max-age=3600"})


@router.get("/redoc")
async def redoc(request: Request) -> Response:
    return RedirectResponse(request.scope.get("root_path", "") + "/docs")
