"""The request itself: its headers, its method, its address."""

from __future__ import annotations

from app.errors.base import RequestError


class BadHost(RequestError):
    """The Host header is missing, doubled or malformed."""

    status = 400
    code = "bad_host"
    remedy = "Send one `Host: name:port`, as every HTTP client does."


class BadIdempotencyKey(RequestError):
    """The Idempotency-Key cannot be used."""

    status = 400
    code = "bad_idempotency_key"
    remedy = "Send 1 to 255 printable ASCII characters."


class BodyTooLarge(RequestError):
    """The body of the request is too large."""

    status = 413
    code = "body_too_large"
    remedy = "Send less than 1 MiB here; files go to /api/v1/upload."


class HeadersTimeout(RequestError):
    """The headers of the request did not come in time."""

    status = 408
    code = "headers_timeout"
    remedy = "Send the request again, its headers at once."


class HeadersTooLarge(RequestError):
    """The request headers are too large."""

    status = 431
    code = "headers_too_large"
    remedy = "Send fewer or shorter headers."


class HostNotAllowed(RequestError):
    """The service is not to be asked for under this name."""

    status = 421
    code = "host_not_allowed"
    remedy = (
        "Use localhost or an address, or set ALLOWED_HOSTS to the name and start the service again."
    )


class IdempotencyInFlight(RequestError):
    """A request with this Idempotency-Key is still running."""

    status = 409
    code = "idempotency_in_flight"
    remedy = "Wait for its end and send the request again."


class IdempotencyKeyReused(RequestError):
    """This Idempotency-Key was used for another request."""

    status = 422
    code = "idempotency_key_reused"
    remedy = "Use a new key for a new upload."


class MalformedJson(RequestError):
    """The JSON body cannot be read."""

    status = 400
    code = "malformed_json"
    remedy = "Send one JSON object, with Content-Type: application/json."


class MalformedRequest(RequestError):
    """The request is not one of HTTP/1.1."""

    status = 400
    code = "malformed_request"
    remedy = (
        "Send it by an HTTP client; an address that begins with https needs a server in front that"
        " speaks TLS."
    )


class MethodNotAllowed(RequestError):
    """This address does not take that method."""

    status = 405
    code = "method_not_allowed"
    remedy = "See /docs for the methods of each path."


class NotFound(RequestError):
    """There is nothing under this address."""

    status = 404
    code = "not_found"
    remedy = "Check the id; deleted files answer like unknown ones."


class RangeNotSatisfiable(RequestError):
    """The file does not have the bytes asked for."""

    status = 416
    code = "range_not_satisfiable"
    remedy = "Ask for a range within the size that Content-Range tells."


class UnsupportedMediaType(RequestError):
    """This media type is not accepted."""

    status = 415
    code = "unsupported_media_type"
    remedy = "Send one of the accepted types, or application/octet-stream to decide by content."


class UnsupportedTransferEncoding(RequestError):
    """This encoding of the body is not accepted."""

    status = 415
    code = "unsupported_transfer_encoding"
    remedy = "Send the bytes as they are, or compressed with gzip."
