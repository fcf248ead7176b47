"""Loads files without HTTP, for tests of what happens afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from app.jobs.submit import Submission
from app.jobs.users import LOCAL_OWNER
from tests.engine import Engine


async def body(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def loaded(engine: Engine, data: bytes, **wanted: Any) -> tuple[UUID, UUID]:
    """Return (file, job) of an upload whose job has ended."""
    submission = Submission(LOCAL_OWNER, filename="data.csv", **wanted)
    accepted = engine.run(engine.services.submitter.submit(submission, body(data)))
    engine.run_until_idle()
    return UUID(accepted.body["file_id"]), UUID(accepted.body["job_id"])
