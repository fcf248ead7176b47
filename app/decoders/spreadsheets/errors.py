"""Reasons why a workbook has no text, besides those of every file."""

from __future__ import annotations

from app.decoders.unreadable import Unreadable


class NoWorkbook(Unreadable):
    """Another kind of file that begins like a workbook."""

    code = "no_workbook"


class NoSheet(Unreadable):
    """A sheet that does not exist, or a choice that was not made between several."""

    code = "no_sheet"
