"""/api/v1/uploads: resumable uploads by the tus protocol 1.0
(https://tus.io/protocols/resumable-upload).
"""

from __future__ import annotations

import base64
import hashlib
import re
from email.utils import format_datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response
from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from app.api.errors import invalid, problem_responses
from app.api.json import encoded
from app.api.parameters import checked_query, identifier
from app.api.receiving import check_plan, described, pieces
from app.api.services import App, Owner, Services, check_open
from app.errors import (
    BadTusRequest,
    FileTooLarge,
    MethodNotAllowed,
    TusVersion,
    UnsupportedMediaType,
)
from app.features.files.parameters import FileOptions
from app.features.uploads.schemas import UploadState
from app.features.uploads.service import Checksum, Upload, Uploads, as_error

VERSION = "1.0.0"
EXTENSIONS = (
    "creation,creation-with-upload,creation-defer-length,expiration,checksum,termination,"
    "concatenation"
)
ALGORITHMS = ("sha1", "sha256", "sha512", "md5")
BYTES = "application/offset+octet-stream"


async def speaks_tus(request: Request) -> None:
    if request.headers.get("tus-resumable") != VERSION:
        raise TusVersion(headers={"Tus-Version": VERSION})


router = APIRouter(
    prefix="/api/v1/uploads", tags=["uploads"], dependencies=[Depends(checked_query)]
)
TUS = [Depends(speaks_tus)]


async def upload_id(
    upload_id: Annotated[str, Path(description="Id in the last part of the upload's Location.")],
) -> UUID:
    return identifier(upload_id)


UploadId = Annotated[UUID, Depends(upload_id)]


@router.options("", status_code=204)
@router.options("/{upload_id}", status_code=204, include_in_schema=False)
async def describe_uploads(app: App) -> Response:
    """Return the extensions of the protocol that this service supports."""
    headers = {
        "Tus-Version": VERSION,
        "Tus-Extension": EXTENSIONS,
        "Tus-Max-Size": str(app.settings.max_upload_bytes),
        "Tus-Checksum-Algorithm": ",".join(ALGORITHMS),
    }
    return Response(status_code=204, headers=headers)


@router.post(
    "",
    status_code=201,
    summary="Create a resumable upload",
    response_class=Response,
    dependencies=TUS,
    responses=problem_responses(400, 412, 413, 415, 422, 503, 507),
)
async def create_upload(
    request: Request, app: App, owner: Owner, options: Annotated[FileOptions, Query()]
) -> Response:
    """Create an upload, with or without its first bytes. Every option of POST /api/v1/upload may be
    in the query or in Upload-Metadata, together with `filename` and `filetype`; the query takes
    precedence.
    """
    check_open(app)
    sent = request.headers.get("upload-metadata", "")
    metadata = _metadata(sent)
    submission = described(
        owner, _merged(metadata, options), metadata.get("filetype", metadata.get("type", "")), app
    )
    await check_plan(submission, app)
    concat = request.headers.get("upload-concat", "").strip()
    has_body = _has_body(request)
    if concat.startswith("final;"):
        parts = [_part(url) for url in concat.removeprefix("final;").split()]
        if not parts or has_body or "upload-length" in request.headers:
            raise BadTusRequest(
                "A final upload has parts, and neither a length nor bytes of its own."
            )
        upload = await app.of(Uploads).create(
            submission, length=None, sent_metadata=sent, parts=parts
        )
        if upload.problem is not None:
            raise as_error(upload.problem)
        return _created(upload)
    if concat not in ("", "partial"):
        raise BadTusRequest(
            "Upload-Concat is `partial`, or `final;` with the addresses of the parts."
        )
    length = _length(request, app)
    if length is None and request.headers.get("upload-defer-length") != "1":
        raise BadTusRequest("Upload-Length is missing, and Upload-Defer-Length is not 1.")
    checksum = _checksum(request) if has_body else None
    upload = await app.of(Uploads).create(
        submission, length=length, sent_metadata=sent, is_partial=concat == "partial"
    )
    if upload.problem is not None:
        raise as_error(upload.problem)
    if has_body:
        body = pieces(request)
        size = _number(request, "content-length")
        try:
            upload = await app.of(Uploads).append(
                upload.id, owner, body, offset=0, size=size, checksum=checksum
            )
        except ClientDisconnect:
            return Response(status_code=499)  # the client has disconnected
    return _created(upload)


