"""Errors of authentication and authorization."""

from __future__ import annotations

from app.errors.base import RequestError


class AdminOnly(RequestError):
    """Administrator required."""

    status = 403
    code = "admin_only"
    remedy = "Sign in with the key of a user made by `python -m app users create NAME --admin`."


class CrossSite(RequestError):
    """Request from a page of another site."""

    status = 403
    code = "cross_site"
    remedy = "Send it from a page of this service, or with a key in the Authorization header."


class Unauthenticated(RequestError):
    """Valid key required."""

    status = 401
    code = "unauthenticated"
    remedy = (
        "Send `Authorization: Bearer granula_...`, or sign in with POST /api/v1/session; `python -m"
        " app users` makes keys."
    )


class UserExists(RequestError):
    """User already exists."""

    status = 409
    code = "user_exists"
    remedy = "Choose another name, or make a key for that user."


class UserRevoked(RequestError):
    """User revoked."""

    status = 409
    code = "user_revoked"
    remedy = "Restore the user with `python -m app users restore NAME`, then make a key."
