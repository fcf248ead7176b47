"""Log lines for people, or with LOG_FORMAT=json one object per line with the job, chunk and
attempt.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from app.config import Settings
from app.telemetry import tracing

TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
OF_THE_SERVER = ("uvicorn", "uvicorn.access")
CHATTY = ("alembic", "procrastinate", "psycopg.pool")
# The default is never changed, only replaced.
_about: ContextVar[dict[str, Any]] = ContextVar("about", default={})  # noqa: B039
_process: dict[str, Any] = {}


def install(settings: Settings) -> None:
    """Install the format for all lines of this process, including those of the web server. Repeated
    calls change nothing.
    """
    logging.basicConfig(level=settings.log_level, format=TEXT)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    if settings.log_format != "json":
        return
    for handler in logging.getLogger().handlers:
        handler.setFormatter(JsonLines())
    for name in OF_THE_SERVER:
        # Exists before the service is imported; none if it is to be quiet.
        logger = logging.getLogger(name)
        if logger.handlers:
            logger.handlers.clear()
            logger.propagate = True
    logging.captureWarnings(True)  # they would be unformatted text


def of_process(**known: str) -> None:
    """Add members to every line of this process from now on."""
    _process.update(known)


@contextmanager
def about(**known: Any) -> Iterator[None]:
    """Add members to lines written within, including those of threads and tasks started there."""
    token = _about.set(_about.get() | known)
    try:
        yield
    finally:
        _about.reset(token)


class JsonLines(logging.Formatter):
    """Members: time (RFC 3339, UTC), level, logger, message; worker, job, chunk, attempt, trace_id
    if known; those of a line of the access log; exception.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_process,
            **_about.get(),
            **getattr(record, "fields", {}),
        }
        if trace_id := tracing.trace_id():
            line["trace_id"] = trace_id
        if record.exc_info and record.exc_info[0]:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = record.stack_info
        return json.dumps(line, default=str)
