"""/guide: the documents as pages with a search, built by scripts/build_guide.py."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from app.data_files import GUIDE
from app.errors import NotFound

INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
NOT_BUILT = (
    "The guide is not built in this checkout. `./scripts/install --dev` builds it, and `docs` has"
    " the same pages as text."
)


class Guide(StaticFiles):
    """The files of the guide. They hold no user data and need no authentication."""

    def __init__(self) -> None:
        super().__init__(directory=GUIDE, html=True, check_dir=False)

    async def check_config(self) -> None:
        """Answer 404 where StaticFiles would fail: a checkout may have no guide."""
        if not GUIDE.is_dir():
            raise NotFound(NOT_BUILT)

    async def get_response(self, path: str, scope: Scope) -> Response:
        try:
            response = await super().get_response(path, scope)
        except HTTPException as error:
            if error.status_code != 404:
                raise
            is_built = (GUIDE / "index.html").exists()
            raise NotFound(
                "There is no such page in the guide." if is_built else NOT_BUILT
            ) from None
        response.headers["Content-Security-Policy"] = policy()
        response.headers["Cache-Control"] = "no-cache"
        return response


@cache
def policy() -> str:
    """Scripts are files of the guide, and inline scripts of its pages, which are the same on all
    pages of one depth.
    """
    hashes = " ".join(f"'sha256-{each}'" for each in sorted(_script_hashes()))
    return (
        f"default-src 'none'; script-src 'self' {hashes}; style-src 'self' 'unsafe-inline';"
        " img-src 'self' data:; font-src 'self'; connect-src 'self'; worker-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _script_hashes() -> set[str]:
    hashes: set[str] = set()
    for name in ("index.html", "reference/api.html"):
        path = GUIDE / name
        text = path.read_text() if path.exists() else ""
        for script in INLINE_SCRIPT.findall(text):
            hashes.add(base64.b64encode(hashlib.sha256(script.encode()).digest()).decode())
    return hashes


guide = Guide()
