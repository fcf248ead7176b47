"""Why a workbook cannot be read, in the process that reads it."""

from __future__ import annotations


class Unreadable(Exception):
    """Says why."""

    code = "damaged"


class Damaged(Unreadable):
    """The file is no workbook, or a damaged one."""


class Encrypted(Unreadable):
    """It can only be opened with a password."""

    code = "encrypted"


class NoWorkbook(Unreadable):
    """Another kind of file that begins like a workbook."""

    code = "no_workbook"


class NoSheet(Unreadable):
    """The sheet that was asked for is not there, or which one is meant is not known."""

    code = "no_sheet"


class TooLarge(Unreadable):
    """It needs more memory than it may have."""

    code = "too_large"
