"""Errors of imports and of the search in their records."""

from __future__ import annotations

from app.errors.base import RequestError


class ImportNotFound(RequestError):
    """Import not found."""

    status = 404
    code = "import_not_found"
    remedy = "Check the id; GET /api/imports lists them."


class SearchUnavailable(RequestError):
    """Language model not installed."""

    status = 503
    code = "search_unavailable"
    remedy = "Run ./scripts/install_model on the server; filters and `text` work without it."


class UnknownSchema(RequestError):
    """Unknown schema."""

    status = 422
    code = "unknown_schema"
    remedy = "Use one of the names in `detail`."
