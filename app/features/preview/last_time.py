"""Finds out how a file with the same header was read before. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec

from app.errors import RequestError
from app.features.preview.beginning import Beginning
from app.features.preview.look import Sampled, sampled
from app.features.preview.queries import EarlierFile
from app.formats.csv import CsvDialect
from app.formats.detect import Declared
from app.formats.registry import reading_of

MAX_TRIALS = 5
"""Ways of reading that are tried, each some milliseconds."""
COMPARED = ("delimiter", "quote", "escape", "skip_initial_space", "header_rows", "on_bad_row")


def last_time(
    beginning: Beginning, declared: Declared, earlier: Sequence[EarlierFile]
) -> dict[str, Any] | None:
    """Return how the newest of the earlier files with the same header was read, with the settings
    that differ from what is detected; files with a similar name come first. None if no header is
    the same, or if the file cannot be read at all.
    """
    try:
        detected = sampled(beginning, declared)
    except RequestError:
        detected = None
    similar = [file for file in earlier if _stem(file.filename) == _stem(beginning.filename)]
    others = [file for file in earlier if file not in similar]
    tried: list[Any] = []
    for file in [*similar, *others]:
        dialect = _csv_dialect(file)
        if dialect is None:
            continue
        reading = [reading_of(dialect), dialect.decoded_from]
        if reading in tried:
            continue
        if detected is not None and _is_same(detected, dialect):
            return _described(file, {})
        if len(tried) < MAX_TRIALS:
            tried.append(reading)
            settings = _settings(dialect, detected)
            if settings and _reads_same_header(beginning, declared, settings, dialect):
                return _described(file, settings)
    return None


def _stem(filename: str) -> str:
    """Return what stays the same in the name of a file that comes every day."""
    return re.sub(r"[\d\W_]+", "", filename.lower())


def _csv_dialect(file: EarlierFile) -> CsvDialect | None:
    """Return the dialect of a CSV file with a header; None for others."""
    if file.format != "csv":
        return None
    dialect = msgspec.convert(file.dialect, CsvDialect)
    return dialect if dialect.header_rows else None


def _is_same(detected: Sampled, dialect: CsvDialect) -> bool:
    now = detected.dialect
    if not isinstance(now, CsvDialect) or now.columns != dialect.columns:
        return False
    return all(getattr(now, name) == getattr(dialect, name) for name in COMPARED)


def _settings(dialect: CsvDialect, detected: Sampled | None) -> dict[str, Any]:
    """Return the options of an upload that read a file as the earlier one."""
    now = None if detected is None else detected.dialect
    settings: dict[str, Any] = {}
    if not isinstance(now, CsvDialect):
        settings["format"] = "csv"
        now = None
    for name in COMPARED:
        value = getattr(dialect, name)
        if now is None or value != getattr(now, name):
            settings[name] = value
    if dialect.skip_rows and not dialect.skipped:
        settings["skip_rows"] = dialect.skip_rows
    encoding = dialect.decoded_from or dialect.encoding
    if now is None or encoding != (now.decoded_from or now.encoding):
        settings["encoding"] = encoding
    return settings


def _reads_same_header(
    beginning: Beginning, declared: Declared, settings: dict[str, Any], dialect: CsvDialect
) -> bool:
    known = {name: value for name, value in settings.items() if name != "encoding"}
    if "encoding" in settings and not declared.decoded_from:
        known["encoding"] = settings["encoding"]
    try:
        again = sampled(beginning, replace(declared, **known))
    except RequestError:
        return False
    return again.columns == dialect.columns


def _described(file: EarlierFile, settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "job_id": str(file.job_id),
        "filename": file.filename,
        "processor": file.processor,
        "created_at": file.created_at.isoformat(),
        "settings": settings,
    }
