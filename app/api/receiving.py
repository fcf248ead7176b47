"""Receiving the body of an upload, for all upload endpoints."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

from fastapi import Request
from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from app.api.errors import invalid
from app.api.multipart import MultipartBody
from app.api.parameters import JobOptions, charset_of, media_type
from app.api.services import Services, check_open
from app.decoders.base import Kind
from app.decoders.registry import by_coding
from app.errors import (
    BadDigest,
    BadIdempotencyKey,
    MissingFilePart,
    UnsupportedMediaType,
    UnsupportedTransferEncoding,
)
from app.formats.detect import Declared
from app.jobs.submit import Accepted, Submission

UNDECLARED = (
    "",
    "application/octet-stream",
    "binary/octet-stream",
    "application/x-www-form-urlencoded",
)
"""Content types of clients that do not know the type; the content decides."""

BINARY = {"type": "string", "format": "binary"}


def described_body(content: dict[str, Any]) -> dict[str, Any]:
    """Return the OpenAPI description of a body with one of these media types."""
    return {"requestBody": {"required": True, "content": content}}


def form_with_file(**fields: dict[str, str]) -> dict[str, Any]:
    """Return the media type of a form with a file and these fields, for the OpenAPI document."""
    properties = {"file": BINARY, **fields}
    schema = {"type": "object", "required": ["file"], "properties": properties}
    return {"multipart/form-data": {"schema": schema}}


BODY = described_body(
    {
        **form_with_file(priority={"type": "integer"}),
        "application/octet-stream": {"schema": BINARY},
    }
)
"""A file as a form or as a raw body."""


async def pieces(request: Request) -> AsyncIterator[bytes]:
    """Yield the body. A client that sends too slowly is rejected, and every client at shutdown
    (app/api/middleware.py).
    """
    async for piece in request.stream():
        if piece:
            yield piece


def check_type(content_type: str, filename: str, app: Services) -> None:
    """Check whether files of this type are accepted; raises UnsupportedMediaType."""
    accepted = app.settings.allowed_content_types
    if media_type(content_type) not in accepted and media_type(content_type) not in UNDECLARED:
        raise UnsupportedMediaType(accepted=list(accepted))


@dataclass(frozen=True, slots=True)
class UploadEndpoint:
    """What distinguishes one upload endpoint from the others."""

    prepare: Callable[[Submission], Submission] = lambda submission: submission
    """Completes the submission for this endpoint. Called again after the form has been read."""
    check_file: Callable[[str, str, Services], None] = check_type
    """Checks content type and name before the file is read; raises a RequestError."""
    takes_raw: bool = True
    """Whether the body may be the file itself instead of a form."""


async def receive(
    request: Request,
    app: Services,
    owner: str,
    options: JobOptions,
    endpoint: UploadEndpoint = UploadEndpoint(),
) -> Accepted | None:
    """Check the headers, then stream the body and submit it.

    Returns None, without storing anything, if the client disconnected.
    """
    check_open(app)
    content_type = request.headers.get("content-type", "")
    is_form = content_type.lower().startswith("multipart/form-data")
    if not is_form and not endpoint.takes_raw:
        raise MissingFilePart
    submission = _submission(request, owner, is_form=is_form)
    submission = endpoint.prepare(options.apply_to(submission, "" if is_form else content_type))
    if is_form:
        so_far = app.job_types.options_so_far(submission.processor, submission.options)
        if so_far is not None:
            await check_plan(replace(submission, options=so_far), app)
        form = _Form(MultipartBody(content_type), submission, so_far, options, app, endpoint)
        await app.submitter.check(submission)
        return await _submitted(app, submission, form.file(pieces(request)), form)
    submission = replace(
        submission, filename=options.name_of(""), media_type=media_type(content_type)
    )
    endpoint.check_file(content_type, submission.filename, app)
    submission = _with_checked_options(submission, app)
    await check_plan(submission, app)
    await app.submitter.check(submission)
    return await _submitted(app, submission, pieces(request))


async def _submitted(
    app: Services,
    submission: Submission,
    body: AsyncIterator[bytes],
    form: _Form | None = None,
) -> Accepted | None:
    try:
        return await app.submitter.submit(submission, body, form)
    except ClientDisconnect:
        return None


def declared_kind(request: Request) -> Kind | None:
    """Return the compression that Content-Encoding names; raises UnsupportedTransferEncoding."""
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding == "identity":
        return None
    kind = by_coding(coding)
    if kind is None:
        raise UnsupportedTransferEncoding("The Content-Encoding of the body is not accepted.")
    return kind


def _submission(request: Request, owner: str, *, is_form: bool) -> Submission:
    kind = declared_kind(request)
    length = request.headers.get("content-length", "")
    return Submission(
        owner=owner,
        idempotency_key=idempotency_key(request),
        expected_sha256=expected_sha256(request),
        content_length=int(length) if length.isdecimal() and length.isascii() else None,
        declared_kind=None if is_form else kind,
    )


def described(owner: str, options: JobOptions, content_type: str, app: Services) -> Submission:
    """Return a submission whose bytes follow later; raises UnsupportedMediaType."""
    named = Submission(owner, filename=options.name_of(""), media_type=media_type(content_type))
    submission = options.apply_to(named, content_type)
    check_type(content_type, submission.filename, app)
    return _with_checked_options(submission, app)


def _with_checked_options(submission: Submission, app: Services) -> Submission:
    """Check the complete options; raises the job type's RequestError."""
    options = app.job_types.options(submission.processor, submission.options)
    return replace(submission, options=options)


