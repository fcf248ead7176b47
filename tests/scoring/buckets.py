"""Fixtures: a bucket of a real S3 server."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.scoring.services import Bucket


@pytest.fixture(scope="session")
def s3() -> Iterator[Bucket]:
    bucket = Bucket(f"transactions-{uuid4().hex[:8]}")  # a named server may hold others
    yield bucket
    bucket.stop()


@pytest.fixture
def bucket(s3: Bucket) -> Bucket:
    """An empty bucket."""
    s3.clear()
    return s3
