"""The frame of the page: an address that leads nowhere, and what a signed-out visitor sees."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

NewPage = Callable[..., Page]


def test_an_unknown_address_says_so_and_leads_back(new_page: NewPage) -> None:
    page = new_page()
    answer = page.goto("/reports/today")
    assert answer is not None
    assert answer.status == 404
    expect(page.get_by_role("heading", name="There is nothing here")).to_be_visible()
    expect(page).to_have_title("Not found · Granula")
    page.goto("/#/shelves")
    expect(page.get_by_role("main")).to_contain_text("/shelves")
    page.get_by_role("link", name="To the jobs", exact=True).click()
    expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()
    expect(page).to_have_title("Jobs · Granula")
    page.go_back()
    expect(page.get_by_role("heading", name="There is nothing here")).to_be_visible()
