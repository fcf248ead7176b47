"""A disk with faults, for the servers of these tests, which load this by PROCESSORS. While the file
of FAULT_FILE exists, the system call that it names fails with the error that it names, below the
folder of FAULT_FOLDER.
"""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.processors.rows import RowsProcessor

FILE, FOLDER = Path(os.environ.get("FAULT_FILE", "none")), os.environ.get("FAULT_FOLDER", "none")


def _path(argument: Any) -> str:
    return (
        os.readlink(f"/proc/self/fd/{argument}")
        if isinstance(argument, int)
        else os.fspath(argument)
    )


def _faulty(
    call: str, real: Callable[..., Any], applies: Callable[..., bool]
) -> Callable[..., Any]:
    def called(*arguments: Any, **named: Any) -> Any:
        try:
            wanted, _, name = FILE.read_text().partition(" ")
        except OSError:
            wanted = name = ""
        if wanted == call and _path(arguments[0]).startswith(FOLDER) and applies(*arguments):
            number = getattr(errno, name)
            raise OSError(number, os.strerror(number))
        return real(*arguments, **named)

    return called


def _makes(path: Any, flags: int, *_: Any) -> bool:
    return bool(flags & os.O_CREAT) or (flags & os.O_TMPFILE) == os.O_TMPFILE


def _always(*_: Any) -> bool:
    return True


if FOLDER != "none":
    os.open = _faulty("open", os.open, _makes)
    os.fsync = _faulty("fsync", os.fsync, _always)
    os.rename = _faulty("rename", os.rename, _always)
    os.pwrite = _faulty("pwrite", os.pwrite, _always)
if limit := int(os.environ.get("FAULT_FILE_BYTES", "0")):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


class Plain(RowsProcessor):
    name = "plain"