@router.head("/{upload_id}", dependencies=TUS, include_in_schema=False)
async def head(upload_id: UploadId, app: App, owner: Owner) -> Response:
    """Return the offset of the upload."""
    upload = await app.of(Uploads).resume(upload_id, owner)
    if upload.problem is not None:
        raise as_error(upload.problem)
    headers = _headers_of(upload)
    if upload.sent_metadata:
        headers["Upload-Metadata"] = upload.sent_metadata
    if upload.length is None:
        headers["Upload-Defer-Length"] = "1"
    else:
        headers["Upload-Length"] = str(upload.length)
    if upload.is_partial:
        headers["Upload-Concat"] = "partial"
    elif upload.parts is not None:
        headers["Upload-Concat"] = "final;" + " ".join(
            f"{router.prefix}/{part}" for part in upload.parts
        )
    return Response(status_code=200, headers=headers)


@router.patch(
    "/{upload_id}",
    status_code=204,
    summary="Send bytes of an upload",
    dependencies=TUS,
    responses=problem_responses(400, 404, 408, 409, 410, 412, 413, 415, 422, 423, 503, 507),
)
async def append_to_upload(
    upload_id: UploadId, request: Request, app: App, owner: Owner
) -> Response:
    """Append bytes at Upload-Offset. The response to the last of them names the new file and job in
    the headers Granula-File-Id and Granula-Job-Id; GET returns them later too.
    """
    check_open(app)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != BYTES:
        raise UnsupportedMediaType(
            f"The bytes of an upload have the type {BYTES}.", accepted=[BYTES]
        )
    offset = _number(request, "upload-offset")
    if offset is None:
        raise BadTusRequest("Upload-Offset is missing.")
    try:
        upload = await app.of(Uploads).append(
            upload_id,
            owner,
            pieces(request),
            offset=offset,
            length=_length(request, app),
            size=_number(request, "content-length"),
            checksum=_checksum(request),
        )
    except ClientDisconnect:
        return Response(status_code=499)  # the client has disconnected
    return Response(status_code=204, headers=_headers_of(upload))


@router.delete(
    "/{upload_id}", status_code=204, dependencies=TUS, responses=problem_responses(404, 412, 423)
)
async def delete_upload(upload_id: UploadId, app: App, owner: Owner) -> Response:
    """Delete the upload and its bytes. A file that it became stays; delete it by its own id."""
    await app.of(Uploads).terminate(upload_id, owner)
    return Response(status_code=204)


@router.get("/{upload_id}", response_model=UploadState, responses=problem_responses(404, 410))
async def get_upload(upload_id: UploadId, app: App, owner: Owner) -> Response:
    """Return the progress and the outcome of the upload; not part of the protocol."""
    upload = await app.of(Uploads).get(upload_id, owner)
    state = _state(upload)
    body = {
        "upload_id": str(upload.id),
        "state": state,
        "offset": upload.offset,
        "length": upload.length,
        "metadata": _metadata(upload.sent_metadata),
        "expires_at": upload.expires_at.isoformat(),
        "file_id": upload.answer["file_id"] if upload.answer else None,
        "job_id": upload.answer["job_id"] if upload.answer else None,
        "answer": upload.answer,
        "problem": upload.problem,
    }
    return encoded(body)


@router.post("/{upload_id}", include_in_schema=False, dependencies=TUS)
async def override(upload_id: UploadId, request: Request, app: App, owner: Owner) -> Response:
    """Handle X-HTTP-Method-Override, for clients that can send only POST."""
    method = request.headers.get("x-http-method-override", "").upper()
    if method == "PATCH":
        return await append_to_upload(upload_id, request, app, owner)
    if method == "DELETE":
        return await delete_upload(upload_id, app, owner)
    if method == "HEAD":
        return await head(upload_id, app, owner)
    raise MethodNotAllowed(headers={"Allow": "OPTIONS, HEAD, GET, PATCH, DELETE"})


