"""Rejects by cause, in words; one fix after another, and one change for all rejects of a cause."""

from __future__ import annotations

import re

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
    detail.get_by_label("Cell 3, without a column").fill("")
    page.keyboard.press("Control+Enter")
    expect(detail).to_contain_text("Row 3")
    expect(page.locator(".correction")).to_have_text("1 corrected row is a result now.")
    expect(detail.get_by_label("n, corrected")).to_be_visible()
    detail.get_by_label("n, corrected").fill("7")
    page.keyboard.press("Control+Enter")
    expect(detail).to_contain_text("Row 4")
    expect(page.get_by_text("1 rejected row", exact=True)).to_be_visible()
    rows = [cells for _, cells in api.rows(job["file_id"])]
    assert rows == [["1", "2"], ["2", "x"], ["3", "7"]]


def test_a_row_of_the_wrong_shape_is_not_changed_unasked(page: Page, api: Api) -> None:
    data = b'id;n\n1;2;3\n2\n3;a"b\n4;"x\x00;y"\n'
    job = api.run(data, name="shapes.csv", delimiter=";")
    page.goto(f"/#/jobs/{job['job_id']}/rejects")
    first = page.locator('.virtual [aria-rowindex="2"]')
    expect(first).to_contain_text("Too few or too many cells")  # its cells are there
    detail = page.get_by_label("Selected row")
    run = detail.get_by_role("button", name="Correct and run again")
    toasts = page.locator(".toast")
    for row, words in (
        (2, "Row 1 has 1 cell without a column"),
        (3, "Row 2 has no cell for n"),
        (4, "Row 3 has cells that are a guess, in n"),
    ):
        page.locator(f'.virtual [aria-rowindex="{row}"]').click()
        run.click()
        expect(toasts.filter(has_text=words)).to_be_visible()
    assert len(api.rejects(job["file_id"])) == 4

    detail.get_by_role("button", name="Take the cells as shown").click()
    page.locator('.virtual [aria-rowindex="2"]').click()
    detail.get_by_role("button", name="Join the extra cells into").click()
    expect(detail.get_by_label("n, corrected")).to_have_value("2;3")
    page.locator('.virtual [aria-rowindex="3"]').click()
    detail.get_by_role("button", name="Leave the missing cells empty").click()
    assert not Axe().run(page).response["violations"]
    detail.get_by_role("button", name="Correct 3 rows and run again").click()
    expect(page.locator(".correction")).to_have_text("3 corrected rows are results now.")
    # A row that is rejected again is in the form of a correction, whatever the file's delimiter.
    for text, outcome in (
        ("x\x00;z", "1 row is still rejected."),
        ("x;y", "1 corrected row is a result now."),
    ):
        expect(first).to_contain_text("A NUL character")
        first.click()
        detail.get_by_label("n, corrected").fill(text)
        run.click()
        expect(page.locator(".correction")).to_have_text(outcome)
    expect(page.get_by_text("Every row was loaded.")).to_be_visible()
    rows = [cells for _, cells in api.rows(job["file_id"])]
    assert rows == [["1", "2;3"], ["2", ""], ["3", 'a"b'], ["4", "x;y"]]


def test_shapes_are_fixed_in_bulk_before_and_after(page: Page, api: Api) -> None:
    """The oracle is written by hand: which rows a file without these faults would have."""
    addresses = "".join(f"{n},Main St {n}, Ulm,{n}\n" for n in range(1, 4))
    data = f'id,street,n\n{addresses}4,x\n5,y\n6,z,6, \n7,5" pipe,7\n8,6" pipe,8\n9,ok,9\n'
    job = api.run(data.encode(), name="shapes-bulk.csv")
    page.goto(f"/#/jobs/{job['job_id']}/rejects")
    expect(page.get_by_text("8 rejected rows")).to_be_visible()
    dialog = page.get_by_role("dialog")
    send = dialog.get_by_role("button", name="Correct and run again")

    page.get_by_label("Reason").select_option("column_count")
    page.get_by_role("button", name="Fix all 6 like this").click()
    change = dialog.get_by_label("Change")
    expect(change.locator("option")).to_have_text(
        [
            "Join the extra cells into one column (4)",
            "Fill missing cells at the end with empty (2)",
            "Drop blank cells at the end (1)",
        ]
    )
    change.select_option("drop")
    expect(dialog).to_contain_text("1 of 6 rejects would change.")
    expect(dialog.locator("tbody tr")).to_have_text(re.compile(r"6\s*6,z,6,\s*6\s*z\s*6"))
    send.click()
    expect(page.locator(".correction")).to_have_text("1 corrected row is a result now.")

    page.get_by_role("button", name="Fix all 5 like this").click()
    dialog.get_by_role("combobox", name=re.compile("^Column")).select_option(label="street")
    expect(dialog.locator("tbody tr").first).to_contain_text("Main St 1, Ulm")
    assert not Axe().run(page).response["violations"]
    send.click()
    expect(page.locator(".correction")).to_have_text("3 corrected rows are results now.")

    page.get_by_role("button", name="Fix all 2 like this").click()
    expect(change).to_have_value("fill")
    send.click()
    expect(page.get_by_text("No row is rejected for this reason any more.")).to_be_visible()

    page.get_by_label("Reason").select_option("csv_bad_quote")
    page.get_by_role("button", name="Fix all 2 like this").click()
    expect(change).to_have_value("take")
    send.click()
    expect(page.get_by_text("No row is rejected for this reason any more.")).to_be_visible()
    assert [cells for _, cells in api.rows(job["file_id"])] == [
        *[[str(n), f"Main St {n}, Ulm", str(n)] for n in range(1, 4)],
        ["4", "x", ""],
        ["5", "y", ""],
        ["6", "z", "6"],
        ["7", '5" pipe', "7"],
        ["8", '6" pipe', "8"],
        ["9", "ok", "9"],
    ]


def test_corrections_of_an_earlier_file_are_used_again(page: Page, api: Api) -> None:
    january = api.run(b"id,town\n1,Ulm\n2\n3,Hof,x\n", name="towns-01.csv")
    fixes = [{"_row": 2, "values": {"town": "Bonn"}}, {"_row": 3, "values": {"town": "Hof x"}}]
    path = f"/api/v1/files/{january['file_id']}/corrections"
    api.finished(api.client.post(path, json={"rows": fixes}).json()["file_id"])

    job = api.run(b"id,town\n3,Hof,x\n2\n4\n", name="towns-02.csv")
    number = api.status(january["file_id"])["number"]
    page.goto(f"/#/jobs/{job['job_id']}/rejects")
    page.get_by_role("button", name=f"Use the 2 corrections of #{number}").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("2 rejects have the same text and reason as rows of towns-01")
    expect(dialog.locator("tbody tr").first).to_contain_text("3,Hof,x")
    expect(dialog.locator("tbody tr").first).to_contain_text("Hof x")
    assert not Axe().run(page).response["violations"]
    dialog.get_by_role("button", name="Correct and run again").click()
    expect(page.locator(".correction")).to_have_text("2 corrected rows are results now.")
    expect(page.get_by_text("1 rejected row", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Use the 2 corrections")).to_have_count(0)
    assert [cells for _, cells in api.rows(job["file_id"])] == [["3", "Hof x"], ["2", "Bonn"]]
