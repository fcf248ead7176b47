"""The columns of a job are bounded for any number of keys, and rows beyond the limit are
rejects.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from app.formats.base import MAX_COLUMNS, CellRows, ObjectRows, PagedRows
from app.pipeline.columns import MAX_NAME_BYTES, Columns, Fitting
from app.processors.base import ChunkOutcome


def objects(rows: Sequence[Sequence[str]], first: int = 1) -> ObjectRows:
    raw = [msgspec.json.encode(dict.fromkeys(names, 1)) for names in rows]
    columns = list(dict.fromkeys(name for names in rows for name in names))
    return ObjectRows(columns, list(range(first, first + len(rows))), raw)


def fitted(known: Columns, rows: ObjectRows) -> tuple[ChunkOutcome, int]:
    """Return the remaining rows, and the number of runs of the processor."""
    fitting, runs = Fitting(known, rows), 0
    while True:
        runs += 1
        outcome = fitting.take(ChunkOutcome(fitting.rows))
        if outcome is not None:
            return outcome, runs


def names_of(first: int, count: int) -> list[str]:
    return [f"k{number}" for number in range(first, first + count)]


def test_rows_within_the_column_limit_pass_unchanged() -> None:
    rows = objects([["a", "b"], ["b", "c"]])
    outcome, runs = fitted(Columns(["a"]), rows)
    assert (outcome.results, outcome.rejects, runs) == (rows, [], 1)


def test_a_row_with_too_many_new_keys_is_rejected_and_later_rows_may_fit() -> None:
    known = Columns(names_of(0, MAX_COLUMNS - 2))
    rows = objects(
        [["k0", "new 1"], ["new 2", "new 3"], ["new 2"], ["new 4"], ["k5"], ["new 1", "new 2"]]
    )
    outcome, runs = fitted(known, rows)
    assert runs == 2
    assert list(outcome.results.columns) == ["new 1", "new 2"]
    assert [(reject.row_number, reject.code) for reject in outcome.rejects] == [
        (2, "too_many_columns"),
        (4, "too_many_columns"),
    ]
    assert "`new 2`" in outcome.rejects[0].message
    kept = rows.select([0, 2, 4, 5])
    assert isinstance(outcome.results, PagedRows)
    assert outcome.results.hash_sum() == kept.hash_sum()
    assert [msgspec.json.decode(page.data) for page in outcome.results.pages()] == [
        [msgspec.json.decode(raw) for raw in kept.raw]
    ]
    assert not known.new(names_of(0, MAX_COLUMNS - 2)), (
        "what is looked at by others does not change"
    )


def test_the_processor_does_not_run_again_if_no_row_fits() -> None:
    outcome, runs = fitted(Columns(names_of(0, MAX_COLUMNS)), objects([["a"], ["b"]], first=7))
    assert runs == 1
    assert len(outcome.results) == 0
    assert [reject.row_number for reject in outcome.rejects] == [7, 8]


def test_column_names_of_rejected_rows_do_not_count() -> None:
    """The reader names the keys of all rows of a chunk; the processor may have rejected some of
    them.
    """
    known = Columns(names_of(0, MAX_COLUMNS - 1))
    rows = objects([["a"], ["b"], ["c"]])
    outcome = Fitting(known, rows).take(ChunkOutcome(rows.select([1])))
    assert outcome is not None
    assert list(outcome.results.columns) == ["b"]
    assert outcome.rejects == []


def test_the_bytes_of_the_names_are_bounded_too() -> None:
    long = ["x" * (MAX_NAME_BYTES // 2), "y" * (MAX_NAME_BYTES // 2), "z"]
    outcome, _ = fitted(Columns(), objects([[name] for name in long]))
    assert list(outcome.results.columns) == long[:2]
    (reject,) = outcome.rejects
    assert reject.row_number == 3
    assert len(reject.message) < 500


@pytest.mark.parametrize("name", ["\0", "\N{FIRE}" * 200, "\ud83d"])
def test_a_message_about_any_name_can_be_stored(name: str) -> None:
    rows = ObjectRows([name], [1], [b'{"whatever":1}'])
    outcome = Fitting(Columns(names_of(0, MAX_COLUMNS)), rows).take(ChunkOutcome(rows))
    assert outcome is not None
    message = outcome.rejects[0].message
    assert "\0" not in message
    message.encode()


def test_columns_of_a_table_are_those_of_its_header() -> None:
    wide = CellRows(names_of(0, MAX_COLUMNS), [1], [["1"] * MAX_COLUMNS])
    outcome = Fitting(Columns(["other"]), wide).take(ChunkOutcome(wide))
    assert outcome is not None
    assert outcome.results is wide
