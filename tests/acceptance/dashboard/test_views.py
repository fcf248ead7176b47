"""Every view, in both themes, on a wide and on a narrow screen; and the mapping by drag. One
database is enough: other tests cover the data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Request, expect

from tests.acceptance.dashboard.conftest import NewPage
from tests.conftest import Databases
from tests.forks import Server
from tests.harness import Api, Postgres, wait_until
from tests.webhooks.receiver import Receiver

pytestmark = pytest.mark.one_database

FIRST_LOAD_BYTES = 75_000
INPUT = (
    b"Customer,E-Mail,Joined\n"
    + b"Ada Lovelace,ada@example.org,03/02/2024\nGrace Hopper,grace@example.org,11/12/2023\n" * 3
)
REFERENCE = (
    b"name,email,start_date\n"
    + b"Alan Turing,alan@example.org,2021-04-19\nBarbara Liskov,barbara@example.org,2022-01-11\n"
    * 3
)
PEOPLE = (
    b"name,email,age,department\nAda,ada@example.org,36,Research\nBob,not an address,20,Sales\n"
)


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


@pytest.fixture(scope="module")
def views(server: Server) -> dict[str, str]:
    """Paths by view, of a service with data for each."""
    with server.client() as client:
        api = Api(client)
        rows = api.run(b"id,name\n1,a\n2,b,c\n3,c\n" * 200, name="rows.csv", chunk_size=100)
        texts = api.run(
            b"id,text\n1,good\n2,bad\n3,a table\n", name="texts.csv", processor="sentiment"
        )
        client.post(
            "/api/upload", params={"filename": "people.csv"}, content=PEOPLE
        ).raise_for_status()
        files = [
            api.run(data, name=name)["file_id"]
            for data, name in ((INPUT, "in.csv"), (REFERENCE, "ref.csv"))
        ]
        mapping = client.post(
            "/api/v1/jobs/mapping", json={"input_file_id": files[0], "reference_file_id": files[1]}
        )
        profile = client.post("/api/v1/jobs/analyze", json={"file_id": rows["file_id"]})

        def has_ended(job_id: str) -> bool:
            return not client.get(f"/api/v1/jobs/{job_id}/status").json()["is_active"]

        for made in (mapping, profile):
            wait_until(partial(has_ended, made.json()["job_id"]))
        schedule = {"cron": "0 2 * * *", "name": "Nightly", "job": {"source": "s3://bucket/*.csv"}}
        client.post("/api/v1/schedules", json=schedule).raise_for_status()
        watch = {"source": f"file:///srv/inbox/{'long' * 30}/", "job": {"type": "rows"}}
        client.post("/api/v1/watches", json=watch).raise_for_status()
        client.post(
            "/api/v1/webhooks", json={"url": f"http://127.0.0.1:9/{'long' * 30}"}
        ).raise_for_status()
    job = f"jobs/{rows['job_id']}"
    return {
        "jobs": "jobs",
        "summary": job,
        "engine": f"{job}/engine",
        "results": f"{job}/results",
        "rejects": f"{job}/rejects",
        "profile": f"{job}/profile",
        "sentiment": f"jobs/{texts['job_id']}/sentiment",
        "tables": "tables",
        "mapping": f"mapping/{mapping.json()['job_id']}",
        "start": "mapping",
        "search": "search",
        "schedules": "schedules",
        "watches": "watches",
        "system": "system",
        "webhooks": "webhooks",
        "users": "users",
        "empty": "jobs?search=nothing+fits",
        "nowhere": "no/such/view",
    }


def show(page: Page, path: str) -> None:
    page.goto(f"/#/{path}")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.wait_for_function(
        "!document.body.innerText.includes('Loading …') &&"
        " !document.body.innerText.includes('Verifying the')"
    )


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 360)])
def test_every_view_is_accessible_and_fits_the_screen(
    new_page: NewPage, views: dict[str, str], theme: str, width: int
) -> None:
    page = new_page(color_scheme=theme, viewport={"width": width, "height": 800}, bypass_csp=True)
    found: list[str] = []
    for name, path in views.items():
        show(page, path)
        results = Axe().run(page)
        found += [
            f"{name}: {violation['id']}: {violation['nodes'][0]['html'][:200]}"
            for violation in results.response["violations"]
            if violation["impact"] in ("serious", "critical")
        ]
        if (surplus := page.evaluate("document.documentElement.scrollWidth - innerWidth")) > 0:
            found.append(f"{name}: {surplus} pixels wider than the screen")
    assert not found


def test_the_first_load_is_small_and_needs_no_other_host(new_page: NewPage, server: Server) -> None:
    page = new_page(is_first_visit=True)
    finished: list[Request] = []
    page.on("requestfinished", lambda request: finished.append(request))
    page.goto("/")
    expect(page.get_by_text("Live")).to_be_visible()
    expect(
        page.get_by_role("link", name="rows.csv").or_(page.get_by_text("No jobs yet")).first
    ).to_be_visible()
    assert all(each.url.startswith(f"http://127.0.0.1:{server.port}/") for each in finished)
    transferred = sum(each.sizes()["responseBodySize"] for each in finished)
    assert 20_000 < transferred < FIRST_LOAD_BYTES


def test_a_mapping_is_changed_by_drag_and_by_keyboard_and_saved(
    page: Page, views: dict[str, str], api: Api
) -> None:
    show(page, views["mapping"])
    expect(page.get_by_text("Answer the questions above")).to_be_visible()
    page.get_by_label("start_date: The dates are written").select_option("%d/%m/%Y")
    page.get_by_label("email: Values without a counterpart").select_option("leave this step out")
    expect(page.get_by_role("cell", name="2024-02-03").first).to_be_visible()
    expect(page.get_by_text("Of the first 6 rows 6 fit.")).to_be_visible()
    target = page.locator("[data-reference='start_date']")
    choice = page.get_by_label("Input column for name")
    page.locator(".chip[data-column='Customer']").drag_to(target)
    expect(page.get_by_label("Input column for start_date")).to_have_value("Customer")
    expect(choice).to_have_value("")
    expect(page.get_by_role("columnheader", name="start_date")).to_be_visible()
    expect(page.get_by_role("cell", name="Ada Lovelace").first).to_be_visible()
    choice.focus()
    choice.press("J")
    expect(choice).to_have_value("Joined")
    page.get_by_label("Save as a template").fill("By hand")
    page.get_by_role("button", name="Keep").click()
    expect(page.locator(".toast")).to_contain_text("Saved as By hand")
    kept = api.client.get("/api/v1/templates").json()["items"][0]
    page.get_by_role("button", name="Transform the file").click()
    expect(page.get_by_text("6 rows are in the new file.").first).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    written = download.value.path().read_bytes().splitlines()
    assert written[:2] == [b"name,email,start_date", b"03/02/2024,ada@example.org,Ada Lovelace"]
    assert len(written) == 7
    pairs = {column["reference_column"]: column["input_columns"] for column in kept["columns"]}
    assert (pairs["start_date"], pairs["name"]) == (["Customer"], ["Joined"])


def test_a_webhook_is_created_tested_and_its_messages_are_shown_and_replayed(
    page: Page, api: Api, receiver: Receiver
) -> None:
    path = receiver.path()
    page.goto("/#/webhooks")
    page.get_by_label("URL").fill(receiver.url(path))
    page.get_by_label("cancelled", exact=True).uncheck()
    page.get_by_role("button", name="Add webhook").click()
    secret = page.get_by_label("Secret for verifying the signatures").input_value()
    card = page.get_by_role("listitem", name=receiver.url(path))
    expect(card).to_contain_text("completed, completed with rejects, failed")
    card.get_by_role("button", name="Send a test").click()
    delivery = card.locator("[data-id]")
    expect(delivery).to_contain_text("delivered")
    delivery.locator("summary").click()
    expect(delivery.get_by_label("The message")).to_contain_text("webhook.test")
    delivery.get_by_role("button", name="Send again").click()
    first, second = receiver.received(path, 2)
    assert first.id == second.id
    assert first.verified(secret)["type"] == "webhook.test"
    expect(delivery.get_by_label("Attempts").get_by_role("listitem")).to_have_count(2)

    card.get_by_role("button", name="Switch off").click()
    expect(card).to_contain_text("switched off")
    expect(card.get_by_role("button", name="Send a test")).to_be_disabled()
    card.get_by_role("button", name="New secret").click()
    expect(card).to_contain_text("Messages are also signed with the previous secret")
    page.reload()
    expect(card).to_be_visible()
    assert secret not in page.content()
    (hook,) = (
        item
        for item in api.client.get("/api/v1/webhooks").json()["items"]
        if item["url"] == receiver.url(path)
    )
    assert (hook["enabled"], "job.cancelled" in hook["events"]) == (False, False)


def test_the_keyboard_reaches_every_control(page: Page, views: dict[str, str]) -> None:
    page.goto("/")
    expect(page.get_by_role("link", name="rows.csv").first).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="choose files")).to_be_focused()
    first = page.locator(".job a").first
    first.focus()
    page.keyboard.press("ArrowDown")
    expect(first).not_to_be_focused()
    assert page.evaluate("document.activeElement.closest('.job') !== null")


def test_a_chosen_theme_persists(page: Page, views: dict[str, str]) -> None:
    page.goto("/")
    page.get_by_role("button", name="Switch between light and dark").click()
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 20, 19)"


HTML, JSON = "text/html; charset=utf-8", "application/json"


@pytest.mark.parametrize(
    ("accept", "type"),
    [
        (None, JSON), ("*/*", JSON), ("application/json", JSON), ("text/html, application/json", JSON),
        ("text/html;q=0.5, application/json", JSON), ("text/html;q=0, */*", JSON), ("text/html;q=oops", JSON),
        ("text/html", HTML), ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", HTML),
        ("application/json;q=0.5, text/html;q=0.6", HTML), ("text/*", HTML), ("TEXT/HTML", HTML),
    ],
)  # fmt: skip
def test_browsers_get_html_and_programs_get_json(
    server: Server, accept: str | None, type: str
) -> None:
    with server.client() as client:
        del client.headers["accept"]
        answer = client.get("/", headers={"Accept": accept} if accept else {})
    assert (answer.status_code, answer.headers["content-type"]) == (200, type)
    assert answer.headers["vary"] == "Accept"


def test_assets_are_cached_forever_and_the_page_forbids_foreign_scripts(api: Api) -> None:
    page = api.client.get("/", headers={"Accept": "text/html"})
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "unsafe" not in policy
    asset = page.text.split('stylesheet" href="')[1].partition('"')[0]
    response = api.client.get(asset)
    assert (response.status_code, response.headers["content-type"]) == (
        200,
        "text/css; charset=utf-8",
    )
    assert "immutable" in response.headers["cache-control"]
    assert response.headers["content-encoding"] == "gzip"

    def code(path: str) -> str:
        answer: httpx.Response = api.client.get(path)
        assert answer.status_code == 404
        return str(answer.json()["code"])

    version = asset.split("/")[2]
    broken: list[Callable[[], str]] = [
        lambda: code(asset.replace(version, "0" * 12)), lambda: code(f"/assets/{version}/index.html"),
        lambda: code(f"/assets/{version}/..%2f..%2fconfig.py"), lambda: code(f"/assets/{version}/js%00.js"),
    ]  # fmt: skip
    assert {check() for check in broken} == {"not_found"}
