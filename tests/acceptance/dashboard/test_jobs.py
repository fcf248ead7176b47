"""A first visit: drop files, watch them, read the outcome of the rows."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.acceptance.dashboard.conftest import NewPage
from tests.api.gate import GatedFile
from tests.harness import Api, wait_until

pytestmark = pytest.mark.one_database

ROWS, BAD = 100_000, 1_000
PIECE = 8 << 20


def dirty() -> bytes:
    """Every hundredth row has a cell too many."""
    lines = [
        f"{n},name {n},{n % 977}" + (",surplus" if n % (ROWS // BAD) == 0 else "")
        for n in range(1, ROWS + 1)
    ]
    return ("id,name,value\n" + "\n".join(lines) + "\n").encode()


def start(page: Page) -> None:
    """Begin what the import sheet shows."""
    page.get_by_role("dialog").get_by_role("button", name="Start").click()


def drop(page: Page, name: str, data: bytes, *, starts: bool = True) -> None:
    """Drop a file on the page, as a file manager does; then press Start in the import sheet."""
    transfer = page.evaluate_handle(
        """([name, data]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))], name));
            return transfer;
        }""",
        [name, base64.b64encode(data).decode()],
    )
    page.dispatch_event(".drop", "drop", {"dataTransfer": transfer})
    if starts:
        start(page)


def row(page: Page, name: str) -> Locator:
    return (
        page.get_by_role("listitem")
        .filter(has=page.get_by_role("link", name=name, exact=True))
        .first
    )


def test_a_dropped_dirty_file_is_shown_to_its_end_with_every_row_counted(
    page: Page, api: Api
) -> None:
    page.goto("/")
    drop(page, "orders.csv", dirty())
    expect(row(page, "orders.csv")).to_contain_text("Completed with rejects", timeout=60_000)
    expect(row(page, "orders.csv")).to_contain_text("1,000 rejected")

    page.get_by_role("link", name="orders.csv", exact=True).click()
    expect(page.locator(".proof.closed")).to_contain_text(
        "Verified: 100,000 rows accounted for: 99,000 loaded, 1,000 rejected."
    )
    page.get_by_role("link", name="Engine").click()
    expect(page.locator(".proof code")).to_have_count(2)
    hashes = page.locator(".proof code").all_inner_texts()
    assert hashes[0] == hashes[1]
    expect(page.get_by_role("heading", name="Where the time went")).to_be_visible()

    page.locator(".tabs").get_by_role("link", name="Rejects").click()
    first = page.get_by_role("row").nth(1)
    expect(first).to_contain_text("Expected 3 cells, found 4.")
    marked = first.locator("[aria-invalid]")
    expect(marked.last).to_have_text("surplus")
    marked.last.click()
    chosen = page.get_by_label("Selected row")
    expect(chosen).to_contain_text("100,name 100,100,surplus")
    expect(page.get_by_label("value, corrected")).to_have_value("100")
    surplus = page.get_by_label("Cell 4, without a column")
    expect(surplus).to_have_value("surplus")
    surplus.fill("")
    # the input in the previous row is kept
    page.get_by_role("gridcell", name="200", exact=True).first.dblclick()
    page.get_by_label("value, corrected").fill("two hundred")
    surplus.fill("")
    page.get_by_role("button", name="Correct 2 rows and run again").click()
    outcome = page.locator(".correction")
    expect(outcome).to_have_text("2 corrected rows are results now.")
    expect(page.get_by_text("998 rejected rows")).to_be_visible()
    expect(page.get_by_role("row").nth(1)).to_contain_text("name 300")

    wanted: dict[str, str | bool] = {"search": "orders.csv", "parts": False}
    (job,) = api.client.get("/api/v1/jobs", params=wanted).json()["items"]
    kept = api.client.get(f"/api/v1/rejects/{job['job_id']}/download").text.splitlines()
    corrected = [kept[0], kept[1].replace('"300,surplus"', "300"), kept[2]]
    page.get_by_label("Corrected file").set_input_files(
        {"name": "fixed.csv", "mimeType": "text/csv", "buffer": "\n".join(corrected).encode()}
    )
    expect(outcome).to_have_text(
        "1 corrected row is a result now. 1 row came back as it was and did not run."
    )
    page.get_by_role("link", name="Summary").click()
    expect(page.locator(".proof.closed")).to_contain_text(
        "Verified: 100,000 rows accounted for: 99,003 loaded, 997 rejected."
    )

    page.get_by_role("link", name="Results").click()
    grid = page.get_by_role("grid")
    expect(grid.get_by_role("gridcell", name="name 1", exact=True)).to_be_visible()
    grid.press("Control+End")
    expect(grid.get_by_role("gridcell", name="name 99999", exact=True)).to_be_visible()
    grid.press("Control+Home")
    original = page.get_by_role("columnheader", name="id").evaluate("node => node.offsetWidth")
    grid.press("ArrowRight")
    grid.press("Shift+ArrowRight")
    width = page.get_by_role("columnheader", name="id").evaluate("node => node.offsetWidth")
    page.reload()
    expect(page.get_by_role("gridcell", name="name 1", exact=True)).to_be_visible()
    assert (
        page.get_by_role("columnheader", name="id").evaluate("node => node.offsetWidth")
        == width
        != original
    )


def test_a_hostile_file_name_is_shown_as_text(page: Page, api: Api) -> None:
    name = "<img src=x onerror=window.hacked=1>.csv"
    page.goto("/")
    drop(page, name, b"id,<b>bold</b>\n1,<script>window.hacked=1</script>\n")
    page.get_by_role("link", name=name, exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(
        re.compile(rf"#\d+ {re.escape(name)}")
    )
    expect(page.locator(".proof.closed")).to_be_visible()
    page.get_by_role("link", name="Results").click()
    expect(page.get_by_role("gridcell", name="<script>window.hacked=1</script>")).to_be_visible()
    assert page.evaluate("window.hacked") is None
    assert page.locator("main img, main script, main b b").count() == 0


def test_two_browsers_show_the_same_progress_and_one_cancels_the_job(
    new_page: NewPage, api: Api, gates: Path
) -> None:
    watching, acting = new_page(), new_page()
    watching.goto("/")
    acting.goto("/")
    expect(watching.get_by_text("Live")).to_be_visible()
    with GatedFile(gates, 4) as gated:
        upload = api.upload(gated.data, name="shared.csv", processor="gate", chunk_size=100)
        for page in (watching, acting):
            expect(row(page, "shared.csv")).to_contain_text("Processing")
        gated.open(0, 1)
        for page in (watching, acting):
            expect(row(page, "shared.csv")).to_contain_text("200 loaded")
        acting.get_by_label("Priority of shared.csv").select_option("7")
        expect(watching.get_by_label("Priority of shared.csv")).to_have_value("7")
        acting.get_by_role("button", name="Cancel shared.csv").click()
        expect(row(watching, "shared.csv")).to_contain_text("Cancelled")
    assert api.status(upload["file_id"])["status"] == "cancelled"


def test_downloads_of_a_running_job_are_marked_as_partial(
    page: Page, api: Api, gates: Path
) -> None:
    with GatedFile(gates, 2) as gated:
        upload = api.upload(gated.data, name="early.csv", processor="gate", chunk_size=100)
        gated.open(0)
        page.goto(f"/#/jobs/{upload['job_id']}/results")
        expect(page.get_by_text("100 rows so far")).to_be_visible()
        with page.expect_download() as download:
            page.get_by_role("group", name="Download the results so far").get_by_role(
                "link", name="CSV"
            ).click()
        assert download.value.suggested_filename == "early.results.partial.csv"
        assert len(download.value.path().read_bytes().splitlines()) == 101
        page.goto(f"/#/jobs/{upload['job_id']}/rejects")
        expect(page.get_by_role("link", name="Rejected rows so far as CSV")).to_be_visible()
        page.goto(f"/#/jobs/{upload['job_id']}/results")
    with page.expect_download() as download:
        page.get_by_role("group", name="Download all results").get_by_role(
            "link", name="CSV"
        ).click()
    assert download.value.suggested_filename == "early.results.csv"
    assert len(download.value.path().read_bytes().splitlines()) == 201


def test_the_chunk_map_follows_the_chunks(page: Page, api: Api, gates: Path) -> None:
    with GatedFile(gates, 4) as gated:
        upload = api.upload(gated.data, name="map.csv", processor="gate", chunk_size=100)
        page.goto(f"/#/jobs/{upload['job_id']}/engine")
        expect(page.locator(".map rect")).to_have_count(4)
        gated.open(0)
        expect(page.locator(".map rect.completed")).to_have_count(1)
        expect(page.locator(".proof.closed")).to_have_count(0)
    expect(page.locator(".map rect.completed")).to_have_count(4)
    expect(page.locator(".proof.closed")).to_be_visible()
    page.get_by_role("slider", name="Chunk").press("End")
    expect(page.get_by_role("slider", name="Chunk")).to_have_attribute(
        "aria-valuetext", re.compile("Chunk 3 · completed · rows 301 to 400")
    )


def test_a_deletion_can_be_undone_and_is_sent_when_the_page_closes(page: Page, api: Api) -> None:
    kept, gone = (api.run(b"id\n1\n", name=name)["file_id"] for name in ("kept.csv", "gone.csv"))
    page.goto("/")
    page.get_by_role("button", name="Delete kept.csv").click()
    expect(row(page, "kept.csv")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(row(page, "kept.csv")).to_be_visible()
    page.get_by_role("button", name="Delete gone.csv").click()
    page.goto("about:blank")
    wait_until(
        lambda: api.client.get(f"/api/v1/status/{gone}").status_code == 404, 10, "the deletion"
    )
    assert api.status(kept)["status"] == "completed"


def test_an_upload_with_a_lost_connection_is_stored_once(page: Page, api: Api) -> None:
    lost: list[str] = []

    def once(route: Route) -> None:
        """The first request reaches the service, and its response is lost."""
        if lost:
            return route.continue_()
        lost.append(route.fetch().headers.get("location", ""))
        return route.abort("connectionreset")

    page.route(re.compile(r"/api/v1/upload\?"), once)
    page.goto("/")
    drop(page, "lost.csv", b"id\n1\n2\n")
    expect(row(page, "lost.csv")).to_contain_text("2 loaded")
    expect(page.get_by_role("list", name="Uploads").get_by_role("listitem")).to_have_count(0)
    assert lost
    assert len(api.client.get("/api/v1/jobs", params={"search": "LOST.csv"}).json()["items"]) == 1


def test_a_large_upload_resumes_after_a_lost_connection_or_page(page: Page, api: Api) -> None:
    data = ("id,text\n" + "".join(f"{n},{'x' * 1000}\n" for n in range(20_000))).encode()
    make = """() => {
        const lines = Array.from({length: 20000}, (_, n) => `${n},${"x".repeat(1000)}\\n`);
        const transfer = new DataTransfer();
        transfer.items.add(new File(["id,text\\n", ...lines], "large.csv", {lastModified: 1700000000000}));
        return transfer;
    }"""
    offsets: list[int] = []
    is_cut = [False]

    def cut(route: Route) -> None:
        """The second piece is lost once; then pieces from the third on, until the page is loaded
        again.
        """
        if route.request.method != "PATCH":
            return route.continue_()
        offset = int(route.request.headers["upload-offset"])
        offsets.append(offset)
        if (offsets.count(offset) == 1 and offset == PIECE) or (is_cut[0] and offset >= 2 * PIECE):
            return route.abort("connectionreset")
        return route.continue_()

    page.route(re.compile(r"/api/v1/uploads"), cut)
    page.goto("/")
    is_cut[0] = True
    page.dispatch_event(".drop", "drop", {"dataTransfer": page.evaluate_handle(make)})
    start(page)
    uploads = page.get_by_role("list", name="Uploads").get_by_role("listitem")
    expect(uploads).to_contain_text("Connection lost at 83 %; resuming")
    assert offsets[:4] == [0, PIECE, PIECE, 2 * PIECE]

    page.reload()
    is_cut[0] = False
    offsets.clear()
    expect(uploads).to_contain_text("large.csvStopped at 83 %: choose the file again to resume")
    page.dispatch_event(".drop", "drop", {"dataTransfer": page.evaluate_handle(make)})
    start(page)
    expect(row(page, "large.csv")).to_contain_text("20,000 loaded", timeout=60_000)
    expect(uploads).to_have_count(0)
    assert offsets == [2 * PIECE]
    (job,) = api.client.get("/api/v1/jobs", params={"search": "large.csv"}).json()["items"]
    assert api.status(job["job_id"])["sha256"] == hashlib.sha256(data).hexdigest()
    assert (
        page.evaluate(
            "Object.keys(localStorage).filter((key) => key.startsWith('granula.upload:'))"
        )
        == []
    )


def test_a_refused_upload_says_what_to_do(page: Page) -> None:
    page.goto("/")
    drop(page, "picture.csv", b"\x89PNG\r\n\x1a\n" + bytes(2000))
    refused = page.get_by_role("list", name="Uploads").get_by_role("listitem")
    expect(refused).to_contain_text("picture.csv")
    reason = refused.locator("p").inner_text()
    assert len(reason) > 20

    page.reload()
    expect(refused.locator("p")).to_have_text(reason)
    page.get_by_label("Choose picture.csv again").set_input_files(
        {"name": "picture.csv", "mimeType": "text/csv", "buffer": b"id\n1\n"}
    )
    start(page)
    expect(refused).to_have_count(0)
    page.reload()
    expect(page.get_by_role("heading", name="Jobs")).to_be_visible()
    expect(refused).to_have_count(0)
