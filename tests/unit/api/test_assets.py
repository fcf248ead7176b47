"""How much the dashboard transfers, and which of its files a browser gets compressed."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from app.api import assets
from tests.harness import ROOT

FIRST_VIEW_BYTES = 60_000
ALL_BYTES = 200_000


def first_files() -> set[str]:
    """Return the paths that the page names, as a browser reads them."""
    version = assets.bundle()[0]
    return set(re.findall(rf'(?:href|src)="/assets/{version}/([^"]+)"', assets.page_text()))


def test_the_first_view_and_all_views_transfer_few_bytes() -> None:
    first = sum(len(assets.compressed(path)) for path in first_files())
    total = sum(len(assets.compressed(path)) for path in assets.bundle()[1])
    assert len(assets.page_text()) + first < FIRST_VIEW_BYTES
    assert total < ALL_BYTES


def test_the_page_names_every_module_that_the_first_view_imports() -> None:
    """The oracle follows the imports in the files, a line each or over several lines."""
    folder = ROOT / "app" / "dashboard" / "js"
    imported: set[Path] = set()
    modules = [folder / "main.js", folder / "views" / "jobs.js"]
    while modules:
        module = modules.pop()
        imported.add(module)
        for line in re.sub(r"\{[^}]*\}", "", module.read_text()).splitlines():
            if line.startswith(("import ", "export ")) and ' from "' in line:
                target = (module.parent / line.split('from "')[1].split('"')[0]).resolve()
                if target not in imported:
                    modules.append(target)
    named = {path for path in first_files() if path.endswith(".js")} - {"js/theme.js"}
    assert named == {f"js/{path.relative_to(folder)}" for path in imported}


def test_a_compressed_file_is_the_same_file() -> None:
    for path, data in assets.bundle()[1].items():
        assert gzip.decompress(assets.compressed(path)) == data


@pytest.mark.parametrize(
    ("header", "is_accepted"),
    [
        ("gzip, deflate, br", True),
        ("br;q=1.0, gzip;q=0.8", True),
        ("GZIP", True),
        ("*", True),
        ("", False),
        ("identity", False),
        ("br", False),
        ("gzip;q=0", False),
        ("*, gzip;q=0", False),
        ("x-gzip-like", False),
    ],
)
def test_gzip_is_sent_to_those_who_accept_it(header: str, is_accepted: bool) -> None:
    assert assets.accepts_gzip(header) is is_accepted
