"""Kinds of cells: a number, a date, an address, or text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum

MAX_LENGTH = 100
"""Most characters of a cell that can be something else than text."""
SHAPED_LENGTH = 40
MISSING = frozenset(
    {"", "-", "--", "n/a", "na", "#n/a", "null", "none", "nan", "nil", ".", "..", "?"}
)
"""What people write for a missing value, in lower case."""


class CellKind(StrEnum):
    MISSING = "missing"
    NUMBER = "number"
    DATE = "date"
    TIME = "time"
    TRUTH = "truth"
    EMAIL = "email"
    URL = "url"
    GUID = "guid"
    TEXT = "text"


_SIGNS = r"[-+]?(?:[$€£¥]|[A-Z]{3} )?[-+]?"
_DIGITS = r"(?:\d{1,3}(?:[ ',.\u00a0\u202f]\d{3})+|\d+)(?:[.,]\d*)?|[.,]\d+"
_DATE = (
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}([-/.])\d{1,2}\1(?:\d{4}|\d\d)|"
    r"\d{1,2}[- ][A-Za-z]{3,9}[- ,]+\d{2,4}|[A-Za-z]{3,9} \d{1,2},? \d{4}"
)
_TIME = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?: ?[AaPp]\.?[Mm]\.?)?"
_PATTERNS = {
    CellKind.NUMBER: rf"\(?{_SIGNS}(?:{_DIGITS})(?:[eE][-+]?\d+)?(?: ?(?:[%$€£¥]|[A-Z]{{3}}))?\)?",
    CellKind.DATE: rf"(?:{_DATE})(?:[T ]+{_TIME}(?: ?Z|(?: ?[-+]\d{{2}}:?\d{{2}}))?)?",
    CellKind.TIME: _TIME,
    CellKind.EMAIL: r"[^@\s]+@[^@\s]+\.\w+",
    CellKind.URL: r"(?:https?|ftp)://\S+|www\.\S+\.\S+",
    CellKind.GUID: r"\{?[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\}?",
}
_WITH_DIGITS = [
    (kind, re.compile(_PATTERNS[kind]))
    for kind in (CellKind.NUMBER, CellKind.DATE, CellKind.TIME, CellKind.GUID)
]
_ADDRESSES = [(kind, re.compile(_PATTERNS[kind])) for kind in (CellKind.EMAIL, CellKind.URL)]
_TRUTHS = frozenset({"true", "false", "yes", "no"})
_DIGIT, _ADDRESS_MARK = re.compile(r"\d"), re.compile(r"@|://|www\.")


def kind_of(cell: str) -> CellKind:
    text = cell.strip()
    lower = text.lower()
    if lower in MISSING:
        return CellKind.MISSING
    if lower in _TRUTHS:
        return CellKind.TRUTH
    if len(text) > MAX_LENGTH:
        return CellKind.TEXT
    if _DIGIT.search(text):
        for kind, matcher in _WITH_DIGITS:
            if matcher.fullmatch(text):
                return kind
    if _ADDRESS_MARK.search(text):
        for kind, matcher in _ADDRESSES:
            if matcher.fullmatch(text):
                return kind
    return CellKind.TEXT


def shape_of(cell: str) -> str:
    """Return the shape of a cell, which `AB-12` and `CD-34` share: runs of capitals, of small
    letters and of digits count once each, and other characters stay.
    """
    shape: list[str] = []
    for character in cell.strip()[:SHAPED_LENGTH]:
        mark = _mark(character)
        if mark != (shape[-1] if shape else ""):
            shape.append(mark)
    return "".join(shape)


def _mark(character: str) -> str:
    if character.isdigit():
        return "9"
    if character.isalpha():
        return "A" if character.isupper() else "a"
    return character


def main_kind(kinds: Sequence[CellKind]) -> tuple[CellKind, float]:
    """Return the kind that most of these cells have, ignoring those without a value, and the share
    of the others that has it.
    """
    filled = [kind for kind in kinds if kind is not CellKind.MISSING]
    if not filled:
        return CellKind.MISSING, 0.0
    most, count = Counter(filled).most_common(1)[0]
    return most, count / len(filled)
