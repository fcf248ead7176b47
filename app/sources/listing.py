"""Lists the keys of a bucket, whatever they are: obstore aborts a listing at the first key that it
cannot parse as a path.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_plus
from xml.etree import ElementTree  # nosec B405: parses responses of the configured endpoint

from app.lazy import LazyModule

if TYPE_CHECKING:
    import httpx
else:  # of use with a bucket alone
    httpx = LazyModule("httpx")

TRIES = 5
PAUSE_SECONDS = 0.1
TIMEOUT_SECONDS, CONNECT_SECONDS = 30.0, 5.0
PASSING = frozenset((408, 429, 500, 502, 503, 504))


class ListingError(Exception):
    """A listing failed. `status` is that of the response; 0 if there was no readable response."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Listed:
    key: str
    size: int
    etag: str


def listed(
    endpoint_url: str, bucket: str, prefix: str, key: str, secret: str, region: str
) -> Iterator[Listed]:
    """Yield all objects with this key prefix. Requests are signed unless `key` is empty. Raises
    ListingError.
    """
    # XML cannot represent every key.
    query = {"list-type": "2", "encoding-type": "url", "prefix": prefix}
    url = f"{endpoint_url.rstrip('/')}/{bucket}"
    timeout = httpx.Timeout(TIMEOUT_SECONDS, connect=CONNECT_SECONDS)
    with httpx.Client(timeout=timeout) as client:
        while True:
            root = _page(client, url, query, key, secret, region)
            decode = unquote_plus if root.findtext("{*}EncodingType") == "url" else str
            for element in root.iterfind("{*}Contents"):
                size = int(element.findtext("{*}Size", "0"))
                yield Listed(
                    decode(element.findtext("{*}Key", "")), size, element.findtext("{*}ETag", "")
                )
            if root.findtext("{*}IsTruncated") != "true":
                return
            query["continuation-token"] = root.findtext("{*}NextContinuationToken", "")


def _page(
    client: httpx.Client, url: str, query: dict[str, str], key: str, secret: str, region: str
) -> ElementTree.Element:
    named = "&".join(f"{name}={quote(value, safe='')}" for name, value in sorted(query.items()))
    answer = _requested(client, f"{url}?{named}", key, secret, region)
    if not answer.is_success:
        raise ListingError(answer.status_code, f"the answer was {answer.status_code}")
    try:
        return ElementTree.fromstring(answer.content)  # nosec B314
    except ElementTree.ParseError:
        raise ListingError(0, "the answer was not a list of objects") from None


def _requested(
    client: httpx.Client, url: str, key: str, secret: str, region: str
) -> httpx.Response:
    """Send a request, retrying transient errors for some seconds."""
    for attempt in range(TRIES):
        if attempt:
            time.sleep(PAUSE_SECONDS * 3**attempt)
        try:
            answer = client.get(url, headers=_signed(url, key, secret, region) if key else {})
        except httpx.HTTPError as error:
            failed = ListingError(0, str(error) or type(error).__name__)
            continue
        if answer.status_code not in PASSING:
            return answer
        failed = ListingError(answer.status_code, f"the answer was {answer.status_code}")
    raise failed


def _signed(url: str, key: str, secret: str, region: str) -> dict[str, str]:
    from botocore.awsrequest import AWSRequest

    request = AWSRequest("GET", url)
    _signer(key, secret, region).add_auth(request)
    return dict(request.headers.items())


@cache
def _signer(key: str, secret: str, region: str) -> Any:
    from botocore.auth import S3SigV4Auth  # here: it takes 80 ms, and not every process lists
    from botocore.credentials import Credentials

    return S3SigV4Auth(Credentials(key, secret), "s3", region)
