"""/api/v1/files/{file_id}/download: a stored file, whole or in ranges."""

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
from app.api.parameters import FileId, checked_query
from app.api.services import App, Owner
from app.errors import RangeNotSatisfiable
from app.features.files import downloads

router = APIRouter(prefix="/api/v1/files", tags=["files"], dependencies=[Depends(checked_query)])
PATH = "/{file_id}/download"
ANY: dict[str, Any] = {"*/*": {"schema": {"type": "string", "format": "binary"}}}
"""The media type with which the file was stored."""


class StoredFile(FileResponse):
    """Response with a file from any storage, in larger pieces, since each takes a switch to a
    thread. `range_` is the parsed Range header, or None.
    """

    chunk_size = 1 << 20

    def __init__(
        self,
        file: downloads.StoredFile,
        opened: BinaryIO | None,
        range_: str | None,
        headers: dict[str, str],
    ) -> None:
        """`opened` is closed at the end; None if no bytes are requested."""
        made_at = int(file.made_at.timestamp())
        stat_result = os.stat_result(
            (stat.S_IFREG | 0o400, 0, 0, 1, 0, 0, file.size, made_at, made_at, made_at)
        )
        super().__init__(
            file.filename, headers=headers, media_type=file.media_type, stat_result=stat_result
        )
        self._opened = opened
        self._range = range_

    @asynccontextmanager
    async def _open_file(self) -> AsyncIterator[anyio.AsyncFile[bytes]]:
        assert self._opened is not None, "for HEAD"
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
        206: {"description": "The requested ranges.", "content": ANY},
        304: {"description": "The file has the ETag in `If-None-Match`."},
        **problem_responses(404, 409, 416),
    },
)
async def download_file(
    request: Request,
    file_id: FileId,
    app: App,
    owner: Owner,
    range_: Annotated[
        str | None,
        Header(alias="Range", description="`bytes=0-1023`; several ranges are possible."),
    ] = None,
    if_range: Annotated[str | None, Header(alias="If-Range")] = None,
    if_none_match: Annotated[str | None, Header(alias="If-None-Match")] = None,
) -> Response:
    """Download the bytes of a file: the result of a transform, or an upload, decompressed if it was
    uploaded compressed. The ETag is strong and never changes, since stored files are immutable:
    resume an interrupted download with Range and If-Range. A damaged file is refused (409), or the
    transfer is aborted before its end.
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
    satisfiable = None
    if range_ is not None and (if_range is None or if_range.strip() == headers["ETag"]):
        satisfiable = _ranges(range_, file.size)
    opened = None if request.method == "HEAD" else await anyio.to_thread.run_sync(file.open)
    return StoredFile(file, opened, satisfiable, headers)


def _names(header: str, tag: str) -> bool:
    return header.strip() == "*" or tag in {
        each.strip().removeprefix("W/") for each in header.split(",")
    }


def _ranges(header: str, size: int) -> str | None:
    """Return the ranges that the file has, None for all of it. An unparsable header is ignored (RFC
    9110). Raises RangeNotSatisfiable.
    """
    if not re.fullmatch(
        r"bytes=\s*(\d{0,19}-\d{0,19})(\s*,\s*\d{0,19}-\d{0,19})*", header.strip(), re.ASCII
    ):
        return None
    stat_result = []
    for spec in header.partition("=")[2].split(","):
        first, _, last = spec.strip().partition("-")
        if (not first and not last) or (first and last and int(first) > int(last)):
            return None
        start = int(first) if first else max(0, size - int(last))
        end = min(size - 1, int(last)) if first and last else size - 1
        if start < size and (first or int(last)):
            stat_result.append(f"{start}-{end}")
    if not stat_result:
        raise RangeNotSatisfiable(
            f"The file has {size} bytes.", headers={"Content-Range": f"bytes */{size}"}
        )
    return "bytes=" + ",".join(stat_result)


def attachment(name: str) -> str:
    """Return a Content-Disposition for any file name (RFC 6266)."""
    plain = re.sub(r"[^A-Za-z0-9._ -]", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
