"""Errors of uploads by the tus protocol."""

from __future__ import annotations

from app.errors.base import RequestError


class BadTusRequest(RequestError):
    """Missing or invalid tus header."""

    status = 400
    code = "bad_tus_request"
    remedy = "Read `detail`; https://tus.io/protocols/resumable-upload describes the headers."


class ChecksumMismatch(RequestError):
    """Checksum mismatch."""

    status = 460
    code = "checksum_mismatch"
    remedy = "Send the bytes again; none of them was stored."


class OffsetMismatch(RequestError):
    """Upload offset mismatch."""

    status = 409
    code = "offset_mismatch"
    remedy = "Request the offset with HEAD and continue from there."


class TusVersion(RequestError):
    """Missing or unsupported Tus-Resumable header."""

    status = 412
    code = "tus_version"
    remedy = "Send `Tus-Resumable: 1.0.0`."


class UploadExpired(RequestError):
    """Upload expired."""

    status = 410
    code = "upload_expired"
    remedy = "Start a new upload; UPLOAD_EXPIRY_HOURS sets how long an upload may be idle."


class UploadLocked(RequestError):
    """Upload locked by another request."""

    status = 423
    code = "upload_locked"
    remedy = "Wait a moment, request the offset with HEAD and continue from there."
