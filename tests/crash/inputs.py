"""Files of rows that the crash tests share."""

from __future__ import annotations

import pytest

from tests.crash.service import Input


@pytest.fixture(scope="session")
def dirty(tmp_path_factory: pytest.TempPathFactory) -> Input:
    """A small file with every kind of mistake; 20 chunks of 100 rows."""
    return Input.dirty(tmp_path_factory.mktemp("dirty"), 2_000, 0.3, seed=7)


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Input:
    """A file of more than one stretch of the splitter (4 MiB) with only unusual rows."""
    source = Input.dirty(tmp_path_factory.mktemp("wide"), 5_000, 1.0, seed=8)
    assert len(source.data) > 4 << 20
    return source
