"""A dead link fails the build of the guide, and so lint."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import ROOT

pytestmark = pytest.mark.one_database


@pytest.mark.parametrize(
    ("page", "text", "complaint"),
    [
        ("faq.md", "[gone](nonesuch.md)", "nonesuch.md"),
        ("faq.md", "[gone](concepts.md#nonesuch)", "nonesuch"),
        ("not-listed.md", "A page that mkdocs.yml does not name.", "not-listed.md"),
    ],
)
def test_dead_links_are_reported(tmp_path: Path, page: str, text: str, complaint: str) -> None:
    for name in ("docs", "scripts"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    with (tmp_path / "docs" / page).open("a") as file:
        file.write(f"\n{text}\n")
    check = [sys.executable, str(tmp_path / "scripts" / "build_guide.py"), "--check"]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 1
    assert complaint in done.stderr
