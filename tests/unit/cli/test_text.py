"""Numbers in the words of the command line."""

from __future__ import annotations

import pytest

from app.cli.text import quantity


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (12_345, "12,345 rows")]
)
def test_one_row_is_singular(count: int, text: str) -> None:
    assert quantity(count, "row") == text
