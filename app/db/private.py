"""The file of an embedded database holds keys of webhooks and the data of all users: only who runs
the service may read it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from sqlalchemy.engine import make_url

FILE = 0o600


def make_private(url: str) -> None:
    """Make the file of a SQLite database that is not there yet, empty. SQLite gives its other
    files, -wal and -shm, the permissions of this one. What is there already keeps its own; what is
    in the way is for connecting to say.
    """
    name = make_url(url).database
    if not name or name == ":memory:":
        return
    with suppress(OSError):
        os.close(os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, FILE))


def is_private(path: Path) -> bool:
    return not path.stat().st_mode & 0o077
