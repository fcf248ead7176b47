"""Rejects by cause, in words; one fix after another, and one change for all rejects of a cause."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.conftest import Databases
from tests.harness import Api, Postgres

pytestmark = pytest.mark.one_database

GOOD = "".join(f"{number},Ada,{number}\n" for number in range(1, 51))
LONG = "." * 200
"""More than one control character in a hundred is not text."""
BAD = "".join(f"{number},Bo \x00B{LONG},1\n" for number in range(51, 1_351))
DATA = f"id,name,n\n{GOOD}{BAD}1351,x\n1352,x\x00y,=1+1\n"
"""1,301 rows with a NUL in the column `name`, and one with too few cells."""


@pytest.fixture(scope="module", params=["sqlite"])
def databases(
    request: pytest.FixtureRequest, postgres: Postgres, templates: dict[str, str]
) -> Databases:
    return Databases(request.param, postgres, templates)


def test_all_rejects_of_a_cause_are_fixed_at_once(page: Page, api: Api) -> None:
    job = api.run(DATA.encode(), name="nuls.csv")
    page.goto(f"/#/jobs/{job['job_id']}/rejects")
    expect(page.get_by_text("1,302 rejected rows")).to_be_visible()
    first = page.locator('.virtual [aria-rowindex="2"]')
    expect(first).to_contain_text("A NUL character")
    expect(first).to_contain_text("Bo ␀B")

    page.get_by_label("Reason").select_option(label="A NUL character (1,301)")
    page.get_by_label("Column").select_option("name")
    expect(page.get_by_text("1,301 rejected rows")).to_be_visible()
    page.get_by_label("Search the rejects").fill("1352,")
    expect(page.get_by_text("1 rejected row", exact=True)).to_be_visible()
    page.get_by_label("Search the rejects").fill("")
    expect(page.get_by_text("1,301 rejected rows")).to_be_visible()
    page.reload()
    expect(page.get_by_text("1,301 rejected rows")).to_be_visible()

    page.get_by_role("button", name="Fix all 1,301 like this").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("0 of 1,301 rejects would change.")
    dialog.get_by_role("textbox", name="Find").fill("Bo ")
    dialog.get_by_label("Replace by").fill("Bo; ")
    expect(dialog).to_contain_text("1,300 of 1,301 rejects would change.")
    dialog.get_by_label("Change").select_option("set")
    dialog.get_by_label("Replace by").fill('Bo "B"')
    expect(dialog).to_contain_text("1,301 of 1,301 rejects would change.")
    expect(dialog.locator("tbody tr").first).to_contain_text("Bo ␀B")
    assert not Axe().run(page).response["violations"]
    dialog.get_by_role("button", name="Correct and run again").click()
    expect(page.locator(".correction")).to_have_text("1,301 corrected rows are results now.")
    expect(page.get_by_text("No row is rejected for this reason any more.")).to_be_visible()
    rows = api.client.get(f"/api/v1/rows/{job['file_id']}", params={"where": "id >= 1300"}).json()
    cells = [item["data"]["row"] for item in rows["items"]]
    assert cells[0] == ["1300", 'Bo "B"', "1"]
    assert cells[-1] == ["1352", 'Bo "B"', "=1+1"]  # not guarded


def test_the_next_reject_opens_after_a_fix(page: Page, api: Api) -> None:
    job = api.run(b"id,n\n1,2,3\n2,x\n3\n4,5,6\n", name="three.csv")
    page.goto(f"/#/jobs/{job['job_id']}/rejects")
    expect(page.get_by_role("columnheader", name="More cells than columns")).to_be_visible()
    expect(page.locator('.virtual [aria-rowindex="2"]')).to_contain_text("Expected 2 cells")
    page.get_by_role("grid").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    detail = page.get_by_label("Selected row")
    expect(detail).to_contain_text("Row 1")
    detail.get_by_label("n, corrected").fill("2")
    page.keyboard.press("Control+Enter")
    expect(detail).to_contain_text("Row 3")
    expect(page.locator(".correction")).to_have_text("1 corrected row is a result now.")
    expect(detail.get_by_label("n, corrected")).to_be_visible()
    detail.get_by_label("n, corrected").fill("7")
    page.keyboard.press("Control+Enter")
    expect(detail).to_contain_text("Row 4")
