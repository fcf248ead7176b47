"""/api/v1/files/{file_id}/download: a stored file as it is, in whole or in ranges."""

from __future__ import annotations

import base64
import os
import re
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, BinaryIO
from urllib.parse import quote

import anyio
from fastapi import APIRouter, Depends, Header, Request
from fastapi.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

from app.api.errors import problem_responses
from app.api.parameters import FileId, single_values
from app.api.services import App, Owner
from app.errors import RangeNotSatisfiable
from app.features.files import downloads

router = APIRouter(prefix="/api/v1/files", tags=["files"], dependencies=[Depends(single_values)])
PATH = "/{file_id}/download"
ANY: dict[str, Any] = {"*/*": {"schema": {"type": "string", "format": "binary"}}}
"""Of the media type that it was stored with."""


class StoredFile(FileResponse):
    """Wherever it is. In larger pieces: each costs a hop to a thread. `range_` is what was made of
    the header, or none.
    """

    chunk_size = 1 << 20

    def __init__(
        self,
        file: downloads.StoredFile,
        opened: BinaryIO | None,
        range_: str | None,
        headers: dict[str, str],
    ) -> None:
        """`opened`: closed at the end; None where no bytes are asked for."""
        made_at = int(file.made_at.timestamp())
        found = os.stat_result(
            (stat.S_IFREG | 0o400, 0, 0, 1, 0, 0, file.size, made_at, made_at, made_at)
        )
        super().__init__(
            file.filename, headers=headers, media_type=file.media_type, stat_result=found
        )
        self._opened = opened
        self._range = range_

    @asynccontextmanager
    async def _open_file(self) -> AsyncIterator[anyio.AsyncFile[bytes]]:
        assert self._opened is not None, "asked for by HEAD"
        yield anyio.wrap_file(self._opened)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [
            (name, value) for name, value in scope["headers"] if name not in (b"range", b"if-range")
        ]
        if self._range is not None:
            headers.append((b"range", self._range.encode()))
        try:
            await super().__call__({**scope, "headers": headers}, receive, send)
        finally:
            if self._opened is not None:
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(self._opened.close)


@router.get(
    PATH,
    response_class=FileResponse,
    responses={
        200: {"description": "The whole file.", "content": ANY},
        206: {"description": "The ranges that were asked for.", "content": ANY},
        304: {"description": "The file is the one that `If-None-Match` names."},
        **problem_responses(404, 409, 416),
    },
)
async def download_file(
    request: Request,
    file_id: FileId,
    app: App,
    owner: Owner,
    range_: Annotated[
        str | None, Header(alias="Range", description="`bytes=0-1023`, several too.")
    ] = None,
    if_range: Annotated[str | None, Header(alias="If-Range")] = None,
    if_none_match: Annotated[str | None, Header(alias="If-None-Match")] = None,
) -> Response:
    """The bytes of a file: the result of a transform, or an upload, decompressed if it came
    compressed. The ETag is strong and never changes, since a stored file never does: a download that
    broke off goes on with Range and If-Range. A file that was damaged where it is stored is refused
    (409), or the transfer breaks off before its end.
    """
    file = await downloads.find(app.database, app.sources, file_id, owner)
    headers = {
        "ETag": f'"{file.tag}"',
        "Content-Disposition": attachment(file.filename),
        "Cache-Control": "private, no-transform",
        "X-Content-Type-Options": "nosniff",
    }
    if file.sha256 is not None:
        headers["Repr-Digest"] = (
            f"sha-256=:{base64.b64encode(bytes.fromhex(file.sha256)).decode()}:"
        )
    if if_none_match is not None and _names(if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    wanted = None
    if range_ is not None and (if_range is None or if_range.strip() == headers["ETag"]):
        wanted = _ranges(range_, file.size)
    opened = None if request.method == "HEAD" else await anyio.to_thread.run_sync(file.open)
    return StoredFile(file, opened, wanted, headers)


def _names(header: str, tag: str) -> bool:
    return header.strip() == "*" or tag in {
        each.strip().removeprefix("W/") for each in header.split(",")
    }


def _ranges(header: str, size: int) -> str | None:
    """The ranges that the file has, None for all of it; what cannot be read as ranges is as if it
    were not there (RFC 9110). Raises RangeNotSatisfiable.
    """
    if not re.fullmatch(
        r"bytes=\s*(\d{0,19}-\d{0,19})(\s*,\s*\d{0,19}-\d{0,19})*", header.strip(), re.ASCII
    ):
        return None
    found = []
    for each in header.partition("=")[2].split(","):
        first, _, last = each.strip().partition("-")
        if (not first and not last) or (first and last and int(first) > int(last)):
            return None
        start = int(first) if first else max(0, size - int(last))
        end = min(size - 1, int(last)) if first and last else size - 1
        if start < size and (first or int(last)):
            found.append(f"{start}-{end}")
    if not found:
        raise RangeNotSatisfiable(
            f"The file has {size} bytes.", headers={"Content-Range": f"bytes */{size}"}
        )
    return "bytes=" + ",".join(found)


def attachment(name: str) -> str:
    """A Content-Disposition that any name survives (RFC 6266)."""
    plain = re.sub(r"[^A-Za-z0-9._ -]", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
