"""Errors of parameters and job options."""

from __future__ import annotations

from app.errors.base import RequestError


class InvalidParameter(RequestError):
    """Invalid parameter."""

    status = 422
    code = "invalid_parameter"
    remedy = "Correct the parameters listed in `errors`."


class InvalidTransform(RequestError):
    """Invalid transform."""

    status = 422
    code = "invalid_transform"
    remedy = "Correct the places listed in `errors`; docs/transform.md has the grammar."


class UnknownJobType(InvalidParameter):
    """Unknown job type."""

    status = 422
    code = "unknown_job_type"
    remedy = "Use one of the names in `detail`."


class UnknownModel(InvalidParameter):
    """Unknown model."""

    status = 422
    code = "unknown_model"
    remedy = "Use one of the names in `detail`, or add yours to SENTIMENT_MODELS."


class UnknownProcessor(InvalidParameter):
    """Unknown processor."""

    status = 422
    code = "unknown_processor"
    remedy = "Use one of the names in `detail`."
