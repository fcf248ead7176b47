"""Errors of receiving and storing a body."""

from __future__ import annotations

from app.errors.base import RequestError


class BadDigest(RequestError):
    """Invalid Repr-Digest header."""

    status = 400
    code = "bad_digest"
    remedy = "Write `Repr-Digest: sha-256=:<base64 of the 32 bytes>:`."


class DecompressedTooLarge(RequestError):
    """File too large once decompressed."""

    status = 413
    code = "decompressed_too_large"
    remedy = "Raise MAX_UPLOAD_MB, or split the file."


class DigestMismatch(RequestError):
    """Digest mismatch."""

    status = 422
    code = "digest_mismatch"
    remedy = "Send the file again; nothing was stored."


class DuplicateUpload(RequestError):
    """Same bytes already uploaded with the same options."""

    status = 409
    code = "duplicate_upload"
    remedy = "Use the file in `existing_id`, or upload with on_duplicate=new."


class FileTooLarge(RequestError):
    """File larger than the limit."""

    status = 413
    code = "file_too_large"
    remedy = "Raise MAX_UPLOAD_MB, or split the file."


class MalformedMultipart(RequestError):
    """Malformed multipart body."""

    status = 400
    code = "malformed_multipart"
    remedy = (
        "Send one part named `file` with a boundary in Content-Type, as `curl -F file=@data.csv`"
        " does."
    )


class MissingFilePart(RequestError):
    """Form has no part named `file`."""

    status = 422
    code = "missing_file_part"
    remedy = "Send the file as `curl -F file=@data.csv`, or as the raw body."


class MultipartLimits(RequestError):
    """Too many or too large form fields."""

    status = 400
    code = "multipart_limits"
    remedy = "Send options as query parameters and only the file as a part."


class TooManyFiles(RequestError):
    """More than one file in the form."""

    status = 422
    code = "too_many_files"
    remedy = "Send one file per request."


class TruncatedMultipart(RequestError):
    """Multipart body ended before its closing boundary."""

    status = 400
    code = "truncated_multipart"
    remedy = "Send the whole body again; nothing was stored."


class UploadStalled(RequestError):
    """Upload stalled."""

    status = 408
    code = "upload_stalled"
    remedy = "Send it again over a more stable connection."
