"""A filter that removes API keys from the URLs in the access log."""

from __future__ import annotations

import logging

from app.jobs.users import KEY, KEY_PREFIX


class WithoutKeys(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                KEY.sub(f"{KEY_PREFIX}***", a) if isinstance(a, str) else a for a in record.args
            )
        return True


def install() -> None:
    logger = logging.getLogger("uvicorn.access")
    if not any(isinstance(filter_, WithoutKeys) for filter_ in logger.filters):
        logger.addFilter(WithoutKeys())
