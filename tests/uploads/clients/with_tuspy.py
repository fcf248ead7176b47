"""tuspy as a process: `with_tuspy.py ENDPOINT FILE KILL_AT CHUNK [URL]`. Kills itself after sending
KILL_AT bytes, if not 0; with URL it resumes that upload. Prints the URL as soon as it is known.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from typing import Any

from tusclient import client


class DyingSocket(socket.socket):
    """Counts the sent bytes, and kills the process in the middle of them."""

    left = 0

    def sendall(self, data: Any, *flags: int) -> None:
        view = memoryview(data)
        if 0 < DyingSocket.left <= len(view):
            super().sendall(view[: DyingSocket.left], *flags)
            os.kill(os.getpid(), signal.SIGKILL)
        DyingSocket.left -= len(view) if DyingSocket.left else 0
        super().sendall(view, *flags)


endpoint, path, kill_at, chunk, *url = sys.argv[1:]
socket.socket = DyingSocket  # type: ignore[misc]
DyingSocket.left = int(kill_at)
uploader = client.TusClient(endpoint).uploader(
    path,
    chunk_size=int(chunk),
    metadata={"filename": "sent.csv"},
    url=url[0] if url else None,
    retries=0,
    upload_checksum=bool(os.environ.get("TUS_CHECKSUM")),
)
if not url:
    uploader.set_url(uploader.create_url())
sys.stdout.write(f"{uploader.url}\n")
sys.stdout.flush()
uploader.upload()
