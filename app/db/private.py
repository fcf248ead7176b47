"""File permissions of an embedded database. It holds webhook keys and the data of all users, so
only the user who runs the service may read it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from sqlalchemy.engine import make_url

FILE = 0o600


def make_private(url: str) -> None:
    """Create the file of a SQLite database, empty and private, if it does not exist. SQLite gives
    its -wal and -shm files the same permissions. An existing file keeps its own; other obstacles
    are reported when connecting.
    """
    name = make_url(url).database
    if not name or name == ":memory:":
        return
    with suppress(OSError):
        os.close(os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, FILE))


def is_private(path: Path) -> bool:
    return not path.stat().st_mode & 0o077
