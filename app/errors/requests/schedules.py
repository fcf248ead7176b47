"""Errors of schedules."""

from __future__ import annotations

from app.errors.base import RequestError
from app.errors.requests.parameters import InvalidParameter


class BadCron(InvalidParameter):
    """Invalid cron expression."""

    status = 422
    code = "bad_cron"
    remedy = (
        "Write five fields: minute, hour, day of the month, month, day of the week; `0 2 * * *` is"
        " every night at two."
    )


class RunGoesOn(RequestError):
    """Previous run still in progress."""

    status = 409
    code = "run_goes_on"
    remedy = "Wait until it has ended, or cancel its job."
