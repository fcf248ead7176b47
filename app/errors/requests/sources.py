"""Errors of object stores."""

from __future__ import annotations

from app.errors.base import RequestError
from app.errors.requests.parameters import InvalidParameter


class BadSourceUri(InvalidParameter):
    """Invalid source."""

    status = 422
    code = "bad_source_uri"
    remedy = "Write s3://bucket/key, or s3://bucket/prefix*.csv for many objects."


class ObjectAccessDenied(RequestError):
    """Object store denies access."""

    status = 422
    code = "s3_access_denied"
    remedy = "Check KEY and SECRET, and that they may list the bucket and read its objects."


class ObjectNotFound(RequestError):
    """Object not found."""

    status = 422
    code = "s3_not_found"
    remedy = (
        "Check bucket, key and ENDPOINT_URL; `aws --endpoint-url=$ENDPOINT_URL s3 ls s3://bucket/`"
        " lists the objects."
    )
