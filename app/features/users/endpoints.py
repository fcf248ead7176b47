"""/api/v1/me, session, users: the current user, sign-in, and administration."""

from __future__ import annotations

import logging
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response

from app.api.authentication import COOKIE
from app.api.errors import problem_responses
from app.api.json import encoded
from app.api.parameters import Integer, checked_query, identifier
from app.api.services import Admin, App, Services, SignedIn
from app.features.users.schemas import (
    CreatedKey,
    Me,
    NewUser,
    NewUserKey,
    SignIn,
    User,
    UserKeyList,
    UserPage,
    UserWithKey,
)
from app.jobs.users import Caller, NewKey

logger = logging.getLogger(__name__)
router = APIRouter(prefix="/api/v1", tags=["users"], dependencies=[Depends(checked_query)])

UserId = Annotated[
    str, Path(max_length=100, pattern=r"^[^\x00]*$", description="The name of the user.")
]


@router.get("/me", response_model=Me, responses=problem_responses(401, 429))
async def get_me(app: App, caller: SignedIn) -> Response:
    """Return the current user, the key, and usage and limits."""
    return encoded(await _me(app, caller))


async def _me(app: Services, caller: Caller) -> dict[str, Any]:
    key = None
    if caller.key_id is not None:
        expires_at = caller.key_expires_at.isoformat() if caller.key_expires_at else None
        key = {"key_id": str(caller.key_id), "label": caller.key_label, "expires_at": expires_at}
    return {
        "user_id": caller.user_id,
        "is_admin": caller.is_admin,
        "is_signed_in": caller.key_id is not None,
        "auth_required": app.settings.auth_required,
        "key": key,
        "limits": {
            **await app.limits.usage(caller.user_id),
            "requests_per_minute": app.settings.owner_requests_per_minute or None,
        },
    }


@router.post("/session", response_model=Me, responses=problem_responses(401, 403, 422, 429))
async def sign_in(body: SignIn, request: Request, app: App) -> Response:
    """Sign a browser in with a cookie that scripts cannot read. Pages need it for event streams and
    downloads, which send no header.
    """
    app.authenticator.check_same_origin(request, must_be_proven=False)
    caller = await app.authenticator.by_key(request, body.key.get_secret_value())
    seconds = app.settings.session_hours * 3600
    answer = encoded(await _me(app, caller))
    answer.set_cookie(
        COOKIE,
        await app.users.open_session(caller, seconds),
        max_age=int(seconds),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


@router.delete("/session", status_code=204, responses=problem_responses(401, 403))
async def sign_out(app: App, caller: SignedIn) -> Response:
    """End the session of this browser; the key stays valid."""
    if caller.session is not None:
        await app.users.close_session(caller.session)
    answer = Response(status_code=204)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer


@router.get("/users", response_model=UserPage, responses=problem_responses(401, 403, 422))
async def list_users(
    app: App,
    _: Admin,
    limit: Annotated[Integer, Query(ge=1, le=500)] = 100,
    after: Annotated[
        str, Query(max_length=100, pattern=r"^[^\x00]*$", description="`next_after` of a page.")
    ] = "",
) -> Response:
    """List users sorted by name."""
    listed = await app.users.list(after=after, limit=limit)
    next_after = listed[-1]["user_id"] if len(listed) == limit else None
    return encoded({"items": listed, "limit": limit, "next_after": next_after})


@router.post(
    "/users",
    status_code=201,
    response_model=UserWithKey,
    responses=problem_responses(401, 403, 409, 422),
)
async def create_user(body: NewUser, app: App, admin: Admin) -> Response:
    """Create a user with a first key. Only this response contains the key."""
    new_user = await app.users.create(
        body.user_id, is_admin=body.is_admin, days=body.expires_in_days
    )
    logger.info("%s created user %s", admin.user_id, body.user_id)
    user = await app.users.get(body.user_id)
    return encoded(user | _shown(new_user), 201, {"Location": f"/api/v1/users/{body.user_id}"})


@router.get("/users/{user_id}", response_model=User, responses=problem_responses(401, 403, 404))
async def get_user(user_id: UserId, app: App, _: Admin) -> Response:
    return encoded(await app.users.get(user_id))


@router.delete("/users/{user_id}", status_code=204, responses=problem_responses(401, 403, 404))
async def revoke_user(user_id: UserId, app: App, admin: Admin) -> Response:
    """Revoke all keys of the user and stop the schedules. Files and jobs stay, and the name is not
    reused.
    """
    await app.users.revoke(user_id)
    logger.info("%s revoked user %s", admin.user_id, user_id)
    return Response(status_code=204)


@router.get(
    "/users/{user_id}/keys", response_model=UserKeyList, responses=problem_responses(401, 403, 404)
)
async def list_keys(user_id: UserId, app: App, _: Admin) -> Response:
    """List keys, oldest first, without their values, which are not stored."""
    return encoded({"items": await app.users.list_keys(user_id)})


@router.post(
    "/users/{user_id}/keys",
    status_code=201,
    response_model=CreatedKey,
    responses=problem_responses(401, 403, 404, 409, 422),
)
async def create_key(user_id: UserId, body: NewUserKey, app: App, admin: Admin) -> Response:
    """Create another key. Only this response contains it."""
    key = await app.users.create_key(user_id, days=body.expires_in_days, label=body.label)
    logger.info("%s created key %s of user %s", admin.user_id, key.id, user_id)
    return encoded({"user_id": user_id, "label": body.label, **_shown(key)}, 201)


@router.delete(
    "/users/{user_id}/keys/{key_id}", status_code=204, responses=problem_responses(401, 403, 404)
)
async def revoke_key(user_id: UserId, key_id: str, app: App, admin: Admin) -> Response:
    """Revoke a key. It and its sessions end with the next request."""
    await app.users.revoke_key(identifier(key_id), user_id)
    logger.info("%s revoked key %s of user %s", admin.user_id, key_id, user_id)
    return Response(status_code=204)


def _shown(key: NewKey) -> dict[str, str]:
    return {"key_id": str(key.id), "key": key.key}
