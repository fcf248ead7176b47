"""The import sheet: what a file is before it is loaded, and a stored upload that is read again."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.acceptance.dashboard.conftest import NewPage
from tests.acceptance.dashboard.test_jobs import drop, row, start
from tests.conftest import Databases
from tests.harness import Api, Postgres

pytestmark = pytest.mark.one_database

TOWNS = "Towns of the north\nid;town;people\n" + "".join(
    f"{n};Town {n};{n * 100},5\n" for n in range(1, 41)
)


@pytest.fixture(scope="module", params=["sqlite"])
def databases(
    request: pytest.FixtureRequest, postgres: Postgres, templates: dict[str, str]
) -> Databases:
    return Databases(request.param, postgres, templates)


def violations(page: Page) -> list[str]:
    results = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {each['nodes'][0]['html'][:200]}"
        for each in results
        if each["impact"] in ("serious", "critical")
    ]


def test_a_file_is_shown_under_any_settings_before_it_is_sent(new_page: NewPage, api: Api) -> None:
    page = new_page(bypass_csp=True, viewport={"width": 360, "height": 800}, color_scheme="dark")
    page.goto("/")
    data = (TOWNS + "41;x\n").encode() + b"42;y;1,5\n" * 80_000
    with page.expect_request(re.compile("/api/v1/preview")) as asked:
        drop(page, "towns.csv", data, starts=False)
    assert int(asked.value.all_headers()["content-length"]) == 512 << 10 < len(data)
    sheet = page.get_by_role("dialog", name="Import")
    expect(sheet.get_by_role("status").first).to_contain_text("delimiter semicolon")
    expect(sheet.get_by_role("list", name="Lines that are no rows")).to_contain_text("Towns of the")
    expect(sheet.get_by_role("columnheader", name="people")).to_contain_text("text")
    expect(sheet.get_by_role("columnheader", name="id")).to_contain_text("whole number")
    expect(sheet.get_by_text("Line 43")).to_be_visible()
    assert not violations(page)
    page.evaluate("document.documentElement.dataset.theme = 'light'")
    assert not violations(page)
    assert page.evaluate("document.querySelector('dialog').scrollWidth") <= 360

    # a header by its line, the delimiter by its field, and back
    sheet.get_by_role("button", name="Use line 3 as the header").focus()
    page.keyboard.press("Enter")
    expect(sheet.get_by_role("columnheader", name="Town 1")).to_be_visible()
    expect(sheet.get_by_label("Lines above")).to_have_value("2")
    sheet.get_by_label("Lines above").fill("")
    sheet.get_by_role("combobox", name="Header").select_option("no header")
    sheet.get_by_label("Lines above").press("Tab")
    expect(sheet.get_by_role("columnheader", name="column_1")).to_be_visible()
    sheet.get_by_role("combobox", name="Header").select_option("Detect")
    sheet.get_by_role("combobox", name="Delimiter").focus()
    sheet.get_by_role("combobox", name="Delimiter").select_option("comma ,")
    expect(sheet.get_by_role("combobox", name="Delimiter")).to_be_focused()
    expect(sheet.get_by_role("status").first).to_contain_text("delimiter comma")
    sheet.get_by_role("button", name="Use what is detected").click()
    expect(sheet.get_by_role("status").first).to_contain_text("delimiter semicolon")
    sheet.get_by_role("button", name=re.compile("delimiter comma")).click()
    expect(sheet.get_by_role("status").first).to_contain_text("delimiter comma")
    page.keyboard.press("Escape")
    expect(sheet).to_have_count(0)


def test_files_are_started_with_their_settings_and_a_repeated_one_is_named(
    page: Page, api: Api
) -> None:
    page.goto("/")
    drop(page, "pairs.csv", b"1,2\n3,4\n5,6\n", starts=False)
    sheet = page.get_by_role("dialog", name="Import")
    sheet.get_by_role("combobox", name="Header").select_option("1 row")
    expect(sheet.get_by_role("columnheader", name="2")).to_be_visible()
    drop(page, "other.csv", b"id\n7\n", starts=False)
    expect(sheet.get_by_role("columnheader", name="id")).to_be_visible()
    sheet.get_by_label("2 files").select_option(label="pairs.csv (12 B)")
    expect(sheet.get_by_role("combobox", name="Header")).to_have_value(
        "1"
    )  # the settings of a file are kept
    start(page)
    expect(row(page, "pairs.csv")).to_contain_text("2 loaded")
    expect(row(page, "other.csv")).to_contain_text("1 loaded")

    drop(page, "pairs.csv", b"1,2\n3,4\n5,6\n", starts=False)
    expect(sheet.get_by_text("The same file was loaded just now.")).to_be_visible()
    sheet.get_by_role("button", name="As last time: header of 1 row").click()
    expect(sheet.get_by_role("columnheader", name="2")).to_be_visible()
    sheet.get_by_role("link", name="Open it").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("pairs.csv")

    page.goto("/")
    page.get_by_role("button", name="paste a table").click()
    page.get_by_role("textbox", name="Table").fill("name\tn\nAda\t1\nBob\t2\n")
    page.get_by_role("button", name="Preview").click()
    expect(sheet.get_by_role("status").first).to_contain_text("delimiter tab")
    start(page)
    expect(row(page, "pasted.csv")).to_contain_text("2 loaded")


def test_a_file_that_was_read_wrongly_is_read_again(page: Page, api: Api) -> None:
    data = "town;n\nKöln;1\nBonn;2\nUlm;3\n".encode("cp1252") + b"Hof;4\n" * 80
    job = api.run(data, name="towns-1252.csv", encoding="utf-8")
    page.goto(f"/#/jobs/{job['job_id']}")
    page.get_by_role("button", name="Read it again as Windows-1252").click()
    sheet = page.get_by_role("dialog", name="Read towns-1252.csv again")
    expect(sheet.get_by_role("cell", name="Köln")).to_be_visible()
    start(page)
    expect(page.locator(".toast")).to_contain_text("This is the new job.")
    expect(page.locator(".proof.closed")).to_contain_text("accounted for: 83 loaded.")
    page.get_by_text("More", exact=True).click()
    expect(page.get_by_role("button", name="Read again with …")).to_be_visible()


def test_a_load_is_asked_for_by_a_short_form(page: Page, api: Api) -> None:
    page.goto("/")
    drop(page, "people.csv", b"id,name\n1,Ada\n2,Bob\n", starts=False)
    sheet = page.get_by_role("dialog", name="Import")
    expect(sheet.get_by_role("columnheader", name="name")).to_be_visible()
    sheet.get_by_role("combobox", name="Processor").select_option("load")
    mode = sheet.locator("select[name=mode]")
    key = sheet.locator("input[name=key]")
    expect(mode).to_have_value("append")
    expect(key).to_be_hidden()
    mode.select_option("upsert")
    expect(key).to_be_visible()
    expect(sheet.locator("[name=visibility]")).to_be_hidden()  # it is among "More options"
    assert not violations(page)
    sheet.get_by_role("button", name="Start").click()
    expect(sheet).to_be_visible()  # the table has no name yet
    sheet.locator("input[name=table]").fill("nowhere")
    key.fill("id, name")
    with page.expect_request(re.compile("/api/v1/upload")) as sent:
        sheet.get_by_role("button", name="Start").click()
    asked = parse_qs(urlsplit(sent.value.url).query)
    named = {name: asked[f"option.{name}"] for name in ("table", "mode", "key")}
    assert named == {"table": ["nowhere"], "mode": ["upsert"], "key": ['["id","name"]']}
    uploads = page.get_by_role("list", name="Uploads")
    expect(uploads.get_by_text("There is no table")).to_be_visible()
