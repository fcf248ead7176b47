"""Errors of actions that the state of a job does not allow."""

from __future__ import annotations

from app.errors.base import RequestError


class Conflict(RequestError):
    """Conflict with the state of the job."""

    status = 409
    code = "conflict"
    remedy = "Read the status of the job for the reason."


class DownloadIncomplete(RequestError):
    """Job still running, so its rows are incomplete."""

    status = 409
    code = "download_incomplete"
    remedy = (
        "Wait until its status is final (GET /api/v1/status/{file_id}), or request the rows so far"
        " with partial=true."
    )


class JobHasParts(RequestError):
    """Job consists of parts, and the parts have the rows."""

    status = 409
    code = "job_has_parts"
    remedy = "List the parts with GET /api/v1/jobs?parent={job_id} and request the rows of each."


class NotCancellable(RequestError):
    """Job already ended."""

    status = 409
    code = "not_cancellable"
    remedy = "Nothing is left to cancel; delete the file to remove its rows."


class NotUndoable(RequestError):
    """Job too old to be undone."""

    status = 409
    code = "not_undoable"
    remedy = (
        "Earlier versions of rows are kept for UNDO_KEEP_DAYS; delete the file to remove what its"
        " job wrote last."
    )


class NothingToRetry(RequestError):
    """No failed chunk to retry."""

    status = 409
    code = "nothing_to_retry"
    remedy = "Only failed chunks can be retried; correct rejected rows instead."


class NothingToUndo(RequestError):
    """Nothing to undo."""

    status = 409
    code = "nothing_to_undo"
    remedy = (
        "Imports and scoring jobs can be undone; delete the file to remove results and rejects."
    )


class ResultNotReady(RequestError):
    """Job still running."""

    status = 409
    code = "result_not_ready"
    remedy = "Request the result again when the status is completed."


class ResultUnavailable(RequestError):
    """Job has no result document."""

    status = 409
    code = "result_unavailable"
    remedy = "Read its status; the rows are at /api/v1/results."


class RowsRemoved(RequestError):
    """Rows removed by retention."""

    status = 410
    code = "rows_removed"
    remedy = "Upload the file again. RETENTION sets for how many days results and rejects are kept."


class StoredBytesGone(RequestError):
    """Stored bytes deleted."""

    status = 409
    code = "stored_bytes_gone"
    remedy = (
        "Upload the file again. DELETE_FILE_ON_COMPLETE removes uploads whose job has completed,"
        " and RETENTION removes old ones."
    )
