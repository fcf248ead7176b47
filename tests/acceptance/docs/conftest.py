"""The guide, and a service that shows it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from scripts.install_browser import FLAGS, find
from tests.harness import ROOT


@pytest.fixture(scope="session")
def guide() -> Path:
    subprocess.run([sys.executable, ROOT / "scripts" / "build_guide.py"], check=True)
    return ROOT / "storage" / "guide"


@pytest.fixture
def browser() -> Iterator[Browser]:
    path = find()
    if path is None:
        pytest.fail("there is no Chromium; run .venv/bin/python scripts/install_browser.py")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield opened
        opened.close()
