"""A real Chromium. It ends before its server does, and before anything else uses an event loop in
this process: Playwright's runs in the same thread as long as a browser is open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    expect,
    sync_playwright,
)

from scripts.install_browser import FLAGS, find
from tests.conftest import Databases
from tests.forks import Server

NewPage = Callable[..., Page]
PATIENCE_MS = 20_000
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def server(
    databases: Databases, gates: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """With the processor `gate`, whose chunks wait until a test lets them go on, and webhooks to
    this machine.
    """
    storage = tmp_path_factory.mktemp("service") / "storage"
    settings = {
        "PROCESSORS": "tests.api.gate:Gate",
        "TEST_GATES": gates,
        "WEBHOOK_ALLOW_PRIVATE": "true",
    }
    running = Server(databases.create(storage), storage, **settings)
    try:
        yield running.start()
    finally:
        code = running.stop()
    assert code in (0, -15), running.tail()


@pytest.fixture(scope="module")
def browser(server: Server) -> Iterator[Browser]:
    path = find()
    if path is None:
        pytest.fail("there is no Chromium; run .venv/bin/python scripts/install_browser.py")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield opened
        opened.close()


@pytest.fixture
def new_page(browser: Browser, server: Server) -> Iterator[NewPage]:
    """Opens a page in a browser context of its own. At the end no page may have reported an error,
    or a violation of its Content-Security-Policy.
    """
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if (
            message.type == "error" and "Failed to load resource" not in message.text
        ):  # an answer of 4xx, which is shown
            complaints.append(message.text)

    def open_page(**options: object) -> Page:
        base = f"http://127.0.0.1:{server.port}"
        context = browser.new_context(base_url=base, reduced_motion="reduce", **options)  # type: ignore[arg-type]
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", note)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints


@pytest.fixture
def page(new_page: NewPage) -> Page:
    return new_page()
