"""Strict casts: from cells to texts that the database reads in exactly one way, as the value that
the cell has. Everything else is a problem of its row.

This runs in the processes beside the service, for it needs pyarrow.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from app.features.tables import arrays
from app.features.tables.casts import Cast
from app.features.tables.plan import LoadPlan
from app.features.transform import casts, dates
from app.features.transform.types import DATE, DATETIME, INSTANT, type_of_format
from app.features.transform.values import NO_TEXT, without_empty

Mask = npt.NDArray[np.bool_]
Empty = Literal["null", "text"]


class Problem(NamedTuple):
    rows: Mask
    code: str
    message: str
    """`{value}` in it stands for the cell."""


@dataclass(slots=True)
class Cells:
    """A column on its way: its texts, and what is wrong with some of them. Null where there is no
    value, and where there is a problem.
    """

    texts: pa.StringArray
    problems: list[Problem] = field(default_factory=list)

    def refuse(self, rows: Mask, code: str, message: str) -> None:
        if rows.any():
            self.problems.append(Problem(rows, code, message))
            self.texts = pc.if_else(pa.array(rows), NO_TEXT, self.texts)

    def refuse_unless(self, pattern: str, code: str, message: str) -> None:
        """Refuse texts that `pattern` does not match as a whole."""
        fits = pc.fill_null(pc.match_substring_regex(self.texts, rf"\A(?:{pattern})\z"), True)
        self.refuse(~_mask(fits), code, message)

    def replace(self, change: Callable[[str], str | None]) -> Mask:
        """Change texts one by one; return also which could not be, because `change` returned None."""
        changed = [None if text is None else change(text) for text in self.texts.to_pylist()]
        bad: Mask = _mask(self.texts.is_valid()) & np.array(
            [text is None for text in changed], bool
        )
        new = pa.array(changed, pa.string())
        self.texts = pc.if_else(pa.array(bad), self.texts, new) if bad.any() else new
        return bad


def cast(
    cast: Cast, texts: pa.StringArray, *, is_json: bool = False, empty: Empty = "null"
) -> Cells:
    """Cast cells. `is_json`: the cells come from JSON, where an empty text is none that is missing.
    Of the kinds in `READS_JSON` they are JSON themselves then, others as `cells_of` of transforms
    gives them.
    """
    is_text = cast.kind in ("text", "any", "enum", "database")
    if cast.kind == "json" and is_json:
        cells = Cells(texts)
    elif not is_text or (empty == "null" and not is_json):
        cells = Cells(without_empty(texts))
    else:
        cells = Cells(texts)
    if cast.kind == "array":
        _array(cells, cast, is_json=is_json)
    elif cast.kind == "decimal":
        _decimal(cells, cast, is_json=is_json)
    else:
        _CASTS[cast.kind](cells, cast)
    return cells


def _mask(array: pa.Array) -> Mask:
    mask: Mask = np.asarray(array, bool)
    return mask


# ---------------------------------------------------------------------- texts


def _text(cells: Cells, cast: Cast) -> None:
    if _may_hold_nul(cells.texts):
        nul = pc.fill_null(pc.match_substring(cells.texts, "\0"), False)
        cells.refuse(_mask(nul), "nul_character", "The text has a NUL character.")
    if cast.length is None:
        return
    measure, unit = (
        (pc.binary_length, "bytes") if cast.counts_bytes else (pc.utf8_length, "characters")
    )
    long = pc.fill_null(pc.greater(measure(cells.texts), cast.length), False)
    cells.refuse(_mask(long), "too_long", f"`{{value}}` has more than {cast.length} {unit}.")


def _may_hold_nul(texts: pa.StringArray) -> bool:
    data = texts.buffers()[2]
    return data is not None and data.size > 0 and not np.frombuffer(data, np.uint8).all()


def _enum(cells: Cells, cast: Cast) -> None:
    known = pc.is_in(cells.texts, value_set=pa.array(cast.labels, pa.string()))
    other = _mask(cells.texts.is_valid()) & ~_mask(known)
    shown = ", ".join(cast.labels[:5])
    cells.refuse(
        other, "not_in_enum", f"`{{value}}` is not one of the values of {cast.type}: {shown}."
    )


def _uuid(cells: Cells, cast: Cast) -> None:
    digit = "[0-9a-fA-F]"
    pattern = f"{digit}{{8}}-{digit}{{4}}-{digit}{{4}}-{digit}{{4}}-{digit}{{12}}"
    cells.refuse_unless(pattern, "not_a_uuid", "`{value}` is not a UUID.")


def _bytea(cells: Cells, cast: Cast) -> None:
    message = r"`{value}` is not bytes in the form \x00ff."
    cells.refuse_unless(r"\\x(?:[0-9a-fA-F]{2})*", "not_bytes", message)


# ---------------------------------------------------------------------- numbers


def _integer(cells: Cells, cast: Cast) -> None:
    value, problems = casts.integer(cells.texts)
    for rows, code, message in problems:
        cells.refuse(rows, code, message)
    if cast.bits == 64:
        return
    low, end = (
        (0, 1 << -cast.bits) if cast.bits < 0 else (-(1 << cast.bits - 1), 1 << cast.bits - 1)
    )
    ints = value.data.ints
    large = value.data.valid & ((ints < low) | (ints >= end))
    cells.refuse(large, "out_of_range", f"`{{value}}` is out of range for {cast.type}.")


PLAIN = r"-?(?:0|[1-9][0-9]{0,999})(?:\.[0-9]{1,999})?"
NOT_A_NUMBER = "`{value}` is not a number in plain digits, with a point before decimals."
EXPONENT = r"\A-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?[eE][-+]?[0-9]{1,3}\z"


def _decimal(cells: Cells, cast: Cast, *, is_json: bool) -> None:
    if is_json:
        _write_exponents_out(cells)
    cells.refuse_unless(PLAIN, "not_a_number", NOT_A_NUMBER)
    if cast.precision is None:
        return
    within, rest = _limits(cast.precision, cast.scale)
    fits = pc.fill_null(pc.match_substring_regex(cells.texts, rf"\A-?{within}{rest}\z"), True)
    bad = ~_mask(fits)
    if not bad.any():
        return
    in_range = pc.match_substring_regex(cells.texts, rf"\A-?{within}(?:\.[0-9]+)?\z")
    finer = bad & _mask(pc.fill_null(in_range, False))
    message = f"`{{value}}` has more decimals than {cast.type}."
    cells.refuse(finer, "too_many_decimals", message)
    message = f"`{{value}}` is out of range for {cast.type}."
    cells.refuse(bad & ~finer, "out_of_range", message)


def _limits(precision: int, scale: int) -> tuple[str, str]:
    """Return patterns of the digits before the point, and of the point with what is behind it, that
    a decimal of this size keeps. Zeros at the end are no further decimals.
    """
    if scale < 0:
        return rf"(?:0|[1-9][0-9]{{0,{precision - 1}}}0{{{-scale}}})", r"(?:\.0+)?"
    whole = precision - scale
    if whole > 0:
        return rf"(?:0|[1-9][0-9]{{0,{whole - 1}}})", rf"(?:\.[0-9]{{0,{scale}}}0*)?"
    zeros = rf"0{{{-whole}}}[0-9]{{0,{precision}}}0*"
    return "0", rf"(?:\.(?:{zeros}|0+))?"


def _write_exponents_out(cells: Cells) -> None:
    """Write numbers without an exponent: JSON may write 1e2 for 100."""
    has_one = _mask(pc.fill_null(pc.match_substring_regex(cells.texts, EXPONENT), False))
    if has_one.any():
        places = np.flatnonzero(has_one)
        texts = cells.texts.to_pylist()
        for place in places.tolist():
            texts[place] = format(Decimal(texts[place]), "f")
        cells.texts = pa.array(texts, pa.string())


FLOAT = r"-?(?:0|[1-9][0-9]{0,999})(?:\.[0-9]{1,999})?(?:[eE][-+]?[0-9]{1,3})?"
SURE_DIGITS = {64: 15, 32: 6}
"""Number of digits of a decimal number, neither very large nor very small, that are all kept."""


def _float(cells: Cells, cast: Cast) -> None:
    cells.refuse_unless(FLOAT, "not_a_number", "`{value}` is not a number.")
    lengths = np.asarray(pc.fill_null(pc.binary_length(cells.texts), 0))
    unsure = lengths > SURE_DIGITS[cast.bits]
    unsure |= _mask(pc.fill_null(pc.match_substring_regex(cells.texts, "[eE]"), False))
    if not unsure.any():
        return
    kind = pa.float64() if cast.bits == 64 else pa.float32()
    as_shortest = pc.equal(cells.texts, cells.texts.cast(kind).cast(pa.string()))
    unsure &= ~_mask(pc.fill_null(as_shortest, True))
    lost = np.zeros(len(unsure), bool)
    for place in np.flatnonzero(unsure).tolist():
        lost[place] = not _is_kept(cells.texts[place].as_py(), cast.bits)
    message = f"`{{value}}` has digits that {cast.type} cannot keep, or is out of its range."
    cells.refuse(lost, "out_of_range", message)


def _is_kept(text: str, bits: int) -> bool:
    """Return whether the shortest way to write the nearest binary number is this number."""
    with np.errstate(over="ignore", under="ignore"):
        number = float(text) if bits == 64 else np.float32(text)
    if not np.isfinite(number):
        return False
    try:
        return Decimal(str(number)) == Decimal(text)
    except InvalidOperation:
        return False


TRUE, FALSE = ("true", "True", "TRUE", "t"), ("false", "False", "FALSE", "f")
"""As people and programs write them; the last as PostgreSQL does."""


def _boolean(cells: Cells, cast: Cast) -> None:
    value, problems = casts.boolean(cells.texts, TRUE, FALSE)
    for rows, code, _ in problems:
        cells.refuse(rows, code, "`{value}` is neither true nor false.")
    cells.texts = value.data.cast(pa.string())


# ---------------------------------------------------------------------- moments

DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
ZONE = "(?:Z|[-+](?:0[0-9]|1[0-4])(?::?[0-5][0-9])?)"
ISO_DAY = "%Y-%m-%d"
DAY_CHARACTERS = 10


def _with_seconds(cast: Cast) -> str:
    """Accept a time whose fraction has no more digits than the column keeps but zeros."""
    fraction = r"(?:\.0+)?"
    if cast.length:
        fraction = rf"(?:\.(?:[0-9]{{1,{cast.length}}}0{{0,20}}))?"
    return rf"{CLOCK}(?::[0-5][0-9]{fraction})?"


def _time(cells: Cells, cast: Cast) -> None:
    message = f"`{{value}}` is not a time in the form 23:59:59 that {cast.type} keeps."
    cells.refuse_unless(_with_seconds(cast), "not_a_time", message)


def _timetz(cells: Cells, cast: Cast) -> None:
    message = (
        f"`{{value}}` is not a time with its offset, such as 23:59:59Z, that {cast.type} keeps."
    )
    cells.refuse_unless(_with_seconds(cast) + ZONE, "not_a_time", message)


def _date(cells: Cells, cast: Cast) -> None:
    if cast.format:
        _by_format(cells, cast)
        return
    message = "`{value}` is not a date in the form 2026-12-31."
    _refuse_unless_day(cells, cells.texts, message)


def _refuse_unless_day(cells: Cells, days: pa.StringArray, message: str) -> None:
    _, bad = dates.parse(days, ISO_DAY)
    cells.refuse(bad, "not_a_date", message)


def _timestamp(cells: Cells, cast: Cast) -> None:
    if cast.format:
        _by_format(cells, cast)
        return
    message = f"`{{value}}` is not a date and time in the form 2026-12-31T23:59:59 that {cast.type} keeps."
    cells.refuse_unless(rf"{DAY}(?:[T ]{_with_seconds(cast)})?", "not_a_date", message)
    _refuse_unless_day(cells, _days(cells), message)


def _timestamptz(cells: Cells, cast: Cast) -> None:
    """Refuse times without an offset, which would be read in the time zone of the session."""
    if cast.format:
        _by_format(cells, cast)
        return
    message = (
        f"`{{value}}` is not a date and time with its offset, such as 2026-12-31T23:59:59Z, that"
        f" {cast.type} keeps."
    )
    cells.refuse_unless(rf"{DAY}[T ]{_with_seconds(cast)}{ZONE}", "not_a_date", message)
    _refuse_unless_day(cells, _days(cells), message)


def _days(cells: Cells) -> pa.StringArray:
    return pc.utf8_slice_codeunits(cells.texts, 0, DAY_CHARACTERS)


FITTING = {
    "date": (DATE, DATETIME),
    "timestamp": (DATE, DATETIME),
    "timestamptz": (INSTANT,),
}
MICROSECONDS_OF_DAY = 86_400_000_000


def _by_format(cells: Cells, cast: Cast) -> None:
    kind = type_of_format(cast.format, reading=True)
    message = f"`{{value}}` is not a date in the form {cast.format}."
    if kind not in FITTING[cast.kind]:
        there = _mask(cells.texts.is_valid())
        message = f"`{{value}}`, read as {cast.format}, is not a value of {cast.type}."
        cells.refuse(there, "not_a_date", message)
        return
    values, bad = dates.parse(cells.texts, cast.format)
    cells.refuse(bad, "not_a_date", message)
    if kind != DATE:
        step = MICROSECONDS_OF_DAY if cast.kind == "date" else 10 ** (6 - (cast.length or 0))
        micros = pc.fill_null(values.view(pa.int64()), 0).to_numpy(zero_copy_only=False)
        finer = _mask(values.is_valid()) & (micros % step != 0)
        cells.refuse(
            finer,
            "not_a_date",
            f"`{{value}}` has more decimals of a second than {cast.type} keeps.",
        )
    written = dates.to_iso(values, kind)
    if cast.kind == "date":
        written = pc.utf8_slice_codeunits(written, 0, DAY_CHARACTERS)
    cells.texts = pc.if_else(cells.texts.is_valid(), written, NO_TEXT)


def _interval(cells: Cells, cast: Cast) -> None:
    """Accept ISO 8601 durations, and how PostgreSQL writes positive ones."""
    number = "[0-9]{1,6}"
    fraction = rf"(?:\.[0-9]{{1,{cast.length}}})?" if cast.length else ""
    iso_days = f"(?:{number}Y)?(?:{number}M)?(?:{number}W)?(?:{number}D)?"
    iso_clock = f"(?:T(?:{number}H)?(?:{number}M)?(?:{number}{fraction}S)?)?"
    months = f"(?:{number} years? ?)?(?:{number} mons? ?)?"
    clock = f"{number}:[0-5][0-9]:[0-5][0-9]{fraction}"
    written = f"{months}(?:{number} days? )?{clock}|{months}{number} days?"
    message = "`{value}` is not a duration, such as PT1H30M or 1 day 01:30:00."
    cells.refuse_unless(f"P{iso_days}{iso_clock}|{written}", "not_an_interval", message)
    bare = pc.fill_null(pc.match_substring_regex(cells.texts, r"\A(?:P|.*T)\z"), False)
    cells.refuse(_mask(bare), "not_an_interval", message)


# ---------------------------------------------------------------------- JSON


class _Repeated(ValueError):
    pass


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        raise _Repeated
    return record


def _not_a_number(name: str) -> Any:
    raise ValueError(name)


def _json(cells: Cells, cast: Cast) -> None:
    check = _is_jsonb if cast.is_binary else _is_json
    bad = cells.replace(lambda text: text if check(text) else None)
    message = (
        "`{value}` is not JSON that the column can keep: jsonb keeps neither repeated keys nor NUL."
    )
    if not cast.is_binary:
        message = "`{value}` is not JSON."
    cells.refuse(bad, "not_json", message)


def _is_json(text: str) -> bool:
    try:
        json.loads(text, parse_constant=_not_a_number, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return False
    return "\0" not in text


def _is_jsonb(text: str) -> bool:
    try:
        value = json.loads(
            text,
            parse_constant=_not_a_number,
            parse_int=str,
            parse_float=str,
            object_pairs_hook=_once,
        )
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()  # refuses half a character
    except (ValueError, RecursionError):
        return False
    return "\0" not in text and not ("\\u0000" in text and _holds_nul(value))


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_holds_nul(part) for pair in value.items() for part in pair)
    return isinstance(value, list) and any(map(_holds_nul, value))


# ---------------------------------------------------------------------- arrays


def _array(cells: Cells, cast_: Cast, *, is_json: bool) -> None:
    element = cast_.element
    assert element is not None
    read = arrays.of_json if is_json else arrays.of_text
    rows = [None if text is None else read(text) for text in cells.texts.to_pylist()]
    there = _mask(cells.texts.is_valid())
    bad = there & np.array([row is None for row in rows], bool)
    message = "`{value}` is not a flat list, such as {1,2} or [1, 2]."
    elements = pa.array([each for row in rows if row for each in row], pa.string())
    places = np.repeat(np.arange(len(rows)), [len(row or ()) for row in rows])
    done = cast(element, elements, is_json=is_json, empty="text")
    if element.kind not in ("text", "enum", "database"):
        empty = _mask(pc.fill_null(pc.equal(elements, ""), False))
        done.refuse(
            empty,
            "not_an_array",
            f"The list has an empty value, which {element.type} does not allow.",
        )
    written = _array_literals(done.texts, rows)
    cells.refuse(bad, "not_an_array", message)
    for rows_of, code, problem in done.problems:
        of_row = np.zeros(len(rows), bool)
        of_row[places[rows_of]] = True
        cells.refuse(of_row, code, f"In the list `{{value}}`: {problem.replace('{value}', '...')}")
    cells.texts = pc.if_else(cells.texts.is_valid(), pa.array(written, pa.string()), NO_TEXT)


def _array_literals(
    elements: pa.StringArray, rows: Sequence[Sequence[str | None] | None]
) -> list[str]:
    values = iter(elements.to_pylist())
    return [arrays.literal([next(values) for _ in row or ()]) for row in rows]


# ---------------------------------------------------------------------- any


def _any(cells: Cells, cast: Cast) -> None:
    _text(cells, Cast("text", cast.type))


_CASTS: dict[str, Callable[[Cells, Cast], None]] = {
    "text": _text,
    "any": _any,
    "database": _any,
    "enum": _enum,
    "uuid": _uuid,
    "bytea": _bytea,
    "integer": _integer,
    "float": _float,
    "boolean": _boolean,
    "date": _date,
    "time": _time,
    "timetz": _timetz,
    "timestamp": _timestamp,
    "timestamptz": _timestamptz,
    "interval": _interval,
    "json": _json,
}


# ---------------------------------------------------------------------- for SQLite


def native(cast: Cast, texts: pa.StringArray) -> pa.Array:
    """Return what a statement of SQLite takes for texts that were cast: numbers where the column
    has numbers, bytes for a BLOB. Exact decimals stay texts, which a column of a numeric type turns
    into numbers only where none of their digits is lost.
    """
    if cast.kind == "integer":
        return texts.cast(pa.int64())
    if cast.kind == "float":
        return texts.cast(pa.float64())
    if cast.kind == "boolean":
        return pc.equal(texts, "true").cast(pa.int64())
    if cast.kind == "bytea":
        digits = texts.to_pylist()
        return pa.array([None if t is None else bytes.fromhex(t[2:]) for t in digits], pa.binary())
    return texts


# ---------------------------------------------------------------------- from JSON

READS_JSON = ("json", "array")
"""Kinds whose cells are taken from JSON as they stand there."""


class ObjectCells(NamedTuple):
    columns: list[pa.StringArray]
    """The cells of each column of the plan, in its order, and then what is rescued, if something
    is.
    """
    others: list[str | None]
    """The first key of each row that nothing takes, and that may not be ignored."""


def cells_of_objects(
    plan: LoadPlan, rows: Sequence[bytes], by_steps: Mapping[str, pa.StringArray]
) -> ObjectCells:
    """Return the cells of JSON objects. Numbers keep their digits, and null is no value.
    `by_steps`: columns of the table that steps have made.
    """
    decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
    records = [decode(row) for row in rows]
    columns = []
    for column in plan.columns:
        if column.is_made:
            columns.append(by_steps[column.name])
            continue
        as_cell = _raw if column.cast.kind in READS_JSON else _cell
        cells = [as_cell(record.get(column.source)) for record in records]
        columns.append(pa.array(cells, pa.string()))
    if plan.rescue_column:
        columns.append(pa.array(list(_rescued_objects(plan, records)), pa.string()))
    others: list[str | None] = [None] * len(records)
    if plan.others == "refuse":
        known = _known_keys(plan)
        others = [next((key for key in record if key not in known), None) for record in records]
    return ObjectCells(columns, others)


def cells_beyond(
    plan: LoadPlan, rows: Sequence[Sequence[str | None]], width: int
) -> list[str | None]:
    """Return the first cell of each row beyond the header that may not be ignored. It has no name
    under which it could be rescued.
    """
    if plan.others == "ignore":
        return [None] * len(rows)
    return [next((cell for cell in row[width:] if cell), None) for row in rows]


def _known_keys(plan: LoadPlan) -> frozenset[str]:
    read = [column.source for column in plan.columns if not column.is_made]
    return frozenset([*read, *plan.steps_read, *plan.ignored])


def _raw(raw: msgspec.Raw | None) -> str | None:
    text = None if raw is None else bytes(raw).decode()
    return None if text == "null" else text


def _cell(raw: msgspec.Raw | None) -> str | None:
    text = _raw(raw)
    if text is not None and text[:1] == '"':
        return msgspec.json.decode(text, type=str)
    return text


def _rescued_objects(
    plan: LoadPlan, records: Sequence[dict[str, msgspec.Raw]]
) -> Iterator[str | None]:
    known = _known_keys(plan)
    for record in records:
        kept = {name: value for name, value in record.items() if name not in known}
        yield msgspec.json.encode(kept).decode() if kept else None


def rescued_cells(plan: LoadPlan, columns: Sequence[pa.StringArray]) -> pa.StringArray:
    """Return the object that the rescue column takes, of each row; `columns` are the cells of
    `plan.rescued`. Null where all of them are.
    """
    rows = zip(*[column.to_pylist() for column in columns], strict=True)
    kept = [
        {name: cell for name, cell in zip(plan.rescued, row, strict=True) if cell is not None}
        for row in rows
    ]
    texts = [msgspec.json.encode(cells).decode() if cells else None for cells in kept]
    return pa.array(texts, pa.string())
