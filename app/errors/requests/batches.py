"""Errors of text batches, in the terms and with the statuses that their clients expect."""

from __future__ import annotations

from app.errors.base import RequestError


class BatchBadEncoding(RequestError):
    """Batch file is not UTF-8."""

    status = 400
    code = "batch_bad_encoding"
    remedy = "Save the file as UTF-8."


class BatchEmpty(RequestError):
    """Batch file has no rows."""

    status = 400
    code = "batch_empty"
    remedy = "Check the export that produced it."


class BatchMalformed(RequestError):
    """Batch file cannot be read as CSV."""

    status = 400
    code = "batch_malformed"
    remedy = "Send comma-separated values, with double quotes around cells that contain commas."


class BatchNotCsv(RequestError):
    """Batch file must be a CSV."""

    status = 400
    code = "batch_not_csv"
    remedy = "Send a file named *.csv or *.csv.gz."


class BatchNotFound(RequestError):
    """Batch not found."""

    status = 404
    code = "batch_not_found"
    remedy = "Check the id; GET /batches lists them."


class BatchWithoutText(RequestError):
    """Batch file has no column `text`."""

    status = 400
    code = "batch_without_text"
    remedy = "Rename the column of texts to `text`."
