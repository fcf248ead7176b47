"""Objects of an object store."""

from __future__ import annotations

from app.errors.base import RequestError
from app.errors.requests.parameters import InvalidParameter


class BadSourceUri(InvalidParameter):
    """The source cannot be used."""

    status = 422
    code = "bad_source_uri"
    remedy = "Write it as s3://bucket/key, or s3://bucket/prefix*.csv for many objects."


class ObjectAccessDenied(RequestError):
    """The object store denies access."""

    status = 422
    code = "s3_access_denied"
    remedy = "Check KEY and SECRET, and that they may list the bucket and read its objects."


class ObjectNotFound(RequestError):
    """There is no such object."""

    status = 422
    code = "s3_not_found"
    remedy = (
        "Check bucket, key and ENDPOINT_URL; list what is there with `aws "
        "--endpoint-url=$ENDPOINT_URL s3 ls s3://bucket/`."
    )
