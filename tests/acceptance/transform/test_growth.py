"""A transform that turns small values into large ones: memory stays bounded for any input, measured
in a separate process.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.features.transform import growth, run
from app.pipeline.processes import Processes
from tests.transform.growing import times

PEAK_MIB = 700


def peak_mib(
    document: bytes, rows: list[list[str]], header: list[str]
) -> tuple[int, run.Transformed]:
    """Return the peak memory of a separate process, and the outcome of the rows, without the
    output.
    """
    done = run.of_cells(document, rows, header, range(1, len(rows) + 1), True)
    # Not ru_maxrss: that includes the peak of the parent process.
    (peak_kib,) = re.findall(
        r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE
    )
    return int(peak_kib) >> 10, replace(done, output=b"")


@pytest.fixture(scope="module")
def processes() -> Iterator[Processes]:
    made = Processes(1)
    yield made
    made.close()


GROWING: dict[str, tuple[dict[str, Any], str]] = {
    "replace": ({"from": "a", "steps": [times(100)] * 3}, growth.VALUE_TOO_LONG),
    "replace often": ({"from": "a", "steps": [times(100)] * 50}, growth.VALUE_TOO_LONG),
    "groups": (
        {"from": "a", "steps": [{"operation": "replace", "find": "(.+)", "by": r"\1\1\1\1\1\1\1\1", "regex": True}] * 9},
        growth.VALUE_TOO_LONG,
    ),
    "empty matches": (
        {"from": "a", "steps": [{"operation": "replace", "find": "z*", "by": "y" * 100, "regex": True}] * 4},
        growth.VALUE_TOO_LONG,
    ),
    "join": ({"from": ["a", "b"] * 10, "steps": [{"operation": "join"}, *[times(90)] * 4]}, growth.VALUE_TOO_LONG),
    "concat": ({"expression": "replace(" * 4 + "concat(a, a, a, b)" + f", 'x', '{'x' * 100}')" * 4}, growth.VALUE_TOO_LONG),
    "default": (
        {"from": "c", "steps": [{"operation": "default", "value": "x" * 1000}, *[times(100)] * 3]}, growth.VALUE_TOO_LONG,
    ),
    "table": (
        {"from": "a", "steps": [{"operation": "value_table", "table": {"x" * 20: "x" * 1000}}, *[times(100)] * 3]},
        growth.VALUE_TOO_LONG,
    ),
    "constant": ({"constant": "x" * 1000, "steps": [times(100)] * 3}, growth.VALUE_TOO_LONG),
    "choice": (
        {"expression": "if(length(a) > 1, " + "replace(" * 4 + "a" + f", 'x', '{'x' * 99}')" * 4 + ", 'none')"},
        growth.VALUE_TOO_LONG,
    ),
}  # fmt: skip


@pytest.mark.parametrize("distinct", [False, True])
@pytest.mark.parametrize("way", list(GROWING))
def test_no_growth_of_values_exhausts_the_memory(
    processes: Processes, way: str, distinct: bool
) -> None:
    """2000 rows of some bytes would become gigabytes; equal values are computed once."""
    column, code = GROWING[way]
    document = json.dumps(
        {"mapping": {"columns": [{"name": "out", **column}]}, "header": ["a", "b", "c"]}
    ).encode()
    rows = [["x" * 20, f"x{i}" if distinct else "x", ""] for i in range(2000)]
    peak, done = processes.compute(peak_mib, document, rows, ["a", "b", "c"])
    assert peak < PEAK_MIB
    assert done.rows == len(done.findings) > 0
    assert {(finding.column, finding.code) for finding in done.findings} == {("out", code)}


def test_wide_rows_are_transformed_in_batches(processes: Processes) -> None:
    """A thousand constants and 100 000 short rows, with long names in JSON."""
    columns = [{"name": f"{'n' * 900}{i}", "constant": i} for i in range(1000)]
    document = json.dumps(
        {"mapping": {"columns": columns}, "output_format": "jsonl", "header": ["a"]}
    ).encode()
    peak, done = processes.compute(peak_mib, document, [["1"]] * 100_000, ["a"])
    assert peak < PEAK_MIB
    assert 0 < done.rows == done.count < 100_000
