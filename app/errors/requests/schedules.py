"""Jobs that run by the clock."""

from __future__ import annotations

from app.errors.base import RequestError
from app.errors.requests.parameters import InvalidParameter


class BadCron(InvalidParameter):
    """The cron expression cannot be used."""

    status = 422
    code = "bad_cron"
    remedy = (
        "Write five fields: minute, hour, day of the month, month, day of the week; `0 2 * * *` is"
        " every night at two."
    )


class RunGoesOn(RequestError):
    """The run before is still going on."""

    status = 409
    code = "run_goes_on"
    remedy = "Wait for its end, or cancel its job."
