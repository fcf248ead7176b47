from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.storage.buckets import OurBucket


@pytest.fixture(scope="session")
def bucket() -> Iterator[OurBucket]:
    """A bucket of a real S3 server over HTTP."""
    our_bucket = OurBucket(f"granula-{uuid4().hex[:8]}")
    yield our_bucket
    our_bucket.stop()
