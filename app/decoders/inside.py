"""Code of a process that decodes one file, within limits. process.py is the other end of it.

Standard input is the file. Standard output has frames: a letter, the length of the content in 8 bytes,
and the content. `D` has canonical bytes; `N` ends a file with a report, before the next one; `R` ends
the last file with a report; `E` has the reason why there is none.
"""

from __future__ import annotations

import json
import os
import resource
import threading
from collections.abc import Callable
from typing import IO, Any

from app.decoders.unreadable import TooLarge, Unreadable

MOST_CPU_SECONDS = 3_600
"""Limit for a process whose parent was killed and could not end it."""

Send = Callable[[bytes, bytes], None]
"""Sends a frame: its letter and its content."""


def decode(watched: int, memory_bytes: int, read: Callable[[IO[bytes], Send], None]) -> None:
    """Call `read` with the file and a sender of frames, within limits. `watched` is a descriptor
    that ends when nobody waits for the result any more.
    """
    threading.Thread(target=_end_with, args=(watched,), daemon=True).start()
    _limit(resource.RLIMIT_DATA, memory_bytes)
    _limit(resource.RLIMIT_CPU, MOST_CPU_SECONDS)
    _limit(resource.RLIMIT_CORE, 0)
    out = os.fdopen(os.dup(1), "wb")

    def send(letter: bytes, content: bytes) -> None:
        out.write(letter + len(content).to_bytes(8, "big"))
        out.write(content)
        out.flush()

    try:
        read(os.fdopen(0, "rb"), send)
    except Unreadable as error:
        send(b"E", _reason(error.code, str(error)))
    except MemoryError:
        send(b"E", _reason(TooLarge.code, ""))


def _reason(code: str, detail: str) -> bytes:
    return json.dumps({"code": code, "detail": detail}).encode()


def _limit(which: int, most: int) -> None:
    _, hard = resource.getrlimit(which)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(which, (most, hard))


def _end_with(watched: int) -> Any:
    while os.read(watched, 1):
        pass
    os._exit(1)
