"""Parameters, and the options of a job."""

from __future__ import annotations

from app.errors.base import RequestError


class BadCursor(RequestError):
    """The cursor is not one that this service gave out."""

    status = 400
    code = "bad_cursor"
    remedy = "Start again without a cursor."


class InvalidParameter(RequestError):
    """A parameter has a value that cannot be used."""

    status = 422
    code = "invalid_parameter"
    remedy = "Correct the parameters listed in `errors`."


class InvalidTransform(RequestError):
    """The transform cannot be carried out as it is written."""

    status = 422
    code = "invalid_transform"
    remedy = "Correct the places listed in `errors`; docs/transform.md has the grammar."


class UnknownJobType(InvalidParameter):
    """There is no job type of that name."""

    status = 422
    code = "unknown_job_type"
    remedy = "Use one of the names in the answer."


class UnknownModel(InvalidParameter):
    """There is no model of that name."""

    status = 422
    code = "unknown_model"
    remedy = "Use one of the names in the answer, or list yours in SENTIMENT_MODELS."


class UnknownProcessor(InvalidParameter):
    """There is no processor of that name."""

    status = 422
    code = "unknown_processor"
    remedy = "Use one of the names in the answer."
