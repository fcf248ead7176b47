"""Errors of the service as a whole, or of its limits for this user."""

from __future__ import annotations

from app.errors.base import RequestError


class InsufficientStorage(RequestError):
    """Not enough disk space."""

    status = 507
    code = "insufficient_storage"
    remedy = "Free disk space, or lower MIN_FREE_DISK_MB."


class InternalError(RequestError):
    """Internal server error."""

    status = 500
    code = "internal_error"
    remedy = "Report the request_id; the log has the details."


class NotConfigured(RequestError):
    """Feature not configured."""

    status = 503
    code = "not_configured"
    remedy = "Set or install what `detail` names and restart the service."


class QuotaExceeded(RequestError):
    """Quota exceeded."""

    status = 429
    code = "quota_exceeded"
    remedy = "Delete files, or wait until jobs have ended; GET /api/v1/me shows quota and usage."


class RateLimited(RequestError):
    """Too many requests."""

    status = 429
    code = "rate_limited"
    remedy = "Wait for Retry-After seconds and send fewer."


class Unavailable(RequestError):
    """Service unavailable."""

    status = 503
    code = "unavailable"
    remedy = "Wait for Retry-After seconds and try again."
