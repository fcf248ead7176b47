"""Rows that the database of the user refuses, and how a reject says it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from app.features.tables.definition import Constraint

KEY = re.compile(r"Key \((.*)\)=\((.*)\) ", re.DOTALL)
SHOWN_CHARACTERS = 200
Found = tuple[int, str | None, str | int | None]
"""The number of a row, the values that are refused, and another row."""


class Refusal(NamedTuple):
    """One row, which is not written."""

    row_number: int
    code: str
    message: str
    column: str | None
    value: str | None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the database said of one row; empty where it said nothing."""

    message: str
    sqlstate: str = ""
    detail: str = ""
    constraint: str = ""
    column: str = ""


CODES = {
    "23502": "null_not_allowed",
    "23503": "foreign_key",
    "23505": "not_unique",
    "23514": "check_failed",
    "23P01": "exclusion",
    "22001": "too_long",
    "22003": "out_of_range",
    "44000": "check_failed",
}
NOT_OF_ROWS = ("08", "0A", "25", "26", "28", "3B", "40", "42", "53", "54", "55", "57", "58", "XX")
"""Classes of SQLSTATE that say nothing about the row at hand."""
ROW_SECURITY = "42501"


def is_of_row(sqlstate: str, message: str) -> bool:
    """Return whether this error of PostgreSQL is about the values of a row."""
    if sqlstate == ROW_SECURITY:
        return "row-level security" in message
    return not sqlstate.startswith(NOT_OF_ROWS)


def refused_by_database(row_number: int, diagnosis: Diagnosis) -> Refusal:
    code = CODES.get(diagnosis.sqlstate, "refused")
    if code == "refused" and diagnosis.sqlstate.startswith("22"):
        code = "invalid_value"
    key = KEY.match(diagnosis.detail + " ")
    message = diagnosis.message
    if diagnosis.detail and diagnosis.sqlstate.startswith("23"):
        message = f"{message}: {diagnosis.detail}"
    column = diagnosis.column or (key[1] if key else "") or None
    value = key[2] if key else None
    return Refusal(row_number, code, _shown(message), column, _value(value))


def found_by(
    constraint: Constraint, code: str, row_number: int, values: str | None, other: str | int | None
) -> Refusal:
    """Return the refusal of a row that a question for all such rows has found."""
    columns = ", ".join(constraint.columns)
    by = f" ({constraint.name})" if constraint.name else ""
    if code == "not_unique":
        message = f"Row {other} of the file already has this value of {columns}{by}."
    elif code == "already_there":
        key = f": that with the key {other}" if other else ""
        message = f"The table already has a row with this value of {columns}{key}{by}."
    elif code == "not_there":
        message = f"The table has no row with this value of {columns}."
    elif code == "foreign_key":
        name = constraint.references
        referenced = ", ".join(constraint.referenced_columns)
        message = f"The table {name} has no row with this value as its {referenced}{by}."
    else:
        message = f"The row violates a condition of the table: {constraint.definition}{by}."
    return Refusal(row_number, code, _shown(message), columns or None, _value(values))


def _shown(message: str) -> str:
    return message[:500].replace("\0", "\\x00")


def _value(value: str | None) -> str | None:
    return None if value is None else value[:SHOWN_CHARACTERS].replace("\0", "\\x00")


def settled_by(answers: Sequence[Sequence[Found]], limit: int) -> int | None:
    """Return the last row up to which all answers are whole; None if there are no rows. An answer
    with `limit` rows may lack some behind its last.
    """
    last = max((rows[-1][0] for rows in answers if rows), default=None)
    whole = [rows[-1][0] for rows in answers if len(rows) >= limit]
    return min(whole, default=last)


def clashes(
    answers: Sequence[tuple[Constraint, str, Sequence[Found]]], settled: int = 0
) -> list[Refusal]:
    """Return the rows that would be refused if all were written one after the other: a row that is
    refused itself takes no value from the rows behind it. Rows up to `settled` are decided: those
    that are still found have their values.
    """
    by_row: dict[int, list[tuple[Constraint, str, str | None, str | int | None]]] = {}
    for constraint, code, rows in answers:
        for number, values, other in rows:
            by_row.setdefault(number, []).append((constraint, code, values, other))
    taken: dict[tuple[str, tuple[str, ...], str | int | None], int] = {}
    refusals: list[Refusal] = []
    for number in sorted(by_row):
        refusal = None
        values_of_row = []
        for constraint, code, values, other in by_row[number]:
            place = (constraint.name, constraint.columns, other)
            values_of_row.append(place)
            holder: str | int | None = taken.get(place)
            is_decided = isinstance(other, int) and other <= settled
            if code == "already_there" or is_decided:
                holder = other
            if holder is not None or code == "already_there":
                refusal = found_by(constraint, code, number, values, holder)
                break
        if refusal is not None:
            refusals.append(refusal)
        else:
            taken |= dict.fromkeys(values_of_row, number)
    return refusals
