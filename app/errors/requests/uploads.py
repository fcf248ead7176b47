"""A body that is received and stored."""

from __future__ import annotations

from app.errors.base import RequestError


class BadDigest(RequestError):
    """The Repr-Digest header cannot be read."""

    status = 400
    code = "bad_digest"
    remedy = "Write it as `Repr-Digest: sha-256=:<base64 of the 32 bytes>:`."


class DecompressedTooLarge(RequestError):
    """The file is too large once decompressed."""

    status = 413
    code = "decompressed_too_large"
    remedy = "Raise MAX_UPLOAD_MB, or split the file."


class DigestMismatch(RequestError):
    """The bytes received do not have the announced digest."""

    status = 422
    code = "digest_mismatch"
    remedy = "Send the file again; nothing was kept."


class DuplicateUpload(RequestError):
    """The same bytes were uploaded before with the same options."""

    status = 409
    code = "duplicate_upload"
    remedy = "Use the file in `existing_id`, or upload with on_duplicate=new."


class FileTooLarge(RequestError):
    """The file is larger than the limit."""

    status = 413
    code = "file_too_large"
    remedy = "Raise MAX_UPLOAD_MB, or split the file."


class MalformedMultipart(RequestError):
    """The multipart body cannot be read."""

    status = 400
    code = "malformed_multipart"
    remedy = (
        "Send one part named `file` with a boundary in Content-Type, as `curl -F file=@data.csv`"
        " does."
    )


class MissingFilePart(RequestError):
    """The form has no part named `file`."""

    status = 422
    code = "missing_file_part"
    remedy = "Send the file as `curl -F file=@data.csv`, or as the raw body."


class MultipartLimits(RequestError):
    """The multipart body has too many or too large form fields."""

    status = 400
    code = "multipart_limits"
    remedy = "Send options as query parameters and only the file as a part."


class TooManyFiles(RequestError):
    """The form has more than one file."""

    status = 422
    code = "too_many_files"
    remedy = "Send one file a request."


class TruncatedMultipart(RequestError):
    """The multipart body ended before its closing boundary."""

    status = 400
    code = "truncated_multipart"
    remedy = "Send the whole body again; nothing was kept."


class UploadStalled(RequestError):
    """The upload stopped sending."""

    status = 408
    code = "upload_stalled"
    remedy = "Send it again over a steadier connection."
