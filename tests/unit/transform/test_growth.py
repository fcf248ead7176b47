"""A transform that turns small values into large ones never builds one over the limit."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.features.transform import growth
from app.features.transform.processor import StoredOptions, TransformProcessor
from app.formats.base import MAX_ROW_BYTES, CellRows, ObjectRows
from app.formats.text_rows import TextRows
from app.processors import pieces
from app.processors.base import ChunkContext
from app.processors.pieces import Pieces
from tests.transform.growing import times
from tests.unit.transform.test_values import outcome

Steps = list[dict[str, Any]]


def test_a_value_of_the_length_of_a_record_is_accepted() -> None:
    assert growth.MAX_VALUE_BYTES == MAX_ROW_BYTES


def test_an_unused_branch_rejects_nothing() -> None:
    expression = (
        "if(length(a) > 30, " + "replace(" * 4 + "a" + f", 'x', '{'x' * 99}')" * 4 + ", 'none')"
    )
    done = outcome([["x" * 20], ["x" * 31]], [{"name": "out", "expression": expression}], ["a"])
    assert [row for _, row in done.preview] == [["none"]]
    assert [(finding.row, finding.code) for finding in done.findings] == [
        (1, growth.VALUE_TOO_LONG)
    ]


@pytest.mark.parametrize("columns", [20, 60])
def test_a_row_of_the_length_of_a_record_is_accepted(columns: int) -> None:
    """Each value is short enough; 60 times 0.4 MB make the row too large."""
    made = [
        {"name": f"c{i}", "from": "a", "steps": [times(100), times(100), times(40)]}
        for i in range(columns)
    ]
    done = outcome([["x"], ["y"]], made, ["a"])
    codes = [(finding.row, finding.code) for finding in done.findings]
    assert codes == ([(0, growth.ROW_TOO_LARGE)] if columns == 60 else [])
    assert done.count == 2 - len(codes)


def python_replace(text: str, step: dict[str, Any]) -> str:
    if step["operation"] == "case":
        return text.upper()
    if not step.get("regex"):
        return text.replace(step["find"], step["by"])
    return re.sub(step["find"], step["by"], text)


plain_steps = st.tuples(st.text("xyé", min_size=1, max_size=2), st.text("xyé", max_size=4)).map(
    lambda pair: {"operation": "replace", "find": pair[0], "by": pair[1]}
)
regex_steps = st.tuples(
    st.sampled_from(["(x)(y?)", "([xy]+)()", "(é|x)(.)"]),
    st.sampled_from(["", "a", r"\1\1", r"\2é\1", r"\\x\1"]),
).map(lambda pair: {"operation": "replace", "find": pair[0], "by": pair[1], "regex": True})
step = plain_steps | regex_steps | st.just({"operation": "case", "to": "upper"})


@settings(max_examples=150)
@given(
    st.lists(st.text("xyéɐ", max_size=12), min_size=1, max_size=6),
    st.lists(step, min_size=1, max_size=4),
)
def test_exactly_the_values_that_would_be_longer_are_refused(
    texts: list[str], steps: Steps
) -> None:
    """The same code with a limit of 30 bytes, checked against Python's own replacements."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(growth, "MAX_VALUE_BYTES", 30)
        patch.setattr(growth, "SURELY_FINE", 0)
        done = outcome(
            [[text] for text in texts], [{"name": "out", "from": "x", "steps": steps}], ["x"]
        )
    wanted: list[str | None] = []
    for text in texts:
        result: str | None = text
        for each in steps:
            result = python_replace(result, each) if result is not None else None
            result = None if result is not None and len(result.encode()) > 30 else result
        wanted.append(result)
    assert [finding.row for finding in done.findings] == [
        i for i, text in enumerate(wanted) if text is None
    ]
    assert [row[0] for _, row in done.preview] == [text for text in wanted if text is not None]


class Counted:
    """Calls functions, and counts the calls."""

    calls = 0

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Any:
        self.calls += 1
        return function(*arguments)


def rows_of(kind: str, count: int) -> Any:
    lines = [f"{i},{'x' * (i % 7)}" for i in range(count)]
    if kind == "cells":
        return CellRows(["a", "b"], range(1, count + 1), [line.split(",") for line in lines])  # type: ignore[misc]
    if kind == "objects":
        raw = [
            json.dumps(dict(zip(["a", "b"], line.split(","), strict=True))).encode()
            for line in lines
        ]
        return ObjectRows(["a", "b"], range(1, count + 1), raw)
    data = b"".join(line.encode().replace(b",", b"\xff") + b"\xfd" for line in lines)
    return TextRows.of(["a", "b"], range(1, count + 1), data)


@pytest.mark.parametrize("kind", ["plain", "cells", "objects"])
@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_rows_that_do_not_fit_in_memory_are_transformed_in_batches(kind: str, form: str) -> None:
    """400 rows of up to 60 kB: the same file, rejects and counts as with enough memory for all of
    them.
    """
    columns = [
        {"name": "a", "from": "a", "steps": [{"operation": "cast", "to": "integer"}]},
        {"name": "b", "from": "b", "steps": [times(100), times(100)]},
    ]
    rules = {"columns": {"a": {"unique": True}}, "checks": [{"expression": "a != 333"}]}
    document = {"mapping": {"columns": columns}, "output_format": form, "validation": rules}
    document |= {"header": ["a", "b"]} if kind != "objects" else {}
    made = []
    for held in (growth.MAX_HELD_BYTES, 5 << 20, 1 << 16):
        counted = Counted()
        context = ChunkContext(
            UUID(int=1), 0, 1, StoredOptions(specification=document), compute=counted
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(growth, "MAX_HELD_BYTES", held)
            done = TransformProcessor().process(rows_of(kind, 400), context)
        assert done.output is not None
        data = b"".join(done.output.data.blocks())
        batches: list[Any] = []
        source = pa.BufferReader(data)
        while source.tell() < len(data):
            with pa.ipc.open_stream(source) as reader:
                batches += list(reader)
        keys = sum(counts[0] for counts in done.output.key_counts)
        assert isinstance(done.results, CellRows)
        numbers = done.results.numbers
        made.append((pa.Table.from_batches(batches), done.rejects, numbers, done.summary, keys))
        assert (counted.calls > 1) == (held < 40 << 20)
    for other in made[1:]:
        assert other[0].to_pylist() == made[0][0].to_pylist()
        assert [list(each) for each in (other[1], other[2])] == [
            list(each) for each in (made[0][1], made[0][2])
        ]
        assert other[4] == made[0][4] == 399
        assert other[3]["rows"] == 399
        assert other[3]["preview"][:2] == made[0][3]["preview"][:2]


def test_a_preview_is_bounded_by_what_can_be_shown() -> None:
    done = outcome(
        [["x"]] * 30,
        [{"name": "b", "from": "a", "steps": [times(100), times(100), times(8)]}],
        ["a"],
    )
    assert [len(row[0]) for _, row in done.preview] == [80_000] * 3
    lines = list(csv.reader(io.StringIO(done.output.decode())))
    assert done.count == len(lines) == 30


def test_any_number_of_pieces_round_trips() -> None:
    given = [bytes([i]) * (i * 7000) for i in range(1, 200)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "IN_MEMORY", 1 << 20)
        made = Pieces()
        for i, piece in enumerate(given):
            made.add(piece)
            if i % 50 == 0:
                assert b"".join(made.blocks()) == b"".join(given[: i + 1])
        assert made.size == sum(map(len, given)) == len(b"".join(made.blocks()))
        assert b"".join(made.blocks()) == b"".join(given)
