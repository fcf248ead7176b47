from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def corpora() -> Path:
    """Test files of others, which are not part of the repository. Without them nothing is proved,
    so CI must fail.
    """
    folder = Path(os.environ.get("GRANULA_CORPORA") or REPOSITORY.parent / "shared" / "corpora")
    if not folder.is_dir():
        problem = f"There is no folder {folder}; GRANULA_CORPORA may name another."
        pytest.fail(problem) if os.environ.get("CI") else pytest.skip(problem)
    return folder
