"""A real Chromium. It must end before its server, and before anything else uses an event loop in
this process: Playwright's loop runs in the same thread while a browser is open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Error,
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
    """With the processor `gate`, whose chunks wait for a test, and webhooks to this machine."""
    storage = tmp_path_factory.mktemp("service") / "storage"
    settings = {
        "PROCESSORS": "tests.api.gate:Gate",
        "TEST_GATES": gates,
        "WEBHOOK_ALLOW_PRIVATE": "true",
        "SOURCE_FOLDERS": f"/srv/inbox,{tmp_path_factory.getbasetemp()}",
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


class Tabs:
    """Pages in separate browser contexts, like separate browsers. Creating one costs a second of a
    core, so tests reuse them, and everything that a site stores in a browser is cleared in between.
    """

    def __init__(self, browser: Browser, base_url: str) -> None:
        self._browser = browser
        self._base_url = base_url
        self._kept: list[Page] = []

    def make(self, **options: object) -> Page:
        context = self._browser.new_context(
            base_url=self._base_url,
            reduced_motion="reduce",
            **options,  # type: ignore[arg-type]
        )
        context.set_default_timeout(PATIENCE_MS)
        return context.new_page()

    def take(self, place: int) -> Page:
        """Return the context at this index among those of a test."""
        if place == len(self._kept):
            self._kept.append(self.make())
        return self._kept[place]

    def clear(self) -> None:
        """Clear everything that the last test stored."""
        for page in self._kept:
            page.unroute_all(behavior="ignoreErrors")
            page.context.set_offline(False)
            page.goto("about:blank")
            page.context.clear_cookies()
            devtools = page.context.new_cdp_session(page)
            origin = {"origin": self._base_url, "storageTypes": "all"}
            devtools.send("Storage.clearDataForOrigin", origin)
            devtools.detach()


@pytest.fixture(scope="module")
def tabs(browser: Browser, server: Server) -> Tabs:
    return Tabs(browser, f"http://127.0.0.1:{server.port}")


@pytest.fixture
def new_page(tabs: Tabs) -> Iterator[NewPage]:
    """Opens a page in a browser context that has nothing of this site: a cleared one; with
    `is_first_visit` or options of the context, a new one. At the end no page may have reported an
    error, or a violation of its Content-Security-Policy.
    """
    pages: list[Page] = []
    own: list[BrowserContext] = []
    complaints: list[str] = []

    def complain(error: Error) -> None:
        complaints.append(str(error))

    def note(message: ConsoleMessage) -> None:
        if (
            message.type == "error" and "Failed to load resource" not in message.text
        ):  # a response of 4xx, which is shown
            complaints.append(message.text)

    def open_page(*, is_first_visit: bool = False, **options: object) -> Page:
        if is_first_visit or options:
            page = tabs.make(**options)
            own.append(page.context)
        else:
            page = tabs.take(len(pages) - len(own))
        pages.append(page)
        page.on("pageerror", complain)
        page.on("console", note)
        return page

    yield open_page
    for page in pages:
        page.remove_listener("pageerror", complain)
        page.remove_listener("console", note)
    for context in own:
        context.close()
    tabs.clear()
    assert not complaints


@pytest.fixture
def page(new_page: NewPage) -> Page:
    return new_page()
