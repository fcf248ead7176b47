"""The page distinguishes rows that were not loaded: rejected, failed and not processed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.dashboard.conftest import NewPage
from tests.acceptance.dashboard.test_jobs import row
from tests.api.gate import GatedFile
from tests.conftest import Databases
from tests.forks import Server
from tests.harness import Api, Postgres, wait_until

pytestmark = pytest.mark.one_database

EVERY = re.compile("every row (was|got)", re.IGNORECASE)
FAILING = (
    "id,text\n" + "".join(f"{n},good\n" if n % 1000 < 400 else "7,bad\n" for n in range(4_000))
).encode()
"""In chunks of 100 rows the processor `fussy` completes 16 and fails 24."""


@pytest.fixture(scope="module", params=["sqlite"])
def databases(
    request: pytest.FixtureRequest, postgres: Postgres, templates: dict[str, str]
) -> Databases:
    return Databases(request.param, postgres, templates)


@pytest.fixture(scope="module")
def flags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("flags")


@pytest.fixture(scope="module")
def server(
    databases: Databases, gates: Path, flags: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    storage = tmp_path_factory.mktemp("service") / "storage"
    running = Server(
        databases.create(storage),
        storage,
        PROCESSORS="tests.api.gate:Gate,tests.crash.processors:FussyProcessor",
        TEST_GATES=gates,
        CRASH_FLAGS=flags,
        MAX_RETRIES=0,
    )
    try:
        yield running.start()
    finally:
        code = running.stop()
    assert code in (0, -15), running.tail()


def counts(page: Page) -> dict[str, str]:
    """Return the four counts in the head of a job, by name."""
    shown = page.locator(".job-head .stat")
    return dict(text.split("\n") for text in shown.all_inner_texts())


def tab(page: Page, name: str) -> None:
    page.get_by_role("navigation", name="Views of this job").get_by_role("link", name=name).click()


def test_a_job_with_failed_chunks_is_incomplete_and_offers_a_retry(
    page: Page, api: Api, flags: Path
) -> None:
    job = api.run(FAILING, name="failing.csv", processor="fussy", chunk_size=100)
    page.goto("/")
    entry = row(page, "failing.csv")
    expect(entry).to_contain_text("Incomplete")
    expect(entry.locator(".badge.bad")).to_be_visible()
    expect(entry).to_contain_text("1,600 loaded")
    expect(entry.locator(".bad-text")).to_have_text("2,400 failed")
    expect(entry).not_to_contain_text("rejected")
    expect(page.get_by_role("button", name="Retry failing.csv")).to_be_visible()

    page.get_by_role("link", name="failing.csv", exact=True).click()
    expect(page.locator(".proof.partial .proof-text")).to_have_text(
        "4,000 rows accounted for, but not all were processed: 1,600 loaded, 2,400 failed."
    )
    expect(page.locator(".proof.closed")).to_have_count(0)
    tab(page, "Engine")
    assert counts(page) == {
        "Loaded": "1,600",
        "Rejected": "0",
        "Failed": "2,400",
        "Not processed": "0",
    }
    expect(page.locator(".tabs .pill")).to_have_count(0)
    expect(
        page.locator(".timeline li.bad").filter(has_text="24 chunks failed after 1 attempt")
    ).to_have_count(1)
    assert page.locator(".timeline").evaluate("node => node.offsetHeight") < 600
    tab(page, "Rejects")
    expect(
        page.get_by_text("2,400 rows failed for a reason that is not in the file.")
    ).to_be_visible()
    expect(page.get_by_text("No row was rejected, but some were not loaded.")).to_be_visible()
    expect(page.get_by_text(EVERY)).to_have_count(0)
    tab(page, "Results")
    expect(page.get_by_text("1,600 rows. 2,400 rows failed")).to_be_visible()

    tab(page, "Rejects")
    (flags / "mended").touch()
    page.locator(".lost").get_by_role("button", name="Retry").click()
    expect(page.get_by_text("Every row was loaded.")).to_be_visible()
    expect(page.locator(".lost")).to_be_hidden()
    assert counts(page) == {"Loaded": "4,000", "Rejected": "0", "Failed": "0", "Not processed": "0"}
    expect(page.locator(".page-head .badge")).to_have_text("Completed")
    assert api.status(job["job_id"])["status"] == "completed"
    (flags / "mended").unlink()


def test_equal_incidents_are_shown_once_with_their_chunks(page: Page, api: Api) -> None:
    data = (
        b"id,text\n" + b"1,good\n" * 100 + b"7,bad\n" * 300 + b"1,good\n" * 100 + b"7,bad\n" * 100
    )
    job = api.run(data, name="equal.csv", processor="fussy", chunk_size=100)
    page.goto(f"/#/jobs/{job['job_id']}/engine")
    failed = page.locator(".timeline li.bad").filter(has_text="4 chunks failed after 1 attempt")
    expect(failed).to_have_count(1)
    failed.get_by_text("Show the chunks").click()
    expect(failed).to_contain_text("1 to 3, 5")


def test_a_job_without_loaded_rows_says_so(page: Page, api: Api) -> None:
    job = api.run(
        b"id,text\n" + b"7,bad\n" * 200, name="nothing.csv", processor="fussy", chunk_size=100
    )
    page.goto(f"/#/jobs/{job['job_id']}/results")
    expect(page.locator(".page-head .badge")).to_have_text("Failed")
    expect(page.get_by_text("No row was loaded. 200 rows failed")).to_be_visible()
    expect(page.get_by_role("button", name="Retry 200 failed rows")).to_be_visible()
    tab(page, "Rejects")
    expect(page.get_by_text(EVERY)).to_have_count(0)


def test_the_rows_of_a_cancelled_job_are_not_processed(page: Page, api: Api, gates: Path) -> None:
    with GatedFile(gates, 6) as gated:
        job = api.upload(gated.data, name="cancelled.csv", processor="gate", chunk_size=100)
        gated.open(0)
        wait_until(lambda: api.status(job["job_id"])["counts"]["loaded"] == 100, what="a chunk")
        api.client.post(f"/api/v1/jobs/{job['job_id']}/cancel").raise_for_status()
    wait_until(
        lambda: api.status(job["job_id"])["counts"]["not_processed"] == 500, what="all rows counted"
    )
    page.goto("/")
    expect(row(page, "cancelled.csv")).to_contain_text("500 not processed")
    expect(row(page, "cancelled.csv")).to_contain_text("100 loaded")
    page.get_by_role("link", name="cancelled.csv", exact=True).click()
    expect(page.locator(".proof.partial")).to_contain_text(
        "600 rows accounted for, but not all were processed: 100 loaded, 500 not processed."
    )
    tab(page, "Rejects")
    expect(page.get_by_text("500 rows were not processed.")).to_be_visible()
    expect(page.get_by_text(EVERY)).to_have_count(0)
    expect(page.get_by_role("button", name=re.compile("Retry"))).to_have_count(0)


def test_a_job_with_rejects_and_a_clean_job_have_their_own_wording(page: Page, api: Api) -> None:
    dirty = api.run(b"id,n\n1,2\n3\n", name="dirty.csv")
    page.goto("/")
    expect(row(page, "dirty.csv")).to_contain_text("Completed with rejects")
    expect(row(page, "dirty.csv")).to_contain_text("1 loaded1 rejected")
    page.goto(f"/#/jobs/{dirty['job_id']}/rejects")
    expect(page.locator(".tabs .pill")).to_have_text("1")
    expect(page.locator(".lost")).to_be_hidden()
    clean = api.run(b"id\n1\n2\n", name="clean.csv")
    page.goto(f"/#/jobs/{clean['job_id']}/rejects")
    expect(page.get_by_text("Every row was loaded.")).to_be_visible()
    tab(page, "Summary")
    expect(page.locator(".proof.closed .proof-text")).to_have_text(
        "Verified: 2 rows accounted for: 2 loaded."
    )


def test_the_page_of_rejects_follows_a_job_that_fails_and_is_cancelled(
    new_page: NewPage, api: Api, gates: Path
) -> None:
    page = new_page()
    with GatedFile(gates, 3) as gated:
        job = api.upload(gated.data, name="watched.csv", processor="gate", chunk_size=100)
        page.goto(f"/#/jobs/{job['job_id']}/rejects")
        expect(page.get_by_text("No rejects so far")).to_be_visible()
        gated.open(0)
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator(".page-head .badge")).to_have_text("Cancelled")
    expect(page.get_by_text("rows were not processed.")).to_be_visible()
    expect(page.get_by_text(EVERY)).to_have_count(0)
