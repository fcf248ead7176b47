"""Results as a table that people know: filter, search, sort, rows and their origin, selection,
downloads, and the address of all that.
"""

from __future__ import annotations

import json
import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from tests.acceptance.dashboard.conftest import NewPage
from tests.conftest import Databases
from tests.forks import Server
from tests.harness import Api, Postgres

pytestmark = pytest.mark.one_database

ROWS = "id,name,amount,zip\n" + "".join(
    f"{number},{'Ada' if number % 10 else 'Bob'} {number},{(number * 37) % 1000},0{number:04d}\n"
    if number != 5
    else "5,short\n"
    for number in range(1, 1_201)
)


@pytest.fixture(scope="module", params=["sqlite"])
def databases(
    request: pytest.FixtureRequest, postgres: Postgres, templates: dict[str, str]
) -> Databases:
    return Databases(request.param, postgres, templates)


@pytest.fixture(scope="module")
def job_id(server: Server) -> str:
    with server.client() as client:
        return str(Api(client).run(ROWS.encode(), name="rows.csv")["job_id"])


def column(page: Page, place: int) -> Locator:
    return page.locator(f'.virtual [role=row] [aria-colindex="{place}"]')


def told(page: Page, text: str) -> None:
    expect(page.get_by_role("status").filter(has_text=text)).to_be_visible()


def test_filter_search_and_sort_are_in_the_address(page: Page, job_id: str) -> None:
    page.goto(f"/#/jobs/{job_id}/results")
    told(page, "1,199 rows")
    head = page.get_by_role("columnheader")
    expect(head.filter(has_text="amount")).to_contain_text("number")
    expect(head.filter(has_text="zip")).to_contain_text("text")
    expect(head.filter(has_text="amount").locator("svg")).to_be_visible()
    numeric = page.locator('.virtual [aria-rowindex="2"] .numeric')
    expect(numeric).to_have_text(["1", "1", "37"])  # the row, the id and the amount: not the zip

    page.get_by_label("Column", exact=True).select_option("name")
    page.get_by_label("Value").fill("bob")
    page.get_by_role("button", name="Add filter").click()
    told(page, "120 of 1,199 rows")
    page.get_by_label("Column", exact=True).select_option("amount")
    page.get_by_label("Comparison").select_option(">")
    page.get_by_label("Value").fill("900")
    page.keyboard.press("Enter")
    expected = [n for n in range(10, 1_201, 10) if n * 37 % 1000 > 900]
    told(page, f"{len(expected)} of 1,199 rows")
    expect(column(page, 2).nth(4)).to_have_text(str(expected[4]))
    assert column(page, 2).all_inner_texts()[:5] == [str(number) for number in expected[:5]]

    page.get_by_label("Sort by").select_option("-amount")
    told(page, f"{len(expected)} rows")
    order = sorted(expected, key=lambda number: -(number * 37 % 1000))
    expect(column(page, 2).first).to_have_text(str(order[0]))
    expect(head.filter(has_text="amount")).to_have_attribute("aria-sort", "descending")
    href = page.get_by_role("link", name="JSON Lines").get_attribute("href")
    lines = page.request.get(str(href)).text().splitlines()
    assert [int(json.loads(line)["id"]) for line in lines] == expected

    address = page.url
    page.go_back()  # before the sort
    expect(head.filter(has_text="amount")).not_to_have_attribute("aria-sort", re.compile("."))
    page.go_back()  # before the second filter
    told(page, "120 of 1,199 rows")
    page.goto("about:blank")
    page.goto(address)
    told(page, f"{len(expected)} rows")
    expect(page.get_by_role("button", name="Remove the filter")).to_have_count(2)
    page.get_by_role("button", name="Remove the filter name contains bob").click()
    page.get_by_label("Search all cells").fill("ADA 7")
    page.get_by_label("Sort by").select_option("")
    matching = [
        n for n in range(1, 1_201) if n % 10 and f"{n}".startswith("7") and n * 37 % 1000 > 900
    ]
    told(page, f"{len(matching)} of 1,199 rows")


def test_a_row_its_origin_and_a_selection_by_keyboard(new_page: NewPage, job_id: str) -> None:
    page = new_page(permissions=["clipboard-read", "clipboard-write"])
    page.goto(f"/#/jobs/{job_id}/results")
    told(page, "1,199 rows")
    page.get_by_label("Go to row").fill("1000")
    page.get_by_role("button", name="Go", exact=True).click()
    drawer = page.get_by_label("Selected row")
    expect(drawer).to_contain_text("Row 1,000")
    expect(drawer.locator("pre")).to_have_text("1000,Bob 1000,0,01000")
    expect(drawer).to_contain_text("Line1,001")
    expect(page).to_have_url(re.compile("row=1000"))
    expect(page.locator(".grid-row.active")).to_contain_text("Bob 1000")
    page.get_by_role("button", name="Row behind").click()
    expect(drawer).to_contain_text("Row 1,001")
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()

    grid = page.get_by_role("grid")
    expect(grid).to_be_focused()
    page.keyboard.press("Control+Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("c")
    expect(page.locator("#announcer")).to_have_text("Cell copied")
    assert page.evaluate("navigator.clipboard.readText()") == "Ada 1"
    page.keyboard.press(" ")
    page.keyboard.press("ArrowDown")
    page.keyboard.press(" ")
    expect(page.get_by_text("2 rows selected")).to_be_visible()
    page.keyboard.press("Control+c")
    expect(page.locator("#announcer")).to_have_text("2 rows copied")
    assert page.evaluate("navigator.clipboard.readText()") == (
        "id\tname\tamount\tzip\n1\tAda 1\t37\t00001\n2\tAda 2\t74\t00002"
    )
    href = page.get_by_role("link", name="CSV").get_attribute("href")
    assert page.request.get(str(href)).text().count("\n") == 3
    page.keyboard.press("s")
    expect(page.get_by_role("columnheader").filter(has_text="name")).to_have_attribute(
        "aria-sort", "ascending"
    )
    expect(column(page, 3).first).to_have_text("Ada 1")
    page.keyboard.press("f")
    expect(page.get_by_label("Value")).to_be_focused()

    page.get_by_text("Columns", exact=True).click()
    page.get_by_label("zip: shown").uncheck()
    page.get_by_label("name: pinned").check()
    expect(page.get_by_role("columnheader")).to_have_count(4)
    expect(page.locator(".grid-head .cell.pinned")).to_have_count(2)
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 800})
        violations = Axe().run(page).response["violations"]
        assert not [(each["id"], each["nodes"][0]["html"]) for each in violations]
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
