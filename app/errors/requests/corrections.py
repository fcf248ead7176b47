"""Rejected rows that come back corrected."""

from __future__ import annotations

from app.errors.base import RequestError


class CorrectionColumns(RequestError):
    """The columns are not those of the rejects."""

    status = 422
    code = "correction_columns"
    remedy = (
        "Send the columns of GET /api/v1/rejects/{file_id}/download, in any order; `_row` must be"
        " there."
    )


class CorrectionInvalid(RequestError):
    """Some rows of the correction cannot be taken."""

    status = 422
    code = "correction_invalid"
    remedy = (
        "Mend or leave out the rows listed in `errors`; rejects that are left out stay rejected."
    )


class NotCorrectable(RequestError):
    """The rejects of this job cannot be corrected."""

    status = 409
    code = "not_correctable"
    remedy = "Correct the rows in the original file and upload that."


class NothingCorrected(RequestError):
    """No row was corrected."""

    status = 422
    code = "nothing_corrected"
    remedy = (
        "Change what is wrong in at least one row; run_unchanged=true takes rows as the download"
        " shows them."
    )
