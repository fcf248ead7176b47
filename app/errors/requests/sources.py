"""Errors of sources."""

from __future__ import annotations

from app.errors.base import RequestError
from app.errors.requests.parameters import InvalidParameter


class BadSourceUri(InvalidParameter):
    """Invalid source."""

    status = 422
    code = "bad_source_uri"
    remedy = (
        "Write s3://bucket/key, https://host/path or file:///folder/name; s3://bucket/prefix*.csv and"
        " file:///folder/*.csv stand for many files."
    )


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


class SourceMissing(RequestError):
    """Source not found."""

    status = 422
    code = "source_not_found"
    remedy = "Check the URL or the path."


class SourceForbidden(RequestError):
    """Source denies access."""

    status = 422
    code = "source_access_denied"
    remedy = "Name `credentials` that may read it, or give the service access to the file."


class SourceReplaced(RequestError):
    """Source changed while it was read."""

    status = 409
    code = "source_changed"
    remedy = "Send the request again; it then reads the new version."


class SourceRefused(RequestError):
    """Source not allowed."""

    status = 422
    code = "source_refused"
    remedy = (
        "Use https and a public address; SOURCE_PRIVATE_HOSTS allows hosts of your own network and"
        " http, SOURCE_FOLDERS allows folders."
    )


class BadSourceAnswer(RequestError):
    """Source does not send a file."""

    status = 422
    code = "bad_source_answer"
    remedy = "Open the URL yourself: it must answer 200 with the file, not with a page."
