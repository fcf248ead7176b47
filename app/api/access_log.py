"""The access log: a line for each request, after the last byte of its response. It replaces that of
the web server, which knows neither the time nor the user.
"""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import quote

from starlette.types import Scope

from app.jobs.users import KEY, KEY_PREFIX

logger = logging.getLogger(__name__)
OF_THE_SERVER = logging.getLogger("uvicorn.access")


def install() -> None:
    """Take the place of the web server's access log: log if it was to log. Repeated calls change
    nothing.
    """
    if logger.level != logging.NOTSET:
        return
    logger.setLevel(logging.INFO if OF_THE_SERVER.hasHandlers() else logging.WARNING)
    # Without handlers the web server does not even build its lines.
    OF_THE_SERVER.handlers.clear()
    OF_THE_SERVER.propagate = False


def log(scope: Scope, status: int | None, seconds: float) -> None:
    """Log an answered request. `status` is None if the client left before the response began."""
    if not logger.isEnabledFor(logging.INFO):
        return
    caller = scope.get("caller")
    client = scope.get("client")
    fields: dict[str, Any] = {
        "method": scope["method"],
        "path": shown_path(scope),
        "status": status,
        "duration_ms": round(seconds * 1000, 1),
        "user": caller.user_id if caller is not None else None,
        "client": client[0] if client else None,
        "request_id": scope["request_id"],
    }
    logger.info("%s", text_of(fields), extra={"fields": fields})


def text_of(fields: dict[str, Any]) -> str:
    """Return the line for people: `GET /api/v1/jobs 200 12.1 ms user=alice ...`."""
    status = fields["status"] or "-"
    begin = f"{fields['method']} {fields['path']} {status} {fields['duration_ms']} ms"
    known = [
        f"{name}={fields[name]}"
        for name in ("user", "client", "request_id")
        if fields[name] is not None
    ]
    return " ".join([begin, *known])


def shown_path(scope: Scope) -> str:
    """Return path and query, without API keys. Control characters stay encoded."""
    path = quote(scope["path"])
    query = scope["query_string"].decode("latin-1")
    return KEY.sub(f"{KEY_PREFIX}***", f"{path}?{query}" if query else path)
