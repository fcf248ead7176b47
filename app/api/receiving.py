"""The body of an upload as it comes, whichever door it comes through."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from app.api.errors import invalid
from app.api.multipart import MultipartBody
from app.api.parameters import JobOptions, media_type
from app.api.services import Services
from app.errors import (
    BadDigest,
    BadIdempotencyKey,
    MissingFilePart,
    Unavailable,
    UnsupportedMediaType,
    UnsupportedTransferEncoding,
)
from app.jobs.submit import Accepted, Submission
from app.processors.options import as_json

UNDECLARED = ("", "application/octet-stream", "binary/octet-stream", "application/x-www-form-urlencoded")
"""Types that clients send when they know nothing: the content decides."""

BODY: dict[str, Any] = {
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


async def pieces(request: Request) -> AsyncIterator[bytes]:
    """The body. Who sends too slowly is refused, and everybody when the service ends (app/api/middleware.py)."""
    async for piece in request.stream():
        if piece:
            yield piece


def check_type(content_type: str, filename: str, app: Services) -> None:
    """Whether files of this type are accepted; raises UnsupportedMediaType."""
    accepted = app.settings.allowed_content_types
    if media_type(content_type) not in accepted and media_type(content_type) not in UNDECLARED:
        raise UnsupportedMediaType(accepted=list(accepted))


@dataclass(frozen=True, slots=True)
class Door:
    """How the uploads of one door differ from those of others."""

    prepare: Callable[[Submission], None] = lambda submission: None
    """Makes a submission one of this door. Called again when form fields have changed it."""
    check_file: Callable[[str, str, Services], None] = check_type
    """Raises what the door has against a file of this content type and name, before it is read."""
    takes_raw: bool = True
    """A body that is the file itself, and not a form with a file."""


async def receive(
    request: Request, app: Services, owner: str, options: JobOptions, door: Door = Door()
) -> tuple[Submission, Accepted | None]:
    """Refuse what can be refused before the first byte of the body, then stream it; nothing is accepted if the client
    went away."""
    if app.machine.is_draining:
        raise Unavailable("The service is shutting down.", headers={"Retry-After": "10"})
    content_type = request.headers.get("content-type", "")
    is_form = content_type.lower().startswith("multipart/form-data")
    if not is_form and not door.takes_raw:
        raise MissingFilePart
    form = MultipartBody(content_type) if is_form else None
    submission = _submission(request, owner, is_form=is_form)
    options.apply_to(submission, "" if is_form else content_type)
    door.prepare(submission)
    if form is None:
        submission.filename = options.name_of("")
        submission.media_type = media_type(content_type)
        door.check_file(content_type, submission.filename, app)
    await app.submitter.check(submission)
    if form is None:
        _check_options(submission, app)
    stream = pieces(request)
    body = stream if form is None else _form_file(form, stream, submission, options, app, door)
    try:
        return submission, await app.submitter.submit(submission, body)
    except ClientDisconnect:
        return submission, None


def is_gzip_encoded(request: Request) -> bool:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", "x-gzip"):
        raise UnsupportedTransferEncoding("The Content-Encoding of the body is not accepted.")
    return encoding != "identity"


def _submission(request: Request, owner: str, *, is_form: bool) -> Submission:
    is_gzip = is_gzip_encoded(request)
    length = request.headers.get("content-length", "")
    return Submission(
        owner=owner,
        idempotency_key=idempotency_key(request),
        expected_sha256=expected_sha256(request),
        content_length=int(length) if length.isdecimal() and length.isascii() else None,
        is_gzip_encoded=is_gzip and not is_form,
    )


def described(owner: str, options: JobOptions, content_type: str, app: Services) -> Submission:
    """A submission whose bytes come later; raises UnsupportedMediaType."""
    submission = Submission(owner)
    options.apply_to(submission, content_type)
    submission.filename = options.name_of("")
    submission.media_type = media_type(content_type)
    check_type(content_type, submission.filename, app)
    _check_options(submission, app)
    return submission


def _check_options(submission: Submission, app: Services) -> None:
    """All of them are there: raises the RequestError that the processor has for them."""
    submission.options = as_json(app.processors.options(submission.processor, submission.options))


async def _form_file(
    form: MultipartBody,
    stream: AsyncIterator[bytes],
    submission: Submission,
    options: JobOptions,
    app: Services,
    door: Door,
) -> AsyncIterator[bytes]:
    """The file of a form. Its part's headers are looked at when its first bytes come, all fields at the end, since they
    may stand behind it; what the query says wins."""
    seen = False
    async for piece in form.read(stream):
        if not seen:
            seen = True
            door.check_file(form.media_type, form.filename, app)
        yield piece
    if not seen:
        door.check_file(form.media_type, form.filename, app)
    fields = {**form.fields, **options.model_dump(exclude_unset=True, by_alias=True)}
    try:
        merged = type(options).model_validate(fields)
    except ValidationError as error:
        raise invalid(error.errors(), "form", fields, type(options).model_fields) from None
    merged.apply_to(submission, form.media_type)
    submission.filename = merged.name_of(form.filename)
    submission.media_type = media_type(form.media_type)
    door.prepare(submission)
    _check_options(submission, app)


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
