"""Trial of proposed conversions on the known values. A step that would refuse or lose a value asks
for a decision.

This needs pyarrow, so it runs in separate processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from app.features.transform import run
from app.features.transform.spec import PROPOSED
from app.profiling.tables import Table

SHOWN_VALUES = 5
Steps = list[dict[str, Any]]

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


def checked(result: dict[str, Any], given_state: str) -> dict[str, Any]:
    """Return the mapping. A conversion that does not keep all values has `decide`, and in `lost` some
    of the values.
    """
    columns = Table.unpacked(given_state).columns
    for mapping in result["mappings"]:
        steps, names = mapping["conversion"], mapping["input_columns"]
        if steps and len(names) == 1 and not any(step.get("decide") for step in steps):
            mapping["conversion"] = _checked(steps, columns[names[0]].known())
    return result


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


def _run(columns: list[dict[str, Any]], values: list[str]) -> tuple[dict[int, list[Any]], set[int]]:
    """Return (values of the output by place, places of rejects)."""
    specification = {"mapping": {"columns": columns}, "header": ["x"], "output_format": "csv"}
    document = msgspec.json.encode(specification)
    good: dict[int, list[Any]] = {}
    bad: set[int] = set()
    for start in range(0, len(values), run.PREVIEW_ROWS):
        some = [[value] for value in values[start : start + run.PREVIEW_ROWS]]
        done = run.of_cells(document, some, ["x"], range(len(some)), True)
        good |= {start + place: row for place, row in done.preview}
        bad |= {start + finding.row for finding in done.findings}
    return good, bad


def _column(name: str, steps: Steps) -> dict[str, Any]:
    return {"name": name, "from": "x", "steps": [_plain(step) for step in steps]}


def _plain(step: dict[str, Any]) -> dict[str, Any]:
    return {member: value for member, value in step.items() if member not in PROPOSED}


def _refused(steps: Steps, values: list[str], *, with_missing: bool = False) -> list[str]:
    """Return the values that are rejected; `with_missing` also those that become empty."""
    good, bad = _run([_column("converted", steps)], values)
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
    good, _ = _run([_column("before", before), _column("after", after)], values)
    return [values[place] for place, (old, new) in good.items() if _moment(old) != _moment(new)]


def _moment(text: str) -> str:
    """Return the moment of a date: a day is its first moment, and the default zone is UTC."""
    plain = text.removesuffix("Z")
    return plain if "T" in plain else f"{plain}T00:00:00"