async def check_plan(submission: Submission, app: Services) -> None:
    """Check what the job type can check before the file is received; raises its RequestError."""
    job_type = app.job_types.of_upload(submission.processor)
    await job_type.plan_for_checked(submission.owner, submission.options)


@dataclass(frozen=True, slots=True)
class _Form:
    """A form with a file. Parameters of the query take precedence over form fields."""

    body: MultipartBody
    submission: Submission
    """The submission from the query and the headers."""
    checked_options: dict[str, Any] | None
    """Its options as JSON; None if the form must add some."""
    options: JobOptions
    app: Services
    endpoint: UploadEndpoint

    async def file(self, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield the bytes of the file. The headers of its part are checked when its first bytes
        arrive.
        """
        is_checked = False
        async for piece in self.body.read(stream):
            if not is_checked:
                is_checked = True
                self.endpoint.check_file(self.body.media_type, self.body.filename, self.app)
            yield piece
        if not is_checked:
            self.endpoint.check_file(self.body.media_type, self.body.filename, self.app)

    def declared(self) -> Declared:
        """Return what the query and the fields before the file say about its encoding and records,
        else its content type. An endpoint without these parameters reads all files in its own way.
        """
        declared = self.submission.declared
        if not self.options.has("encoding"):
            return declared
        fields = self.body.fields
        return replace(
            declared,
            encoding=declared.encoding
            or fields.get("encoding")
            or charset_of(self.body.media_type),
            format=declared.format or fields.get("format"),
            records=declared.records or fields.get("records"),
            record_key=declared.record_key or fields.get("record_key"),
        )

    def complete(self) -> Submission:
        """Return the submission with all form fields, which may follow the file."""
        kind = type(self.options)
        fields = {**self.body.fields, **self.options.model_dump(exclude_unset=True, by_alias=True)}
        try:
            merged = kind.model_validate(fields)
        except ValidationError as error:
            raise invalid(error.errors(), "form", fields, kind.model_fields) from None
        submission = replace(
            merged.apply_to(self.submission, self.body.media_type),
            filename=merged.name_of(self.body.filename),
            media_type=media_type(self.body.media_type),
        )
        submission = self.endpoint.prepare(submission)
        query = self.submission
        is_same = (submission.processor, submission.options) == (query.processor, query.options)
        if is_same and self.checked_options is not None:
            return replace(submission, options=self.checked_options)
        return _with_checked_options(submission, self.app)


def idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not re.fullmatch(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?", key):
        raise BadIdempotencyKey
    return key


def expected_sha256(request: Request) -> bytes | None:
    """Return the sha-256 of the Repr-Digest header (RFC 9530); other algorithms are ignored."""
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
        except ValueError:  # binascii.Error, or not ASCII
            raise BadDigest from None
        if len(digest) != 32:
            raise BadDigest("A sha-256 digest must have 32 bytes.")
        return digest
    if not re.search(r"[\w-]+=:[A-Za-z0-9+/=]*:", header):
        raise BadDigest
    return None
