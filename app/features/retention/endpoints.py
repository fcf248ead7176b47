"""/api/v1/retention: what the rules of retention delete."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response

from app.api.errors import problem_responses
from app.api.json import encoded
from app.api.parameters import checked_query
from app.api.services import App, SignedIn
from app.errors import AdminOnly
from app.features.retention.rules import Kind
from app.features.retention.schemas import RetentionPlan
from app.features.retention.service import Retention

router = APIRouter(
    prefix="/api/v1/retention", tags=["health"], dependencies=[Depends(checked_query)]
)
Days = Annotated[float | None, Query(gt=0, le=36_500)]


@router.get("", response_model=RetentionPlan, responses=problem_responses(403, 422))
async def get_retention(
    app: App,
    caller: SignedIn,
    bytes: Days = None,
    rows: Days = None,
    rejects: Days = None,
    jobs: Days = None,
) -> Response:
    """Return what the rules of RETENTION delete in their next round. With parameters, return
    instead what rules with so many days would delete. This endpoint deletes nothing. If users sign
    in, it is for administrators.
    """
    if app.settings.auth_required and not caller.is_admin:
        raise AdminOnly
    tried = {Kind.BYTES: bytes, Kind.ROWS: rows, Kind.REJECTS: rejects, Kind.JOBS: jobs}
    setting = {str(kind): days for kind, days in tried.items() if days is not None}
    return encoded(await app.of(Retention).plan(setting or None))
