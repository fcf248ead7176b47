"""Marks that tests of several folders use."""

from __future__ import annotations

import pytest

one_database = pytest.mark.parametrize("databases", ["sqlite"], indirect=True, scope="module")
"""For what never reaches the SQL, and what is shown on both databases elsewhere."""
