"""Behaviour of all views: forms used twice, refused uploads, an unreachable service, and two
tabs.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from app.errors import request_errors
from tests.acceptance.dashboard.conftest import NewPage
from tests.acceptance.dashboard.test_jobs import drop, row, start
from tests.conftest import Databases
from tests.harness import ROOT, Api, Postgres, wait_until
from tests.webhooks.receiver import Receiver

pytestmark = pytest.mark.one_database

JS = ROOT / "app" / "dashboard" / "js"
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(2000)


@pytest.fixture(scope="module", params=["sqlite"])
def databases(
    request: pytest.FixtureRequest, postgres: Postgres, templates: dict[str, str]
) -> Databases:
    return Databases(request.param, postgres, templates)


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    running = Receiver()
    yield running
    running.stop()


# ---------------------------------------------------------------------- forms


def test_a_form_can_be_used_twice(page: Page, api: Api, receiver: Receiver) -> None:
    page.goto("/#/webhooks")
    urls = [receiver.url(receiver.path()) for _ in range(2)]
    for url in urls:
        page.get_by_label("URL").fill(url)
        page.get_by_role("button", name="Add webhook").click()
        expect(page.get_by_role("listitem", name=url)).to_be_visible()
        expect(page.get_by_label("URL")).to_have_value("")
        assert page.locator("form input[type=checkbox]:not(:checked)").count() == 0
    made = {
        hook["url"]: hook["events"] for hook in api.client.get("/api/v1/webhooks").json()["items"]
    }
    assert [len(made[url]) for url in urls] == [4, 4]

    page.goto("/#/schedules")
    zone = page.get_by_label("Time zone").input_value()
    assert zone
    for name in ("First", "Second"):
        page.get_by_label("Objects").fill("s3://bucket/*.csv")
        page.get_by_label("When").fill("0 2 * * *")
        page.get_by_label("Name").fill(name)
        page.get_by_role("button", name="Add schedule").click()
        # The service of this test has no object store, which is told before anything is saved.
        expect(page.get_by_role("alert")).to_contain_text("This source cannot be used now")
        expect(page.get_by_role("heading", name=name)).to_have_count(0)
        page.get_by_role("button", name="Save anyway").click()
        expect(page.get_by_role("heading", name=name)).to_be_visible()
        card = page.get_by_role("listitem", name=name)
        expect(card).to_contain_text(re.compile(r"02:00, \w+ 02:00, \w+ 02:00"))
        expect(page.get_by_label("Time zone")).to_have_value(zone)


def test_a_watch_is_created_and_shows_its_files(page: Page, api: Api, tmp_path: Path) -> None:
    (tmp_path / "monday.csv").write_bytes(b"id\n1\n")
    page.goto("/#/watches")
    page.get_by_label("Source").fill("ftp://nowhere/")
    page.get_by_label("Name").fill("Inbox")
    page.get_by_role("button", name="Add watch").click()
    expect(page.locator(".toast.bad")).to_contain_text("ftp://nowhere/")
    page.get_by_label("Source").fill(f"file://{tmp_path}/")
    page.get_by_role("button", name="Add watch").click()
    expect(page.get_by_role("heading", name="Inbox")).to_be_visible()

    def is_seen() -> bool:
        (watch,) = api.client.get("/api/v1/watches").json()["items"]
        return bool(watch["waiting"] + watch["jobs"])

    wait_until(is_seen, 20)
    page.get_by_text("Latest files").click()
    expect(page.get_by_text(re.compile("monday.csv"))).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Go on")).to_be_visible()


@pytest.mark.parametrize(
    "view", ["jobs", "webhooks", "schedules", "watches", "search", "mapping", "users"]
)
def test_a_reset_form_keeps_its_initial_values(page: Page, api: Api, view: str) -> None:
    for name in ("a.csv", "b.csv"):
        api.run(b"id\n1\n", name=name)
    page.goto(f"/#/{view}")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_text("Loading …")).to_have_count(0)
    changed = page.evaluate("""() => {
            const state = () => JSON.stringify([...document.querySelectorAll("main input, main select, main textarea")]
                .filter((node) => node.type !== "file").map((node) => node.type === "checkbox" ? node.checked : node.value));
            const before = state();
            for (const form of document.querySelectorAll("main form")) form.reset();
            return [before, state()];
        }""")
    assert changed[0] == changed[1]


def test_the_upload_form_offers_the_processors_that_an_upload_accepts(page: Page, api: Api) -> None:
    page.goto("/")
    drop(page, "any.csv", b"id\n1\n", starts=False)
    choice = page.get_by_role("dialog").get_by_label("Processor")
    expect(choice.locator("option[value=profile]")).to_have_count(1)
    offered = choice.locator("option").evaluate_all("nodes => nodes.map((node) => node.value)")
    assert offered[0] == "rows"
    assert not {"batch", "transform", "mapping"} & set(offered)
    for name in offered:
        required = {"option.table": "orders"} if name == "load" else {}
        params = {"processor": name, **required}
        answer = api.client.post("/api/v1/upload", params=params, content=b"")
        assert answer.json()["code"] != "invalid_parameter", name


def test_the_upload_form_shows_the_options_of_the_processor(page: Page, api: Api) -> None:
    page.goto("/")
    reviews = {"name": "reviews.csv", "mimeType": "text/csv", "buffer": b"id,review\n1,good\n"}
    page.locator("#files").set_input_files(reviews)  # type: ignore[arg-type]
    box = page.get_by_role("dialog")
    choice = box.get_by_label("Processor")
    expect(choice.locator("option[value=sentiment]")).to_have_count(1)
    expect(box.locator("input[name=text_column]")).to_have_count(0)
    choice.select_option("sentiment")
    choice.select_option("rows")
    expect(box.locator("input[name=text_column]")).to_have_count(0)
    choice.select_option("sentiment")
    box.get_by_role("textbox", name="Text Column").fill("review")
    start(page)

    def job() -> dict[str, Any] | None:
        found = api.client.get("/api/v1/jobs", params={"search": "reviews.csv"}).json()["items"]
        return found[0] if found else None

    made = wait_until(job)
    assert made is not None
    assert api.finished(made["job_id"])["summary"] == {"positive": 1, "neutral": 0, "negative": 0}


# ---------------------------------------------------------------------- refusals


def test_refused_uploads_stay_until_dismissed_or_retried(page: Page, api: Api) -> None:
    page.goto("/")
    files = {f"good {n:02}.csv": b"id\n1\n" for n in range(22)}
    files |= {"picture 1.csv": PICTURE, "book.csv": b"PK\x03\x04" + bytes(500), "nothing.csv": b""}
    transfer = page.evaluate_handle(
        """(files) => {
            const transfer = new DataTransfer();
            for (const [name, data] of files) {
                transfer.items.add(new File([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))], name));
            }
            return transfer;
        }""",
        [[name, base64.b64encode(data).decode()] for name, data in sorted(files.items())],
    )
    page.dispatch_event(".drop", "drop", {"dataTransfer": transfer})
    start(page)
    uploads = page.get_by_role("list", name="Uploads").get_by_role("listitem")
    expect(uploads).to_have_count(3, timeout=60_000)
    for name in ("picture 1.csv", "book.csv", "nothing.csv"):
        refused = uploads.filter(has_text=name)
        expect(refused.locator("p")).to_have_text(re.compile(r".{20,}"))
    expect(page.locator(".toast.bad")).to_have_count(0)

    page.get_by_role("link", name="System").click()
    expect(page.get_by_role("heading", name="System")).to_be_visible()
    page.get_by_role("link", name="Jobs", exact=True).click()
    expect(uploads).to_have_count(3)
    uploads.filter(has_text="nothing.csv").get_by_role("button", name="Dismiss nothing.csv").click()
    expect(uploads).to_have_count(2)
    is_spared: list[bool] = []

    def spare(route: Route) -> None:
        is_spared.append(True)
        route.continue_(post_data=b"id\n7\n")

    page.route(re.compile(r"/api/v1/upload\?.*book"), spare)
    uploads.filter(has_text="book.csv").get_by_role("button", name="Try book.csv again").click()
    expect(row(page, "book.csv")).to_contain_text("1 loaded")
    expect(uploads).to_have_count(1)
    assert is_spared


def test_no_remedy_on_the_page_names_a_route_a_header_or_a_command() -> None:
    """Errors that do have words of their own; all others are shown unchanged."""
    words = (JS / "words.js").read_text()
    own = dict(re.findall(r'^  (\w+):\s+t\(\s*"(.*)"', words, re.MULTILINE))
    assert own.keys() <= request_errors().keys()
    (pattern,) = re.findall(r"^const TECHNICAL =\s+/(.*)/;$", words, re.MULTILINE)
    technical = re.compile(pattern.replace(r"\/", "/"))
    assert not [remedy for remedy in own.values() if technical.search(remedy)]
    at_the_page = {
        "admin_only", "correction_columns", "job_has_parts", "quota_exceeded", "result_unavailable", "stored_bytes_gone",
        "unauthenticated", "user_revoked", "webhook_disabled",
    }  # fmt: skip
    assert at_the_page <= own.keys()


def test_an_invalid_correction_file_is_refused_in_the_words_of_the_page(
    page: Page, api: Api
) -> None:
    job = api.run(b"id,n\n1,2\n3\n", name="wrong.csv")
    page.goto(f"/#/jobs/{job['job_id']}/rejects")
    page.get_by_label("Corrected file").set_input_files(
        {"name": "fixed.csv", "mimeType": "text/csv", "buffer": b"other,_row\n1,2\n"}
    )
    told = page.locator(".toast.bad")
    expect(told).to_contain_text("Columns differ from those of the rejects")
    assert not re.search(r"/api/|\bGET\b", told.inner_text())


def test_a_refused_field_is_shown_with_the_reason(page: Page) -> None:
    page.goto("/#/schedules")
    page.get_by_label("Objects").fill("s3://bucket/*.csv")
    page.get_by_label("When").fill("0 2 * * *")
    page.get_by_label("Time zone").fill("Mars/Olympus")
    page.get_by_role("button", name="Add schedule").click()
    page.get_by_role("button", name="Save anyway").click()
    expect(page.locator(".toast.bad")).to_contain_text(re.compile("zone", re.IGNORECASE))
    assert "`errors`" not in page.locator(".toast.bad").inner_text()


# ---------------------------------------------------------------------- an unreachable service


def test_an_unreachable_service_and_an_outdated_page_are_told_apart(new_page: NewPage) -> None:
    page = new_page(is_first_visit=True)  # no view is in its cache
    page.goto("/")
    expect(page.get_by_text("Live")).to_be_visible()
    page.context.set_offline(True)
    page.get_by_role("link", name="Schedules").click()
    expect(page.get_by_role("heading", name="The service is unreachable")).to_be_visible()
    expect(page.get_by_text("out of date")).to_have_count(0)
    page.context.set_offline(False)
    expect(
        page.get_by_role("heading", name="Schedules", exact=True)
    ).to_be_visible()  # automatically

    page.route(re.compile(r"/js/views/webhooks\.js"), lambda route: route.fulfill(status=404))
    page.get_by_role("link", name="Webhooks").click()
    expect(page.get_by_role("heading", name="This page is out of date")).to_be_visible()


def test_the_same_message_is_shown_once(new_page: NewPage) -> None:
    page = new_page()
    page.goto("/")
    page.evaluate(
        """async () => {
          const main = document.querySelector("script[src$='/main.js']").src;
          const { toast } = await import(new URL("toast.js", main));
          const undo = { action: { label: "Undo", run: () => {} } };
          for (const text of ["Away", "Away", "Back", "Away"]) toast(text);
          for (const text of ["Deleted", "Deleted"]) toast(text, undo);
        }"""
    )
    messages = page.locator(".toast strong")
    expect(messages).to_have_text(["Back", "Away", "Deleted", "Deleted"])


def test_a_tab_of_a_job_that_cannot_be_loaded_says_so(new_page: NewPage, api: Api) -> None:
    job = api.run(b"id\n1\n", name="tabs.csv")
    page = new_page(is_first_visit=True)  # no view is in its cache
    page.goto(f"/#/jobs/{job['job_id']}")
    expect(page.locator(".proof.closed")).to_be_visible()
    page.context.set_offline(True)
    page.get_by_role("navigation", name="Views of this job").get_by_role(
        "link", name="Rejects"
    ).click()
    expect(page.get_by_role("heading", name="The service is unreachable")).to_be_visible()
    page.context.set_offline(False)
    expect(page.get_by_text("Every row was loaded.")).to_be_visible()


# ---------------------------------------------------------------------- two tabs


def test_a_deletion_appears_in_every_tab(new_page: NewPage, api: Api) -> None:
    gone, kept = (api.run(b"id\n1\n", name=name) for name in ("gone.csv", "kept.csv"))
    first, second, third = (new_page() for _ in range(3))
    first.goto("/")
    second.goto("/")
    third.goto(f"/#/jobs/{gone['job_id']}")
    for page in (first, second):
        expect(page.get_by_text("Live")).to_be_visible()
        expect(row(page, "gone.csv")).to_be_visible()
    expect(third.locator(".proof.closed")).to_be_visible()
    api.client.delete(f"/api/v1/files/{gone['file_id']}").raise_for_status()
    for page in (first, second):
        expect(row(page, "gone.csv")).to_have_count(0, timeout=4_000)
        expect(row(page, "kept.csv")).to_be_visible()
    expect(third.get_by_role("heading", name="This job was deleted")).to_be_visible()
    api.client.delete(f"/api/v1/files/{kept['file_id']}").raise_for_status()


# ---------------------------------------------------------------------- a phone


def test_every_view_is_reached_on_a_phone(new_page: NewPage) -> None:
    page = new_page(viewport={"width": 390, "height": 800})
    page.goto("/")
    bar = page.get_by_role("navigation", name="Main")
    expect(bar.get_by_role("link", name="Search")).to_be_visible()
    expect(bar.get_by_role("link", name="System")).to_be_hidden()
    bar.get_by_text("Menu", exact=True).click()
    bar.get_by_role("link", name="System").click()
    expect(page.get_by_role("heading", name="System", exact=True)).to_be_visible()
    expect(bar.get_by_role("link", name="System")).to_be_hidden()  # the menu closes
    expect(bar.locator(".nav-more")).to_have_class("menu nav-more holds-current")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
