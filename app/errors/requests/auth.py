"""Who asks, and what they may do."""

from __future__ import annotations

from app.errors.base import RequestError


class AdminOnly(RequestError):
    """Only an administrator may do this."""

    status = 403
    code = "admin_only"
    remedy = "Sign in with the key of a user made by `python -m app users create NAME --admin`."


class CrossSite(RequestError):
    """The request comes from a page of another site."""

    status = 403
    code = "cross_site"
    remedy = "Send it from a page of this service, or with a key in the Authorization header."


class Unauthenticated(RequestError):
    """A valid key is needed here."""

    status = 401
    code = "unauthenticated"
    remedy = (
        "Send `Authorization: Bearer granula_...`, or sign in by POST /api/v1/session; `python -m "
        "app users` makes keys."
    )


class UserExists(RequestError):
    """There is a user of that name."""

    status = 409
    code = "user_exists"
    remedy = "Choose another name, or make a key for that user."


class UserRevoked(RequestError):
    """The user is revoked."""

    status = 409
    code = "user_revoked"
    remedy = "Let the user in again by `python -m app users restore NAME`, then make a key."
