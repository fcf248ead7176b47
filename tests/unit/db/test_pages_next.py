"""Reading all pages of a job fetches as many at a time as fit into some megabytes, however wide the
rows are.
"""

from __future__ import annotations

import pytest

from app.db.results import BYTES_AT_ONCE, MOST_PAGES, pages_next
from app.db.rows import PageRow


@pytest.mark.parametrize(
    ("size", "expected"), [(10, MOST_PAGES), (BYTES_AT_ONCE // 10, 9), (10 * BYTES_AT_ONCE, 1)]
)
def test_wide_pages_are_read_in_smaller_batches(size: int, expected: int) -> None:
    pages = [PageRow(1, 1, None, "x"), PageRow(2, 1, None, "x" * size)]
    assert pages_next(pages) == expected
    assert pages_next() * size < 5 * max(BYTES_AT_ONCE, size), (
        "nothing is known at first: so only some are read"
    )
