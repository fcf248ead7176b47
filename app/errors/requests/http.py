"""Errors of the request itself: its headers, its method, its address."""

from __future__ import annotations

from app.errors.base import RequestError


class BadHost(RequestError):
    """Missing, repeated or malformed Host header."""

    status = 400
    code = "bad_host"
    remedy = "Send one `Host: name:port`, as every HTTP client does."


class BadIdempotencyKey(RequestError):
    """Invalid Idempotency-Key."""

    status = 400
    code = "bad_idempotency_key"
    remedy = "Send 1 to 255 printable ASCII characters."


class BodyTooLarge(RequestError):
    """Request body too large."""

    status = 413
    code = "body_too_large"
    remedy = "Send less than 1 MiB to this endpoint; upload files to /api/v1/upload."


class HeadersTimeout(RequestError):
    """Request headers timed out."""

    status = 408
    code = "headers_timeout"
    remedy = "Send all headers of the request at once."


class HeadersTooLarge(RequestError):
    """Request headers too large."""

    status = 431
    code = "headers_too_large"
    remedy = "Send fewer or shorter headers."


class HostNotAllowed(RequestError):
    """Host name not allowed."""

    status = 421
    code = "host_not_allowed"
    remedy = (
        "Use localhost or an address, or add the name to ALLOWED_HOSTS and restart the service."
    )


class IdempotencyInFlight(RequestError):
    """Request with this Idempotency-Key still running."""

    status = 409
    code = "idempotency_in_flight"
    remedy = "Wait until it has ended, then send the request again."


class IdempotencyKeyReused(RequestError):
    """Idempotency-Key already used for another request."""

    status = 422
    code = "idempotency_key_reused"
    remedy = "Use a new key for another request."


class MalformedJson(RequestError):
    """Malformed JSON body."""

    status = 400
    code = "malformed_json"
    remedy = "Send one JSON object, with Content-Type: application/json."


class MalformedRequest(RequestError):
    """Malformed HTTP request."""

    status = 400
    code = "malformed_request"
    remedy = "Use an HTTP/1.1 client; an https address needs a server in front that terminates TLS."


class MethodNotAllowed(RequestError):
    """Method not allowed."""

    status = 405
    code = "method_not_allowed"
    remedy = "See /docs for the methods of each path."


class NotFound(RequestError):
    """Not found."""

    status = 404
    code = "not_found"
    remedy = "Check the id; a deleted file gives the same answer as an unknown one."


class RangeNotSatisfiable(RequestError):
    """Range not satisfiable."""

    status = 416
    code = "range_not_satisfiable"
    remedy = "Request a range within the size in Content-Range."


class UnsupportedMediaType(RequestError):
    """Media type not accepted."""

    status = 415
    code = "unsupported_media_type"
    remedy = (
        "Send one of the accepted types, or application/octet-stream to let the content decide."
    )


class UnsupportedTransferEncoding(RequestError):
    """Encoding of the body not accepted."""

    status = 415
    code = "unsupported_transfer_encoding"
    remedy = "Send the bytes uncompressed, or with gzip, zstd, bzip2, xz, lz4 or deflate."
