"""/guide: the documents as pages. They need no network but the service."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect

from tests.api.checks import assert_problem
from tests.harness import Api, Server

pytestmark = pytest.mark.one_database
PATIENCE_MS = 20_000


@pytest.fixture
def page(browser: Browser, server: Server, guide: Path) -> Page:
    context = browser.new_context(base_url=f"http://127.0.0.1:{server.port}")
    return context.new_page()


def test_each_page_is_served_with_its_type_and_a_policy(api: Api, guide: Path) -> None:
    for path, kind in (
        ("/guide/", "text/html"),
        ("/guide/tutorial.html", "text/html"),
        ("/guide/assets/icon.svg", "image/svg+xml"),
        ("/guide/search/search_index.json", "application/json"),
    ):
        answer = api.client.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["content-type"].startswith(kind)
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    redirected = api.client.get("/guide", follow_redirects=True)
    assert urlsplit(str(redirected.url)).path == "/guide/"


@pytest.mark.parametrize("path", ["nonesuch.html", "..%2f..%2fREADME.md", "%2fetc%2fpasswd"])
def test_an_unknown_page_is_not_found(api: Api, guide: Path, path: str) -> None:
    assert_problem(api.client.get(f"/guide/{path}"), 404, "not_found")


def test_pages_need_no_other_host_and_obey_the_content_security_policy(page: Page) -> None:
    complaints: list[str] = []
    hosts: set[str | None] = set()

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            complaints.append(message.text)

    def look(request: Request) -> None:
        hosts.add(urlsplit(request.url).hostname)

    page.on("console", note)
    page.on("request", look)
    for path in ("/guide/", "/guide/howto/load-a-dirty-csv.html"):
        page.goto(path)
        expect(page.locator("h1")).to_be_visible()
    assert hosts == {"127.0.0.1"}
    assert complaints == []


def test_the_search_finds_pages_by_their_words(page: Page) -> None:
    page.goto("/guide/")
    page.locator("input.md-search__input").click()
    expect(page.get_by_text("Type to start searching")).to_be_attached(timeout=PATIENCE_MS)
    # it searches when a key is released
    page.locator("input.md-search__input").press_sequentially("unclosed quote")
    found = page.locator(".md-search-result__link").first
    expect(found).to_be_visible(timeout=PATIENCE_MS)
    found.click()
    expect(page.locator("article")).to_contain_text(re.compile("quote", re.IGNORECASE))
