"""What the state of a job does not allow."""

from __future__ import annotations

from app.errors.base import RequestError


class Conflict(RequestError):
    """The state of the job does not allow this."""

    status = 409
    code = "conflict"
    remedy = "Read the job's status."


class DownloadIncomplete(RequestError):
    """The job has not ended, so its rows are not all there."""

    status = 409
    code = "download_incomplete"
    remedy = (
        "Wait until its status is final (GET /api/v1/status/{file_id}), or ask for the rows so far"
        " with partial=true."
    )


class JobHasParts(RequestError):
    """The job has parts, and the rows are theirs."""

    status = 409
    code = "job_has_parts"
    remedy = "List the parts by GET /api/v1/jobs?parent={job_id} and ask for the rows of each."


class NotCancellable(RequestError):
    """The job has ended already."""

    status = 409
    code = "not_cancellable"
    remedy = "Nothing is left to cancel; delete the file to remove its rows."


class NotUndoable(RequestError):
    """The job is too old to be undone."""

    status = 409
    code = "not_undoable"
    remedy = (
        "What rows were before is kept for UNDO_KEEP_DAYS; delete the file to remove what its job"
        " wrote last."
    )


class NothingToRetry(RequestError):
    """The job has no failed chunk."""

    status = 409
    code = "nothing_to_retry"
    remedy = "Only failed chunks can be retried; rejected rows need a corrected upload."


class NothingToUndo(RequestError):
    """The job has written nothing into tables that could be taken back."""

    status = 409
    code = "nothing_to_undo"
    remedy = (
        "Imports and scoring jobs can be undone; to remove results and rejects, delete the file."
    )


class ResultNotReady(RequestError):
    """The job has not ended yet."""

    status = 409
    code = "result_not_ready"
    remedy = "Ask again when its status is completed."


class ResultUnavailable(RequestError):
    """The job has no result of its own."""

    status = 409
    code = "result_unavailable"
    remedy = "Read its status for what happened; rows are under /api/v1/results."


class StoredBytesGone(RequestError):
    """The bytes of the file are not stored here any more."""

    status = 409
    code = "stored_bytes_gone"
    remedy = (
        "Upload the file again; DELETE_FILE_ON_COMPLETE removes uploads whose job has completed."
    )
