"""The page of a job, for its owner: what came in, what became of it, and the next step."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.conftest import Databases
from tests.forks import Server
from tests.harness import Api, Postgres

pytestmark = pytest.mark.one_database

WIDE, QUOTED, WITH_NUL, GOOD = 50, 20, 5, 925
DIRTY = (
    "Towns of the north\nid;town;people\n"
    + "".join(f"{n};Town {n};{n * 10}\n" for n in range(1, GOOD + 1))
    + "1;a;2;surplus\n" * WIDE
    + '2;"a"b;3\n' * QUOTED
    + "3;a\0;4\n" * WITH_NUL
).encode()


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
    databases: Databases, flags: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """With the processor `fussy`, which fails chunks until there is a flag."""
    storage = tmp_path_factory.mktemp("service") / "storage"
    running = Server(
        databases.create(storage),
        storage,
        PROCESSORS="tests.crash.processors:FussyProcessor",
        CRASH_FLAGS=flags,
        MAX_RETRIES=0,
    )
    try:
        yield running.start()
    finally:
        code = running.stop()
    assert code in (0, -15), running.tail()


def fact(page: Page, name: str) -> Locator:
    """Return the value of this name in the facts about the file."""
    named = page.locator(".facts div").filter(has=page.locator("dt", has_text=re.compile(name)))
    return named.first.locator("dd")


def test_a_dirty_job_says_what_came_in_why_rows_were_rejected_and_what_to_do(
    page: Page, api: Api
) -> None:
    job = api.run(DIRTY, name="towns.csv")
    number = job["number"]
    page.goto(f"/#/jobs/{job['job_id']}")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"#{number} towns.csv")
    expect(page).to_have_title(f"#{number} towns.csv · Granula")
    expect(page).to_have_url(re.compile(rf"#/jobs/{number}/summary$"))
    page.goto(f"/#/jobs/{number}")
    rejects = WIDE + QUOTED + WITH_NUL
    expect(page.locator(".proof.closed")).to_contain_text(
        f"Verified: 1,000 rows accounted for: {GOOD} loaded, {rejects} rejected."
    )
    expect(page.locator("[data-of=rejected]").last).to_contain_text("7.5 % · your data")

    for name, value in {
        "Rows": "1,000",
        "Columns": "3",
        "Format": "CSV",
        "Encoding": "UTF-8",
        "Delimiter": "semicolon ;",
        "Header": "1 row",
        "Lines above": "1 left out",
        "Source": "An upload",
    }.items():
        expect(fact(page, name)).to_have_text(value)
    reasons = page.get_by_role("list", name="Why rows were rejected").get_by_role("listitem")
    expect(reasons).to_have_count(3)
    assert [text.split("\n") for text in reasons.all_inner_texts()] == [
        ["Too few or too many cells", "50 · 5.0 %"],
        ["A quote in the wrong place", "20 · 2.0 %"],
        ["A NUL character", "5 · 0.5 %"],
    ]
    first = page.get_by_role("region", name="First rows of towns.csv").locator("tbody tr")
    expect(first).to_have_count(10)
    assert first.all_inner_texts() == [f"{n}\t{n}\tTown {n}\t{n * 10}" for n in range(1, 11)]

    # one next step; the rest in menus that the keyboard opens and closes
    expect(page.locator("main .button.primary")).to_have_text(f"Fix {rejects} rejects")
    download, more = page.locator("main .menu > summary").all()
    download.press("Enter")
    expect(page.get_by_role("link", name="Rejected rows as CSV")).to_be_visible()
    more.press("ArrowUp")
    expect(page.get_by_role("button", name="Delete")).to_be_focused()
    expect(page.get_by_role("link", name="Rejected rows as CSV")).to_be_hidden()
    page.keyboard.press("Escape")
    expect(more).to_be_focused()
    expect(page.get_by_role("button", name="Copy link")).to_be_hidden()

    page.get_by_role("link", name="Engine").click()
    expect(page).to_have_url(re.compile(rf"#/jobs/{number}/engine$"))
    expect(page.get_by_role("heading", name="Where the time went")).to_be_visible()
    expect(page.get_by_text("Most time:")).to_have_count(0)  # it took no ten seconds
    page.get_by_role("link", name=f"Fix {rejects} rejects").click()
    expect(page).to_have_url(re.compile(rf"#/jobs/{number}/rejects$"))
    expect(page.get_by_text(f"{rejects} rejected rows")).to_be_visible()


def test_an_incomplete_job_names_the_failed_rows_and_retries_them(
    page: Page, api: Api, flags: Path
) -> None:
    good = [b"id,text\n", b"1,good\n" * 200]
    job = api.run(
        b"".join([*good, b"7,bad\n" * 300]), name="half.csv", processor="fussy", chunk_size=100
    )
    page.goto(f"/#/jobs/{job['number']}/summary")
    expect(page.locator(".badge.bad")).to_have_text("Incomplete")
    expect(page.locator(".proof.partial .proof-text")).to_have_text(
        "500 rows accounted for, but not all were processed: 200 loaded, 300 failed."
    )
    expect(page.locator(".proof [data-of=failed]").last).to_contain_text("60 % · our side")
    failures = page.get_by_role("list", name="Why rows failed").get_by_role("listitem")
    expect(failures).to_have_count(1)
    expect(failures).to_contain_text(re.compile(r"cannot do 7\s*300"))
    expect(page.get_by_text(re.compile("every row (was|got)", re.IGNORECASE))).to_have_count(0)

    main = page.locator("main .button.primary")
    expect(main).to_have_text("Retry 300 failed rows")
    (flags / "mended").touch()
    main.click()
    expect(page.locator(".proof.closed .proof-text")).to_have_text(
        "Verified: 500 rows accounted for: 500 loaded."
    )
    expect(page.locator(".badge.ok")).to_have_text("Completed")
    expect(main).to_have_text("Download CSV")
    with page.expect_download() as download:
        main.click()
    assert download.value.path().read_bytes().count(b"7,bad") == 300
