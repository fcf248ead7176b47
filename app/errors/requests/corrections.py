"""Errors of corrections."""

from __future__ import annotations

from app.errors.base import RequestError


class CorrectionColumns(RequestError):
    """Columns differ from those of the rejects."""

    status = 422
    code = "correction_columns"
    remedy = (
        "Send the columns of GET /api/v1/rejects/{file_id}/download, in any order; `_row` is"
        " required."
    )


class CorrectionInvalid(RequestError):
    """Invalid rows in the correction."""

    status = 422
    code = "correction_invalid"
    remedy = (
        "Correct or remove the rows listed in `errors`; rejects that are not in the correction stay"
        " rejected."
    )


class NotCorrectable(RequestError):
    """Rejects of this job cannot be corrected."""

    status = 409
    code = "not_correctable"
    remedy = "Correct the rows in the original file and upload that."


class NothingCorrected(RequestError):
    """No row was corrected."""

    status = 422
    code = "nothing_corrected"
    remedy = (
        "Change at least one row; run_unchanged=true runs rows again as the download shows them."
    )
