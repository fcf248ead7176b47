"""Batches of texts: in the words and with the statuses that their clients know."""

from __future__ import annotations

from app.errors.base import RequestError


class BatchBadEncoding(RequestError):
    """The file of a batch is not UTF-8."""

    status = 400
    code = "batch_bad_encoding"
    remedy = "Save the file as UTF-8."


class BatchEmpty(RequestError):
    """The file of a batch has no rows."""

    status = 400
    code = "batch_empty"
    remedy = "Check the export that made it."


class BatchMalformed(RequestError):
    """The file of a batch cannot be read as CSV."""

    status = 400
    code = "batch_malformed"
    remedy = "Send comma-separated values, with double quotes around cells that hold commas."


class BatchNotCsv(RequestError):
    """The file of a batch must be a CSV."""

    status = 400
    code = "batch_not_csv"
    remedy = "Send a file named *.csv or *.csv.gz."


class BatchNotFound(RequestError):
    """Batch not found."""

    status = 404
    code = "batch_not_found"
    remedy = "Check the id; GET /batches lists them."


class BatchWithoutText(RequestError):
    """The file of a batch lacks the column `text`."""

    status = 400
    code = "batch_without_text"
    remedy = "Name the column that holds the texts `text`."
