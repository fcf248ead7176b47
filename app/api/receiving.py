"""The body of an upload as it comes, whichever door it comes through."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from app.api.errors import invalid
from app.api.multipart import MultipartBody
from app.api.parameters import JobOptions, media_type
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
from app.jobs.submit import Accepted, Complete, Submission
from app.processors.options import as_json, validated, validated_some

UNDECLARED = (
    "",
    "application/octet-stream",
    "binary/octet-stream",
    "application/x-www-form-urlencoded",
)
"""Types that clients send when they know nothing: the content decides."""

BINARY = {"type": "string", "format": "binary"}


def described_body(content: dict[str, Any]) -> dict[str, Any]:
    """What the OpenAPI document says of a body of one of these media types."""
    return {"requestBody": {"required": True, "content": content}}


def form_with_file(**fields: dict[str, str]) -> dict[str, Any]:
    """A form with a file and these fields, as a media type of the document."""
    properties = {"file": BINARY, **fields}
    schema = {"type": "object", "required": ["file"], "properties": properties}
    return {"multipart/form-data": {"schema": schema}}


BODY = described_body(
    {
        **form_with_file(priority={"type": "integer"}),
        "application/octet-stream": {"schema": BINARY},
    }
)
"""A file as a form or as the raw body."""


async def pieces(request: Request) -> AsyncIterator[bytes]:
    """The body. Who sends too slowly is refused, and everybody when the service ends
    (app/api/middleware.py).
    """
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

    prepare: Callable[[Submission], Submission] = lambda submission: submission
    """Makes a submission one of this door. Called again with what a form has made of it."""
    check_file: Callable[[str, str, Services], None] = check_type
    """Raises what the door has against a file of this content type and name, before it is read."""
    takes_raw: bool = True
    """A body that is the file itself, and not a form with a file."""


async def receive(
    request: Request, app: Services, owner: str, options: JobOptions, door: Door = Door()
) -> Accepted | None:
    """Refuse what can be refused before the first byte of the body, then stream it; None if the
    client went away, and then nothing is accepted.
    """
    check_open(app)
    content_type = request.headers.get("content-type", "")
    is_form = content_type.lower().startswith("multipart/form-data")
    if not is_form and not door.takes_raw:
        raise MissingFilePart
    submission = _submission(request, owner, is_form=is_form)
    submission = door.prepare(options.apply_to(submission, "" if is_form else content_type))
    if is_form:
        so_far = _options_so_far(submission, app)
        if so_far is not None:
            await check_plan(submission, app)
        form = _Form(MultipartBody(content_type), submission, so_far, options, app, door)
        await app.submitter.check(submission)
        return await _submitted(app, submission, form.file(pieces(request)), form.complete)
    submission = replace(
        submission, filename=options.name_of(""), media_type=media_type(content_type)
    )
    door.check_file(content_type, submission.filename, app)
    submission = _with_checked_options(submission, app)
    await check_plan(submission, app)
    await app.submitter.check(submission)
    return await _submitted(app, submission, pieces(request))


async def _submitted(
    app: Services,
    submission: Submission,
    body: AsyncIterator[bytes],
    complete: Complete | None = None,
) -> Accepted | None:
    try:
        return await app.submitter.submit(submission, body, complete)
    except ClientDisconnect:
        return None


def declared_kind(request: Request) -> Kind | None:
    """How the body comes, by its Content-Encoding; raises UnsupportedTransferEncoding."""
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
    """A submission whose bytes come later; raises UnsupportedMediaType."""
    named = Submission(owner, filename=options.name_of(""), media_type=media_type(content_type))
    submission = options.apply_to(named, content_type)
    check_type(content_type, submission.filename, app)
    return _with_checked_options(submission, app)


def _with_checked_options(submission: Submission, app: Services) -> Submission:
    """All of them are there: raises the RequestError that the processor has for them."""
    name, given = submission.processor, submission.options
    job_type = app.job_types.planning(name)
    if job_type is not None:
        options: BaseModel = validated(job_type.options, f"the processor {name}", given)
    else:
        options = app.processors.options(name, given)
    return replace(submission, options=as_json(options))


def _options_so_far(submission: Submission, app: Services) -> BaseModel | None:
    """None if the query does not say all that the processor needs."""
    name, given = submission.processor, submission.options
    job_type = app.job_types.planning(name)
    if job_type is not None:
        return validated_some(job_type.options, f"the processor {name}", given)
    return app.processors.options_so_far(name, given)


async def check_plan(submission: Submission, app: Services) -> None:
    """Raises the RequestError that a type of jobs has for its options, before a file is there."""
    job_type = app.job_types.planning(submission.processor)
    if job_type is not None:
        await job_type.prepare(submission.owner, submission.options)


@dataclass(frozen=True, slots=True)
class _Form:
    """A form with a file, and what is asked for besides: what the query says wins."""

    body: MultipartBody
    submission: Submission
    """As the query and the headers of the request say."""
    so_far: BaseModel | None
    """Of the processor, if the query says all that it needs."""
    options: JobOptions
    app: Services
    door: Door

    async def file(self, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The bytes of the file. Its part's headers are looked at when its first bytes come."""
        is_checked = False
        async for piece in self.body.read(stream):
            if not is_checked:
                is_checked = True
                self.door.check_file(self.body.media_type, self.body.filename, self.app)
            yield piece
        if not is_checked:
            self.door.check_file(self.body.media_type, self.body.filename, self.app)

    def complete(self) -> Submission:
        """With all fields of the form, which may stand behind the file."""
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
        return self._with_checked_options(self.door.prepare(submission))

    def _with_checked_options(self, submission: Submission) -> Submission:
        """Those of the query are checked already, and count if the form says no others."""
        said = self.submission
        is_same = (submission.processor, submission.options) == (said.processor, said.options)
        if self.so_far is not None and is_same:
            return replace(submission, options=as_json(self.so_far))
        return _with_checked_options(submission, self.app)


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
