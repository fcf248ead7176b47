"""/api/v1/templates: accepted mappings, in versions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import Response
from pydantic import BaseModel

from app.api.errors import problem_responses
from app.api.json import encoded_any
from app.api.parameters import Integer, Offset, checked_query, identifier
from app.api.services import App, Owner
from app.features.templates.schemas import EditedTemplate, NewTemplate, Template, TemplateList
from app.features.templates.service import Templates

router = APIRouter(
    prefix="/api/v1/templates", tags=["templates"], dependencies=[Depends(checked_query)]
)


async def template_id(template_id: Annotated[str, Path(description="The `template_id`.")]) -> UUID:
    return identifier(template_id)


TemplateId = Annotated[UUID, Depends(template_id)]


@router.post(
    "",
    status_code=201,
    response_model=Template,
    responses=problem_responses(400, 404, 409, 422, 503),
)
async def create_template(body: NewTemplate, app: App, owner: Owner) -> Response:
    """Accept a mapping, as proposed or edited: its headers are mapped the same way from now on. Or
    save the columns that are wanted, to map files onto them.
    """
    template = await app.of(Templates).create(
        owner, body.name, _dumped(body.columns), body.job_id, _dumped(body.target)
    )
    return encoded_any(template, 201, {"Location": f"/api/v1/templates/{template['template_id']}"})


def _dumped(columns: Sequence[BaseModel] | None) -> list[dict[str, Any]] | None:
    return None if columns is None else [column.model_dump() for column in columns]


@router.get("", response_model=TemplateList, responses=problem_responses(422))
async def list_templates(
    app: App,
    owner: Owner,
    limit: Annotated[Integer, Query(ge=1, le=500)] = 50,
    offset: Annotated[Offset, Query()] = 0,
) -> Response:
    """List the latest version of each template, newest first."""
    return encoded_any(await app.of(Templates).list_latest(owner, limit=limit, offset=offset))


@router.get("/{template_id}", response_model=Template, responses=problem_responses(404, 422))
async def get_template(
    template_id: TemplateId,
    app: App,
    owner: Owner,
    version: Annotated[
        Integer | None, Query(ge=1, le=2**31, description="Version; the latest by default.")
    ] = None,
) -> Response:
    """Return a template in one of its versions."""
    return encoded_any(await app.of(Templates).get(template_id, owner, version))


@router.put(
    "/{template_id}", response_model=Template, responses=problem_responses(400, 404, 422, 503)
)
async def edit_template(
    template_id: TemplateId, body: EditedTemplate, app: App, owner: Owner
) -> Response:
    """Create the next version of a template; the earlier ones stay."""
    columns = [column.model_dump() for column in body.columns]
    edited = await app.of(Templates).edit(
        template_id, owner, body.name, columns, _dumped(body.target)
    )
    return encoded_any(edited)


@router.delete("/{template_id}", status_code=204, responses=problem_responses(404))
async def delete_template(template_id: TemplateId, app: App, owner: Owner) -> Response:
    """Delete a template with all its versions."""
    await app.of(Templates).delete(template_id, owner)
    return Response(status_code=204)
