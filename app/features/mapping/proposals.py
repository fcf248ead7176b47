"""Trial of proposed conversions on the known values and on a sample of the rows. A step that would
refuse or lose a value asks for a decision.

This needs pyarrow, so it runs in separate processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from app.features.mapping.conversions import REST, TABLE_VALUES, of_unsure_parts
from app.features.transform import run
from app.features.transform.objects import cells_of
from app.features.transform.spec import PROPOSED
from app.processors.base import NO_ROWS, RowSample
from app.profiling.tables import Table

SHOWN_VALUES, EXAMPLES, SHOWN_CHARACTERS = 5, 3, 100
Steps = list[dict[str, Any]]
Row = tuple[str | None, ...]
"""Cells of the input columns of a pair."""

SIGN = {"operation": "replace", "find": r"^[^0-9(.,+-]+|[^0-9).,]+$", "by": "", "regex": True}
"""Step that removes what surrounds a number: a currency, a unit, a percent sign."""
IN_BRACKETS = {"operation": "replace", "find": r"^\([^0-9.,]*(.*)\)$", "by": r"-\1", "regex": True}
"""Step for negative numbers as accountants write them."""
BEFORE_NUMBERS: Sequence[Steps] = (
    [{"operation": "trim"}],
    [SIGN],
    [IN_BRACKETS],
    [SIGN, IN_BRACKETS],
    [IN_BRACKETS, SIGN],
)


def checked(
    result: dict[str, Any], given_state: str, sample: RowSample = NO_ROWS
) -> dict[str, Any]:
    """Return the mapping with what each conversion did to the values known from the profile and to
    the rows of the sample. A conversion that does not keep all of them has `decide`, and in `lost`
    some of the values; `trial` says what became of the sample.
    """
    columns = Table.unpacked(given_state).columns
    decided = {m["reference_column"] for m in result["mappings"] if m.pop("is_kept", False)}
    converted = [mapping for mapping in result["mappings"] if mapping["conversion"]]
    names = {name for mapping in converted for name in mapping["input_columns"]}
    cells = _cells(sample, sorted(names))
    result["sampled_rows"] = len(sample.rows)
    for mapping in converted:
        steps, names = mapping["conversion"], mapping["input_columns"]
        if len(names) == 1 and mapping["reference_column"] not in decided:
            values = [*columns[names[0]].known(), *filter(None, cells[names[0]])]
            values = list(dict.fromkeys(values))
            if is_open(steps):
                steps = _with_more_lost(mapping, values)
            else:
                steps = _checked(steps, values)
            mapping["conversion"] = steps
        if sample.rows and (trial := _trial(mapping, cells, sample.numbers)) is not None:
            mapping["trial"] = trial
    return result


def is_open(steps: Steps) -> bool:
    return any(step.get("decide") for step in steps)


def _cells(sample: RowSample, names: Sequence[str]) -> dict[str, list[str | None]]:
    """Return the cells of the rows of the sample, by column; none where a row has no such cell."""
    if sample.rows and isinstance(sample.rows[0], bytes):
        raw = [row for row in sample.rows if isinstance(row, bytes)]
        return {name: column.to_pylist() for name, column in cells_of(raw, names).items()}
    rows = [row for row in sample.rows if isinstance(row, list)]
    cells = run.cells_of_rows(names, rows, sample.columns)
    return {name: column.to_pylist() for name, column in cells.items()}


def _with_more_lost(mapping: dict[str, Any], values: list[str]) -> Steps:
    """Return the steps, which ask for a decision already, with what the sample adds to the question:
    values of other parts, and values that are not in the table.
    """
    *before, last = mapping["conversion"]
    if "lost" in last:
        last = last | {"lost": of_unsure_parts(mapping["reference_column"], values)[:SHOWN_VALUES]}
    if "unknown" in last:
        asked = {*last["table"], *last["unknown"]}
        more = [value for value in values if value not in asked]
        last = last | {"unknown": [*last["unknown"], *more][:TABLE_VALUES]}
    return [*before, last]


def _trial(
    mapping: dict[str, Any], cells: dict[str, list[str | None]], numbers: Sequence[int]
) -> dict[str, Any] | None:
    """Return what the conversion makes of the rows of the sample; None if a question about it must
    be answered first.
    """
    steps, names = mapping["conversion"], mapping["input_columns"]
    if any(step.get("readings") for step in steps):
        return None
    rows = list(zip(*(cells[name] for name in names), strict=True))
    filled = {place: row for place, row in enumerate(rows) if any(row)}
    distinct = list(dict.fromkeys(filled.values()))
    try:
        lost = _lost_rows(mapping, distinct)
    except ValueError:
        return None  # steps of a template that cannot be used: the transform says why
    places = [place for place, row in filled.items() if row in lost]
    header = [f"x{i}" for i in range(len(names))]
    kept = [row for row in distinct if row not in lost][:EXAMPLES]
    good, _ = _run([_column("converted", steps, header)], kept, header)
    examples = [
        {"before": _shown(kept[place]), "after": str(value or "")[:SHOWN_CHARACTERS]}
        for place, (value,) in sorted(good.items())
    ]
    return {
        "rows": len(filled),
        "lost": len(places),
        "lost_values": [
            {"row_number": numbers[place], "value": _shown(rows[place])}
            for place in places[:SHOWN_VALUES]
        ],
        "examples": examples,
    }


def _lost_rows(mapping: dict[str, Any], distinct: list[Row]) -> set[Row]:
    """Return the rows of which the conversion does not keep all."""
    steps, names = mapping["conversion"], mapping["input_columns"]
    header = [f"x{i}" for i in range(len(names))]
    _, bad = _run([_column("converted", steps, header)], distinct, header, shows=False)
    lost = {distinct[place] for place in bad}
    if len(names) > 1:
        return lost
    left = [row[0] or "" for row in distinct if row not in lost]
    last = steps[-1]
    if last["operation"] == "date_format":
        lost |= {(value,) for value in _without_time(last, left)}
    if last["operation"] == "split" or _plain(last) == REST:
        lost |= {(value,) for value in of_unsure_parts(mapping["reference_column"], left)}
    return lost


def _shown(row: Row) -> str:
    return " + ".join(cell or "" for cell in row)[:SHOWN_CHARACTERS]


def _checked(steps: Steps, values: list[str]) -> Steps:
    last = steps[-1]
    lost = _refused(steps, values)
    if not lost and last["operation"] == "date_format":
        lost = _without_time(last, values)
        return _asking(steps, lost) if lost else steps
    if not lost:
        return steps
    if last["operation"] == "cast" and last["to"] == "number":
        for before in BEFORE_NUMBERS:
            tried = [*steps[:-1], *before, last]
            if not _refused(tried, values, with_missing=True):
                asked = before[0] | {"decide": True, "lost": lost[:SHOWN_VALUES]}
                return [*steps[:-1], asked, *before[1:], last]
    return _asking(steps, lost)


def _asking(steps: Steps, lost: list[str]) -> Steps:
    return [*steps[:-1], steps[-1] | {"decide": True, "lost": lost[:SHOWN_VALUES]}]


def _run(
    columns: list[dict[str, Any]],
    rows: Sequence[Row],
    header: Sequence[str] = ("x",),
    *,
    shows: bool = True,
) -> tuple[dict[int, list[Any]], set[int]]:
    """Return (values of the output by place, places of rejects). Without `shows` there are no
    values, and all rows are run at once.
    """
    specification = {"mapping": {"columns": columns}, "header": header, "output_format": "csv"}
    document = msgspec.json.encode(specification)
    good: dict[int, list[Any]] = {}
    bad: set[int] = set()
    size = run.PREVIEW_ROWS if shows else max(1, len(rows))
    for start in range(0, len(rows), size):
        some = rows[start : start + size]
        done = run.of_cells(document, some, header, range(len(some)), shows)
        good |= {start + place: row for place, row in done.preview}
        bad |= {start + finding.row for finding in done.findings}
    return good, bad


def _column(name: str, steps: Steps, header: Sequence[str] = ("x",)) -> dict[str, Any]:
    plain = [_plain(step) for step in steps]
    if len(header) > 1 and not any(step["operation"] == "join" for step in plain):
        plain.insert(0, {"operation": "join"})
    return {"name": name, "from": list(header), "steps": plain}


def _plain(step: dict[str, Any]) -> dict[str, Any]:
    return {member: value for member, value in step.items() if member not in PROPOSED}


def _refused(steps: Steps, values: list[str], *, with_missing: bool = False) -> list[str]:
    """Return the values that are rejected; `with_missing` also those that become empty."""
    rows = [(value,) for value in values]
    good, bad = _run([_column("converted", steps)], rows, shows=with_missing)
    if with_missing:
        bad |= {place for place, (value,) in good.items() if not value}
    return [values[place] for place in sorted(bad)]


def _without_time(step: dict[str, Any], values: list[str]) -> list[str]:
    """Return the values that the other format would change to another moment or day."""
    before = [
        {"operation": "parse_date", "format": step["from"]},
        {"operation": "cast", "to": "text"},
    ]
    after = [
        step,
        {"operation": "parse_date", "format": step["to"]},
        {"operation": "cast", "to": "text"},
    ]
    rows = [(value,) for value in values]
    good, _ = _run([_column("before", before), _column("after", after)], rows)
    return [values[place] for place, (old, new) in good.items() if _moment(old) != _moment(new)]


def _moment(text: str) -> str:
    """Return the moment of a date: a day is its first moment, and the default zone is UTC."""
    plain = text.removesuffix("Z")
    return plain if "T" in plain else f"{plain}T00:00:00"