# ---------------------------------------------------------------------- headers


def _created(upload: Upload) -> Response:
    return Response(
        status_code=201, headers={"Location": f"{router.prefix}/{upload.id}", **_headers_of(upload)}
    )


def _headers_of(upload: Upload) -> dict[str, str]:
    headers = {"Upload-Offset": str(upload.offset)}
    if upload.answer is None:
        headers["Upload-Expires"] = format_datetime(upload.expires_at, usegmt=True)
    else:
        headers |= {
            "Granula-File-Id": upload.answer["file_id"],
            "Granula-Job-Id": upload.answer["job_id"],
        }
    return headers


def _number(request: Request, name: str) -> int | None:
    text = request.headers.get(name)
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", text, re.ASCII):
        raise BadTusRequest(f"The header {name.title()} must be a whole number, not negative.")
    return int(text)


def _length(request: Request, app: Services) -> int | None:
    length = _number(request, "upload-length")
    if length is not None and length > app.settings.max_upload_bytes:
        limit = app.settings.max_upload_bytes
        raise FileTooLarge(
            f"The upload has {length} bytes; at most {limit} are accepted.", limit_bytes=limit
        )
    return length


def _has_body(request: Request) -> bool:
    if (
        request.headers.get("content-length", "0") == "0"
        and "transfer-encoding" not in request.headers
    ):
        return False
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != BYTES:
        raise UnsupportedMediaType(
            f"The bytes of an upload have the type {BYTES}.", accepted=[BYTES]
        )
    return True


def _checksum(request: Request) -> Checksum | None:
    text = request.headers.get("upload-checksum")
    if text is None:
        return None
    algorithm, _, encoded = text.strip().partition(" ")
    if algorithm not in ALGORITHMS:
        raise BadTusRequest(f"The algorithms of Upload-Checksum are: {', '.join(ALGORITHMS)}.")
    digest = _decoded(encoded.strip())
    if digest is None or len(digest) != hashlib.new(algorithm, usedforsecurity=False).digest_size:
        raise BadTusRequest("Upload-Checksum is an algorithm, a space, and the digest in Base64.")
    return Checksum(algorithm, digest)


def _metadata(text: str) -> dict[str, str]:
    """Parse Upload-Metadata: `key base64,key base64`."""
    metadata: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        key, _, encoded = pair.partition(" ")
        value = _decoded(encoded.strip())
        if value is None or key in metadata:
            raise BadTusRequest(
                "Upload-Metadata is pairs of a key and a value in Base64, separated by commas."
            )
        metadata[key] = value.decode("utf-8", "replace")
    return metadata


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:  # binascii.Error, or not ASCII
        return None


def _merged(metadata: dict[str, str], options: FileOptions) -> FileOptions:
    """Merge the metadata into the options; other keys are the client's own."""
    named = {"filename": metadata["name"][:255]} if "name" in metadata else {}
    known = {key: value for key, value in metadata.items() if FileOptions.has(key)}
    fields = {**named, **known, **options.model_dump(exclude_unset=True)}
    try:
        return FileOptions.model_validate(fields)
    except ValidationError as error:
        raise invalid(error.errors(), "metadata", fields) from None


def _part(url: str) -> UUID:
    match = re.search(r"/api/v1/uploads/([0-9a-f-]{36})$", url)
    if match is None:
        raise BadTusRequest("Upload-Concat names something that is not an upload of this service.")
    return identifier(match[1])


def _state(upload: Upload) -> str:
    """Return refused, accepted or uploading; partial or storing once all bytes are there."""
    if upload.problem:
        return "refused"
    if upload.answer:
        return "accepted"
    if upload.length != upload.offset:
        return "uploading"
    return "partial" if upload.is_partial else "storing"
