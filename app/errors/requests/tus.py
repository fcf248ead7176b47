"""Uploads by the tus protocol."""

from __future__ import annotations

from app.errors.base import RequestError


class BadTusRequest(RequestError):
    """A header of the tus protocol is missing or wrong."""

    status = 400
    code = "bad_tus_request"
    remedy = (
        "Read the answer's detail; https://tus.io/protocols/resumable-upload says how the headers"
        " are written."
    )


class ChecksumMismatch(RequestError):
    """The bytes do not have the checksum that came with them."""

    status = 460
    code = "checksum_mismatch"
    remedy = "Send them again; none of them was kept."


class OffsetMismatch(RequestError):
    """The upload stands at another offset."""

    status = 409
    code = "offset_mismatch"
    remedy = "Ask for the offset by HEAD and go on from there."


class TusVersion(RequestError):
    """The header Tus-Resumable is missing or names another version."""

    status = 412
    code = "tus_version"
    remedy = "Send `Tus-Resumable: 1.0.0`."


class UploadExpired(RequestError):
    """The upload was not finished in time."""

    status = 410
    code = "upload_expired"
    remedy = "Begin again; UPLOAD_EXPIRY_HOURS says how long an upload may rest."


class UploadLocked(RequestError):
    """Another request is sending bytes of this upload."""

    status = 423
    code = "upload_locked"
    remedy = "Wait a moment, ask for the offset by HEAD and go on from there."
