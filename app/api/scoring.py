"""POST /api/v1/jobs/score: score objects of a bucket where they lie, or a file that was uploaded before."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.errors import problem_responses
from app.api.parameters import Integer, Priority
from app.api.services import App, Owner
from app.errors import InvalidParameter, Unavailable
from app.formats.detect import Declared
from app.jobs.objects import ObjectsSubmission, ObjectsSubmitter
from app.jobs.schedules import Submit

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])


Source = Annotated[
    str,
    Field(
        max_length=1000,
        pattern=r"^[^\x00]*$",
        description="`s3://bucket/key`; all keys with that beginning if it ends in `/`; all that match if it holds "
        "`*`, `?` or `[` and is no key itself.",
    ),
]


class ObjectsRequest(BaseModel):
    """Which objects are to be scored, and how they are read; what is not given is detected."""

    model_config = ConfigDict(extra="forbid")

    source: Source
    priority: Priority = 0
    chunk_size: Annotated[Integer, Field(ge=100, le=100_000)] | None = None
    format: Literal["csv", "json", "jsonl"] | None = None
    encoding: Annotated[str, Field(max_length=40)] | None = None
    delimiter: Annotated[str, Field(min_length=1, max_length=10)] | None = None

    def submission(self, owner: str) -> ObjectsSubmission:
        return ObjectsSubmission(
            owner,
            self.source,
            priority=self.priority,
            chunk_size=self.chunk_size,
            declared=Declared(format=self.format, encoding=self.encoding, delimiter=self.delimiter),
        )


class ScoreRequest(ObjectsRequest):
    """What is to be scored: `source`, or `file_id`. How an upload is read was settled when it came."""

    source: Source = ""
    file_id: UUID | None = Field(default=None, description="Of an upload.")

    def check(self) -> None:
        """Raises InvalidParameter."""
        if bool(self.source) == (self.file_id is not None):
            raise InvalidParameter("Give either source or file_id.")
        if self.file_id is not None and (self.format or self.encoding or self.delimiter):
            raise InvalidParameter(
                "How an upload is read was settled when it came: leave out format, encoding, delimiter."
            )


@router.post("/score", status_code=201, responses=problem_responses(400, 404, 409, 415, 422, 503))
async def score(request: Request, body: ScoreRequest, app: App, owner: Owner) -> Response:
    """Make a job for one object, or for a file that was uploaded, or a job with a part for each object of a prefix or
    pattern. Its status, cancel, retry, rejects and proof are those of any job."""
    if app.machine.is_draining:
        raise Unavailable("The service is shutting down.", headers={"Retry-After": "10"})
    body.check()
    if body.file_id is not None:
        made_of_file = await app.file_jobs.submit(
            owner, body.file_id, "scoring", priority=body.priority, chunk_size=body.chunk_size
        )
        job_id = made_of_file.job_id
        queued = {"job_id": str(job_id), "file_id": str(body.file_id), "status": "queued", "processor": "scoring",
                  "priority": body.priority}  # fmt: skip
        return JSONResponse(queued, 201, {"Location": f"/api/v1/jobs/{job_id}"})
    made = await app.objects.submit(body.submission(owner))
    return JSONResponse(made, 201, {"Location": f"/api/v1/jobs/{made['job_id']}"})


def submitting(objects: ObjectsSubmitter) -> Submit:
    """For schedules: a job from what was given to one, checked as a request would be."""

    async def submit(owner: str, job: dict[str, Any]) -> dict[str, Any]:
        return await objects.submit(ObjectsRequest.model_validate(job).submission(owner))

    return submit
