"""Names of columns: each its own, and none taken from the column that is called so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.formats.base import cell_names, unique_names
from app.formats.detect import Declared
from tests.formats.reading import detected

NAMES: list[tuple[list[str], list[str]]] = [
    (["a", "b"], ["a", "b"]),
    (["a", "a"], ["a", "a_2"]),
    (["a", "a", "a_2"], ["a", "a_3", "a_2"]),
    (["a_2", "a", "a"], ["a_2", "a", "a_3"]),
    (["a", "a", "a_2", "a_2", "a_3"], ["a", "a_4", "a_2", "a_2_2", "a_3"]),
    (["", "x", ""], ["column_1", "x", "column_3"]),
    (["", "column_1"], ["column_1_2", "column_1"]),
    (["x", "y", "", "column_3"], ["x", "y", "column_3_2", "column_3"]),
    (["", "column_1", "column_1_2"], ["column_1_3", "column_1", "column_1_2"]),
    (["A", "a"], ["A", "a"]),
]


@pytest.mark.parametrize(("written", "expected"), NAMES, ids=str)
def test_a_repeated_name_belongs_to_its_first_column(
    written: list[str], expected: list[str]
) -> None:
    assert unique_names(written) == expected
    header = ",".join(name or '""' for name in written)
    assert detected(header.encode() + b"\n").columns == expected
    assert (
        detected(b",".join([b"x"] * len(written)) + b"\n", Declared(columns=written)).columns
        == expected
    )


@given(
    st.lists(
        st.sampled_from(["", "a", "a_2", "a_2_2", "a_3", "column_1", "column_2", "column_2_2"]),
        max_size=12,
    )
)
def test_no_name_is_used_twice_or_moved(written: list[str]) -> None:
    names = unique_names(written)
    assert len(set(names)) == len(names) == len(written)
    for place, name in enumerate(written):
        if name and name not in written[:place]:
            assert names[place] == name
    assert unique_names(names) == names


@given(
    st.lists(
        st.sampled_from(["a", "column_2", "column_3", "column_3_2", "column_4"]),
        max_size=5,
        unique=True,
    )
)
def test_cells_beyond_the_header_get_names_of_their_own(columns: list[str]) -> None:
    for width in range(8):
        names = cell_names(columns, width)
        assert list(names[: len(columns)]) == columns
        assert len(set(names)) == len(names) == max(width, len(columns))
