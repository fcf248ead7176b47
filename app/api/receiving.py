"""The body of an upload as it comes, whichever door it comes through."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Callable

from fastapi import Request
from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from app.api.errors import invalid
from app.api.multipart import MultipartBody
from app.api.parameters import UploadOptions, clean_filename
from app.api.services import Services
from app.errors import (
    BadDigest,
    BadIdempotencyKey,
    Unavailable,
    UnsupportedMediaType,
    UnsupportedTransferEncoding,
    UploadStalled,
)
from app.formats.detect import Declared
from app.jobs.submit import Accepted, Submission

UNDECLARED = ("", "application/octet-stream", "binary/octet-stream", "application/x-www-form-urlencoded")
"""Types that clients send when they know nothing: the content decides."""

BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}, "priority": {"type": "integer"}},
                }
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


async def steady(request: Request, app: Services) -> AsyncIterator[bytes]:
    """The body, unless its sender falls silent or the service has to end."""
    stream, stall_seconds = request.stream(), app.settings.upload_stall_seconds
    while True:
        if app.machine.is_draining:
            raise Unavailable("The service is shutting down.", headers={"Retry-After": "10", "Connection": "close"})
        try:
            async with asyncio.timeout(stall_seconds):
                data = await anext(stream, None)
        except TimeoutError:
            raise UploadStalled(f"Nothing came for {stall_seconds:g} seconds.") from None
        if data is None:
            return
        if data:
            yield data


async def receive(
    request: Request,
    app: Services,
    owner: str,
    options: UploadOptions,
    prepare: Callable[[Submission], None] = lambda submission: None,
) -> Accepted | None:
    """Refuse what can be refused before the first byte of the body, then stream it; None if the client went away.

    `prepare` makes the submission one of a certain door. It is called again when form fields have changed it.
    """
    if app.machine.is_draining:
        raise Unavailable("The service is shutting down.", headers={"Retry-After": "10"})
    content_type = request.headers.get("content-type", "")
    is_form = content_type.lower().startswith("multipart/form-data")
    form = MultipartBody(content_type) if is_form else None
    submission = _submission(request, owner, options, form is not None)
    prepare(submission)
    if form is None:
        _check_media_type(content_type, app)
        submission.media_type = _media_type(content_type)
        submission.declared = _declared(options, content_type)
    await app.submitter.check(submission)
    stream = steady(request, app)
    body = stream if form is None else _form_file(form, stream, submission, options, app, prepare)
    try:
        return await app.submitter.submit(submission, body)
    except ClientDisconnect:
        return None


def _submission(request: Request, owner: str, options: UploadOptions, is_form: bool) -> Submission:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", "x-gzip"):
        raise UnsupportedTransferEncoding("The Content-Encoding of the body is not accepted.")
    length = request.headers.get("content-length", "")
    submission = Submission(
        owner=owner,
        filename=clean_filename(options.filename or ""),
        declared=_declared(options, ""),
        idempotency_key=idempotency_key(request),
        expected_sha256=expected_sha256(request),
        content_length=int(length) if length.isdecimal() and length.isascii() else None,
        is_gzip_encoded=encoding != "identity" and not is_form,
    )
    _apply(submission, options)
    return submission


def _apply(submission: Submission, options: UploadOptions) -> None:
    submission.processor = options.processor
    submission.options = {} if options.model is None else {"model": options.model}
    submission.chunk_size = options.chunk_size
    submission.priority = options.priority
    submission.on_duplicate = options.on_duplicate


def _declared(options: UploadOptions, content_type: str) -> Declared:
    charset = re.search(r"charset=\"?([\w.:-]{1,40})", content_type, re.IGNORECASE)
    return Declared(
        format=options.format,
        encoding=options.encoding
        or (charset[1] if charset and _media_type(content_type) != "application/json" else None),
        delimiter=options.delimiter,
        quote=options.quote,
        escape=options.escape,
        newline=options.newline,
        skip_rows=options.skip_rows,
        header_rows=options.header_rows,
        skip_footer=options.skip_footer,
        columns=options.columns,
        on_bad_row=options.on_bad_row,
    )


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()[:255]


def _check_media_type(content_type: str, app: Services) -> None:
    media_type = _media_type(content_type)
    accepted = app.settings.allowed_content_types
    if media_type not in accepted and media_type not in UNDECLARED:
        raise UnsupportedMediaType(accepted=list(accepted))


async def _form_file(
    form: MultipartBody,
    stream: AsyncIterator[bytes],
    submission: Submission,
    options: UploadOptions,
    app: Services,
    prepare: Callable[[Submission], None],
) -> AsyncIterator[bytes]:
    """The file of a form. Its part's headers and the fields before it are applied when its first bytes come, the fields
    after it at the end; what the query says wins."""
    seen = False
    async for piece in form.read(stream):
        if not seen:
            seen = True
            _check_media_type(form.media_type, app)
        yield piece
    if not seen:
        _check_media_type(form.media_type, app)
    given = options.model_dump(exclude_unset=True, by_alias=True)
    try:
        merged = type(options).model_validate({**form.fields, **given})
    except ValidationError as error:
        raise invalid(error.errors(), "form") from None
    submission.filename = clean_filename(merged.filename or form.filename)
    submission.media_type = _media_type(form.media_type)
    submission.declared = _declared(merged, form.media_type)
    _apply(submission, merged)
    prepare(submission)
    app.processors.check(submission.processor, submission.options)


def idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not re.fullmatch(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?", key):
        raise BadIdempotencyKey
    return key


def expected_sha256(request: Request) -> bytes | None:
    """Of the Repr-Digest header (RFC 9530); other algorithms beside it are ignored."""
    header = request.headers.get("repr-digest")
    if header is None:
        return None
    for member in header.split(","):
        algorithm, _, value = member.strip().partition("=")
        if algorithm.lower() != "sha-256":
            continue
        if not (len(value) > 2 and value.startswith(":") and value.endswith(":")):
            raise BadDigest
        try:
            digest = base64.b64decode(value[1:-1], validate=True)
        except ValueError:  # binascii.Error, or not even ASCII
            raise BadDigest from None
        if len(digest) != 32:
            raise BadDigest("A sha-256 digest has 32 bytes.")
        return digest
    if not re.search(r"[\w-]+=:[A-Za-z0-9+/=]*:", header):
        raise BadDigest
    return None
