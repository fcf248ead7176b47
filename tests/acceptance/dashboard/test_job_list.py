"""The list of many jobs: order, filters, labels, selection and keys, with real clicks."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.acceptance.dashboard.test_jobs import row
from tests.harness import Api, wait_until

pytestmark = pytest.mark.one_database


def names(page: Page) -> list[str]:
    """The names of the rows from the top."""
    rows = page.get_by_role("list", name="Jobs").get_by_role("listitem")
    links: Locator = rows.locator("a.clip")
    shown = links.evaluate_all(
        """nodes => nodes.map((node) => [node.closest("article").ariaPosInSet, node.textContent])"""
    )
    return [name for _, name in sorted(shown, key=lambda each: int(each[0]))]


def shows(page: Page, wanted: list[str]) -> None:
    """Wait until exactly these rows are shown, in this order."""
    wait_until(lambda: names(page) == wanted, 10, f"the rows {wanted}")


def test_many_jobs_are_ordered_filtered_labelled_and_deleted_together(page: Page, api: Api) -> None:
    for name, data in (
        ("small.csv", b"id,n\n1,2\n"),
        ("dirty.csv", b"id,n\n1\n2,3\n"),
        ("large.csv", b"id,n\n" + b"1,2\n" * 50),
    ):
        api.run(data, name=name, label="march" if name == "dirty.csv" else "")
    page.goto("/")
    expect(row(page, "large.csv")).to_contain_text("50 loaded")
    shows(page, ["large.csv", "dirty.csv", "small.csv"])
    heads = page.get_by_role("group", name="Order of the list")
    heads.get_by_role("button", name="Rejected").click()
    expect(heads.get_by_role("button", name="Rejected")).to_have_attribute("aria-pressed", "true")
    expect(row(page, "dirty.csv")).to_have_attribute("aria-posinset", "1")
    shows(page, ["dirty.csv", "large.csv", "small.csv"])
    page.reload()
    expect(row(page, "dirty.csv")).to_have_attribute("aria-posinset", "1")
    rejects = row(page, "dirty.csv").get_by_role("link", name="1 rejected")
    expect(rejects).to_have_attribute("href", "#/jobs/" + job_id(api, "dirty.csv") + "/rejects")
    heads.get_by_role("button", name="Created").click()
    expect(row(page, "large.csv")).to_have_attribute("aria-posinset", "1")

    # a range with Shift, then one label for all of them
    page.get_by_label("Select large.csv").click()
    page.get_by_label("Select small.csv").click(modifiers=["Shift"])
    bar = page.get_by_role("region", name="Selected jobs")
    expect(bar).to_contain_text("3 jobs selected")
    bar.get_by_label("Label for the selected jobs").fill("q1")
    bar.get_by_role("button", name="Add the label").click()
    expect(row(page, "small.csv").get_by_role("button", name="q1")).to_be_visible()
    expect(bar).to_be_hidden()
    row(page, "dirty.csv").get_by_role("button", name="march").click()
    expect(row(page, "small.csv")).to_have_count(0)
    shows(page, ["dirty.csv"])
    assert "label=march" in page.url
    page.get_by_label("Saved filters").select_option("save")
    page.get_by_role("dialog").get_by_label("Name").fill("Spring")
    page.get_by_role("button", name="Save").click()
    page.get_by_label("Label", exact=True).select_option("")
    expect(row(page, "small.csv")).to_be_visible()
    page.get_by_label("Saved filters").select_option("open Spring")
    expect(row(page, "small.csv")).to_have_count(0)

    # by number: in the search, and as an address
    number = api.status(job_id(api, "small.csv"))["number"]
    page.goto("/#/jobs")
    page.get_by_label("Search by file name").fill(f"#{number}")
    expect(row(page, "large.csv")).to_have_count(0)
    shows(page, ["small.csv"])
    page.goto(f"/#/jobs/{number}")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"#{number} small.csv")

    # by keys alone
    page.goto("/#/jobs")
    expect(row(page, "large.csv")).to_be_visible()
    for key in ("j", "x", "j", "x"):
        page.keyboard.press(key)
    expect(bar).to_contain_text("2 jobs selected")
    bar.get_by_role("button", name="Delete").click()
    expect(row(page, "large.csv")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(row(page, "large.csv")).to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_label("Select all jobs shown").click()
    bar.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No jobs yet")).to_be_visible()
    page.goto("about:blank")
    wait_until(lambda: not api.client.get("/api/v1/jobs").json()["items"], 10, "the deletions")


def test_a_file_is_read_from_an_address_and_held_against_a_template(
    page: Page, api: Api, tmp_path: Path
) -> None:
    (tmp_path / "night.csv").write_bytes(b"n,extra\nAda,1\n")
    columns = [{"reference_column": "name", "input_columns": ["n"]}]
    template = api.client.post("/api/v1/templates", json={"name": "People", "columns": columns})
    assert template.status_code == 201, template.text
    page.goto("/")
    page.get_by_role("button", name="read from an address").click()
    sheet = page.get_by_role("dialog", name="Read from an address")
    expect(sheet.get_by_label("Processor").locator("option[value=load]")).to_have_count(1)
    sheet.get_by_label("Processor").select_option("load")
    expect(sheet.locator("[name=mode]").locator("option[value=upsert]")).to_have_count(1)
    expect(sheet.locator("[name=dry_run]").locator("option")).to_have_count(3)
    sheet.get_by_text("More options").click()
    sheet.locator("[name=table]").fill("people")
    sheet.locator("[name=types]").fill("no json")
    sheet.get_by_label("Address").fill(f"file://{tmp_path}/night.csv")
    sheet.get_by_role("button", name="Start").click()
    expect(page.locator(".toast.bad")).to_contain_text("Write types as JSON.")
    sheet.get_by_label("Hold it against").select_option(label="People")
    sheet.get_by_label("Labels").fill("night, people")
    sheet.get_by_role("button", name="Start").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("night.csv")
    job = api.finished(job_id(api, "night.csv"))
    assert (job["processor"], job["labels"]) == ("transform", ["night", "people"])
    assert job["counts"]["loaded"] == 1


def job_id(api: Api, name: str) -> str:
    (job,) = api.client.get("/api/v1/jobs", params={"search": name}).json()["items"]
    return str(job["job_id"])
