"""The view of tables: a file becomes a table, another is tried and loaded into it, a reject is
corrected, and the load is undone. On SQLite alone: other tests hold loads on both databases.
"""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.acceptance.dashboard.conftest import NewPage
from tests.forks import Server
from tests.harness import Api, query

pytestmark = pytest.mark.one_database


def rows(server: Server) -> list[tuple[object, ...]]:
    return query(server.url, "SELECT sku, price, stock FROM prices ORDER BY sku")


def test_a_price_list_goes_into_a_table_and_out_again(server: Server, new_page: NewPage) -> None:
    with server.client() as client:
        api = Api(client)
        november = api.run(b"sku,price,stock\nA,1.50,3\nB,2.00,4\n", name="november.csv")
        api.run(b"SKU,price,stock\nA,1.75,3\nC,9.00,many\nD,0.50,1\n", name="december.csv")
    page = new_page()

    page.goto(f"/#/jobs/{november['job_id']}")
    page.get_by_text("More", exact=True).click()
    page.get_by_role("link", name="Load into a table").click()
    expect(page.get_by_role("heading", name="No tables yet")).to_be_visible()
    chosen = page.get_by_role("combobox", name=re.compile("^File")).locator("option:checked")
    expect(chosen).to_contain_text("november.csv")
    page.get_by_label("Name of the table").fill("prices")
    page.get_by_role("textbox", name=re.compile("^Key")).fill("sku")
    page.get_by_role("button", name="Try it").click()
    expect(page.get_by_text("This load would insert 2 rows.")).to_be_visible()
    expect(page.get_by_text("CREATE TABLE")).to_be_visible()
    page.get_by_role("button", name="Load", exact=True).click()
    page.get_by_role("link", name="Open table").click()
    expect(page.get_by_role("region", name="Columns").get_by_text("INTEGER")).to_be_visible()
    grid = page.get_by_role("grid", name="Rows of main.prices")
    expect(grid.get_by_role("gridcell")).to_have_text(["A", "1.50", "3", "B", "2.00", "4"])
    assert rows(server) == [("A", "1.50", 3), ("B", "2.00", 4)]

    choose(page, "december.csv")
    page.get_by_role("combobox", name=re.compile("^Rows that")).select_option("upsert")
    page.get_by_role("button", name="Try it").click()
    expect(page.get_by_text("This load would insert 1 row, update 1 row.")).to_be_visible()
    expect(page.get_by_role("link", name="1 row would be rejected.")).to_be_visible()
    expect(page.get_by_role("cell", name="SKU", exact=True)).to_be_visible()
    expect(page.locator("del", has_text="1.50")).to_be_visible()
    violations = Axe().run(page).response["violations"]
    assert [violation["id"] for violation in violations] == []
    assert rows(server) == [("A", "1.50", 3), ("B", "2.00", 4)], "it was only tried"
    page.get_by_role("button", name="Load", exact=True).click()

    page.get_by_role("link", name="Rejects").click()
    expect(page.get_by_role("option", name="Not a whole number (1)")).to_have_count(1)
    page.get_by_role("gridcell", name="many", exact=True).first.dblclick()
    page.get_by_label("stock, corrected").fill("7")
    page.get_by_role("button", name="Correct and run again").click()
    expect(page.locator(".correction")).to_have_text("1 corrected row is a result now.")
    assert rows(server) == [("A", "1.75", 3), ("B", "2.00", 4), ("C", "9.00", 7), ("D", "0.50", 1)]

    page.get_by_role("link", name="Summary").click()
    page.get_by_role("button", name="Undo …").click()
    dialog = page.get_by_role("dialog", name="Undo the load")
    expect(dialog.get_by_text("1 restored")).to_be_visible()
    page.go_back()
    expect(dialog).to_be_hidden()
    page.go_forward()
    page.get_by_role("button", name="Undo …").click()
    dialog.get_by_role("button", name="Undo", exact=True).click()
    expect(page.get_by_text("· undone")).to_be_visible()
    expect(page.get_by_role("button", name="Undo …")).to_be_hidden()
    assert rows(server) == [("A", "1.50", 3), ("B", "2.00", 4)]


def test_the_columns_of_a_new_table_are_changed_before_it_is_made(
    server: Server, new_page: NewPage
) -> None:
    """The statement follows each change, and of two readings of a number a person chooses one."""
    with server.client() as client:
        job = Api(client).run(b"sku;price;weight;note\nA;1,50;1.234;x\nB;20,00;5.678;y\n")
    page = new_page()
    page.goto(f"/#/tables?file={job['file_id']}")
    page.get_by_label("Name of the table").fill("weights")
    page.get_by_role("button", name="Try it").click()
    statement = page.locator("pre.code")
    expect(statement).to_contain_text('"weight" TEXT')
    expect(page.get_by_label("Type of price").locator("option:checked")).to_have_text("TEXT (1,5)")
    reason = page.get_by_role("row", name=re.compile("weight")).first
    expect(reason).to_contain_text("decimals and thousands look the same")

    page.get_by_label("Type of weight").select_option(label="thousands: 1.234 is 1234")
    expect(statement).to_contain_text('"weight" INTEGER')
    page.get_by_label("Name of weight").fill("grams")
    page.get_by_label("Name of weight").press("Tab")
    expect(statement).to_contain_text('"grams" INTEGER')
    page.get_by_label("Load note").uncheck()
    expect(statement).not_to_contain_text("note")
    page.get_by_label("sku is in the key").check()
    expect(statement).to_contain_text('PRIMARY KEY ("sku")')
    expect(page.get_by_text("This load would insert 2 rows.")).to_be_visible()
    violations = Axe().run(page).response["violations"]
    assert [violation["id"] for violation in violations] == []

    page.get_by_role("button", name="Load", exact=True).click()
    page.get_by_role("link", name="Open table").click()
    grid = page.get_by_role("grid", name="Rows of main.weights")
    expect(grid.get_by_role("gridcell")).to_have_text(["A", "1.50", "1234", "B", "20.00", "5678"])
    stored = query(server.url, "SELECT sku, price, grams FROM weights ORDER BY sku")
    assert stored == [("A", "1.50", 1234), ("B", "20.00", 5678)]


def choose(page: Page, filename: str) -> None:
    """Choose a file of the list, whose labels have numbers and times."""
    choice = page.get_by_role("combobox", name=re.compile("^File"))
    expect(choice.locator("option", has_text=filename)).to_have_count(1)
    label = choice.locator("option", has_text=filename).inner_text()
    choice.select_option(label=label)
