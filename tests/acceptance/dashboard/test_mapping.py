"""A person who has only the browser saves the columns that they want, maps a file onto them, looks at
what is doubtful, and changes what is done to the values.
"""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import Databases
from tests.harness import Api, Postgres

pytestmark = pytest.mark.one_database

STATES = ("closed", "open")
DAYS = [f"{day:02}.02.2024" for day in range(1, 29)]
ORDERS = "Kunde,Bestellt am,Betrag,Status\n" + "".join(
    f"Firm {number},{day},{number}7.50,{STATES[number % 2]}\n" for number, day in enumerate(DAYS, 1)
)
LATER = "Kunde,Bestellt am,Betrag,Status\nFirm 1,03.04.2024,1.25,open\n"


@pytest.fixture(scope="module", params=["sqlite"])
def databases(
    request: pytest.FixtureRequest, postgres: Postgres, templates: dict[str, str]
) -> Databases:
    return Databases(request.param, postgres, templates)


def test_a_target_is_saved_a_file_is_mapped_onto_it_and_its_steps_are_edited(
    page: Page, api: Api
) -> None:
    first = api.run(ORDERS.encode(), name="orders.csv")
    page.goto("/#/mapping")
    page.get_by_text("Save a target", exact=True).click()
    form = page.get_by_role("form", name="New target")
    form.get_by_label("Name of the target").fill("Our orders")
    wanted = [
        ("customer", "text", "Acme | Globex"),
        ("order date", "date", "2024-01-31 | 2024-03-15"),
        ("state", "text", "Bavaria | Saxony"),
    ]
    for number, (name, kind, values) in enumerate(wanted, 1):
        if number > 1:
            form.get_by_role("button", name="Add a column").click()
        form.get_by_label(f"Name of column {number}").fill(name)
        form.get_by_label(f"Type of column {number}").select_option(kind)
        form.get_by_label(f"Values of column {number}").fill(values)
    form.get_by_label("Required of column 1").check()
    form.get_by_role("button", name="Save the target").click()
    expect(page.locator(".toast")).to_contain_text("Saved as Our orders")
    (saved,) = api.client.get("/api/v1/templates").json()["items"]
    assert [column["required"] for column in saved["target"]] == [True, False, False]

    # The only file is chosen; the target is the one that was just saved.
    expect(page.get_by_label("Target", exact=True)).to_have_value(
        f"template:{saved['template_id']}"
    )
    label = page.get_by_label("Input file").locator("option:checked")
    expect(label).to_have_text(re.compile(r"orders\.csv · #\d+ · .*\d"))
    page.get_by_role("button", name="Propose a mapping").click()

    date = page.locator("[data-reference='order date']")
    expect(date.get_by_label("Values before and after")).to_contain_text("01.02.2024 → 2024-02-01")
    expect(page.locator(".chip[data-column='Bestellt am']")).to_contain_text("01.02.2024")
    weak = page.locator("[data-reference='state']")
    expect(weak).to_contain_text("please check")
    expect(page.get_by_text("2 of 3 target columns matched, 1 to check")).to_be_visible()
    expect(page.get_by_text("Of the first 28 rows 28 fit.")).to_be_visible()

    # A step is edited, and the first rows follow.
    date.get_by_text("Steps and rules").click()
    date.get_by_label("To", exact=True).fill("%d/%m/%Y")
    expect(page.get_by_role("cell", name="01/02/2024")).to_be_visible()
    expect(date.get_by_label("Values before and after")).to_contain_text("01.02.2024 → 01/02/2024")
    customer = page.locator("[data-reference='customer']")
    customer.get_by_text("Steps and rules").click()
    customer.get_by_label("Add a step to customer").select_option("Change letters")
    customer.get_by_label("To", exact=True).select_option("capitals")
    expect(page.get_by_role("cell", name="FIRM 1", exact=True)).to_be_visible()
    expect(customer.get_by_label("Each row must have a value")).to_be_checked()
    customer.get_by_label("Pattern (regular expression)").fill("FIRM [0-9]")
    expect(page.get_by_text("Of the first 28 rows 9 fit, 19 would be rejected")).to_be_visible()
    customer.get_by_label("Pattern (regular expression)").fill("")
    expect(page.get_by_text("Of the first 28 rows 28 fit.")).to_be_visible()

    page.get_by_role("button", name="Keep").click()
    expect(page.locator(".toast").last).to_contain_text("Saved as Our orders")
    page.get_by_role("button", name="Transform the file").click()
    expect(page.get_by_text("28 rows are in the new file.").first).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    written = download.value.path().read_text().splitlines()
    assert written[:2] == ["customer,order date,state", "FIRM 1,01/02/2024,Open"]

    # A file of the same columns, of the same name, is told apart and offered its template.
    second = api.run(LATER.encode(), name="orders.csv")
    page.goto("/#/jobs")
    page.goto("/#/mapping")
    expect(page.get_by_label("Input file")).to_have_value("")
    names = page.get_by_label("Input file").locator("option", has_text="orders.csv")
    assert len(set(names.all_text_contents())) == names.count() >= 2
    expect(page.get_by_label("Target", exact=True)).to_have_value("")
    page.get_by_label("Input file").select_option(second["file_id"])
    expect(page.get_by_text("Its template is “Our orders”")).to_be_visible()
    expect(page.get_by_label("Target", exact=True)).to_have_value(
        f"template:{saved['template_id']}"
    )
    page.get_by_role("button", name="Propose a mapping").click()
    expect(page.get_by_role("cell", name="03/04/2024")).to_be_visible()
    expect(page.get_by_text("3 of 3 target columns matched", exact=True)).to_be_visible()
    assert first["file_id"] != second["file_id"]
