"""With authentication, the page asks for a key, and shows only the data of its owner."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests import commands
from tests.acceptance.dashboard.conftest import NewPage
from tests.acceptance.dashboard.test_jobs import drop, start
from tests.conftest import Databases
from tests.forks import Server
from tests.harness import Api, Postgres

pytestmark = pytest.mark.one_database


@pytest.fixture(scope="module", params=["sqlite"])
def databases(
    request: pytest.FixtureRequest, postgres: Postgres, templates: dict[str, str]
) -> Databases:
    return Databases(request.param, postgres, templates)


@pytest.fixture(scope="module")
def server(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    storage = tmp_path_factory.mktemp("service") / "storage"
    running = Server(databases.create(storage), storage, AUTH_REQUIRED="true")
    try:
        yield running.start()
    finally:
        code = running.stop()
    assert code in (0, -15), running.tail()


def test_a_key_shows_only_the_data_of_its_owner(new_page: NewPage, server: Server) -> None:
    keys = {name: commands.users(server, "create", name).stdout.strip() for name in ("ada", "bob")}
    with server.client(keys["ada"]) as client:
        Api(client).run(b"id\n1\n", name="adas.csv")
    pages = {}
    for name in keys:
        page = pages[name] = new_page()
        page.goto("/")
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        expect(page.locator("#nav")).to_be_hidden()
        page.get_by_label("Your key").fill("granula_wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).not_to_be_empty()
        page.get_by_label("Your key").fill(keys[name])
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()
        expect(page.locator("#nav")).to_be_visible()
        expect(page.get_by_text("Live")).to_be_visible()
    expect(pages["ada"].get_by_role("link", name="adas.csv")).to_be_visible()
    expect(pages["bob"].get_by_text("No jobs yet")).to_be_visible()
    pages["ada"].get_by_role("button", name="Sign out ada").click()
    expect(pages["ada"].get_by_role("heading", name="Sign in")).to_be_visible()
    assert pages["ada"].get_by_text("adas.csv").count() == 0


def test_an_expired_session_asks_for_the_key_and_keeps_unsaved_input(
    new_page: NewPage, server: Server
) -> None:
    keys = {
        name: commands.users(server, "create", name).stdout.strip() for name in ("dora", "emil")
    }
    page = new_page()
    page.goto("/#/webhooks")
    dialog = page.get_by_role("dialog", name="Sign in")

    def sign_in(key: str) -> None:
        dialog.get_by_label("Your key").fill(key)
        dialog.get_by_role("button", name="Sign in").click()

    expect(dialog).to_be_visible()
    sign_in("granula_wrong")
    expect(dialog.get_by_role("alert")).to_contain_text("ask the operator of this service")
    assert "/api/" not in dialog.inner_text()
    assert "Authorization" not in dialog.inner_text()
    sign_in(keys["dora"])
    expect(dialog).to_have_count(0)
    url = "https://example.com/a-long-address-that-nobody-wants-to-type-twice"
    page.get_by_label("URL").fill(url)
    page.get_by_label("cancelled", exact=True).uncheck()
    page.context.clear_cookies()
    page.get_by_role("button", name="Add webhook").click()
    expect(dialog).to_be_visible()
    expect(page.locator("#nav")).to_be_visible()  # the page stays as it is behind the question
    page.keyboard.press("Escape")
    expect(dialog).to_be_visible()
    expect(page.locator(".toast")).to_have_count(0)
    sign_in(keys["dora"])
    expect(dialog).to_have_count(0)
    expect(page.get_by_label("URL")).to_have_value(url)
    expect(page.get_by_label("cancelled", exact=True)).not_to_be_checked()
    page.get_by_role("button", name="Add webhook").click()
    expect(page.get_by_role("listitem", name=url)).to_be_visible()

    page.goto("/#/jobs")
    expect(page.get_by_text("Live")).to_be_visible()
    drop(page, "late.csv", b"id\n1\n", starts=False)
    expect(page.get_by_text("1 row to load")).to_be_visible()
    page.context.clear_cookies()
    start(page)
    expect(dialog).to_be_visible()
    expect(page.locator(".uploads")).to_contain_text("Continues after you sign in")
    sign_in(keys["dora"])
    expect(page.get_by_role("link", name="late.csv")).to_be_visible()  # it continued automatically

    page.context.clear_cookies()
    page.get_by_role("link", name="Webhooks").click()
    sign_in(keys["emil"])  # another user, who must not see the earlier data
    expect(page.get_by_text("No webhooks")).to_be_visible()
    expect(page.get_by_text(url)).to_have_count(0)


def test_an_administrator_creates_users_and_keys_and_each_key_is_shown_once(
    new_page: NewPage, server: Server
) -> None:
    root = commands.users(server, "create", "root", "--admin").stdout.strip()
    page = new_page()
    page.goto("/")
    page.get_by_label("Your key").fill(root)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="root").click()
    # the previous view has a field with this label too: "Search by file name"
    expect(page.get_by_role("heading", name="Users", exact=True)).to_be_visible()
    page.get_by_label("Name").fill("carol")
    page.get_by_role("button", name="Add user").click()
    first = page.get_by_label("The key of carol").input_value()
    card = page.get_by_role("listitem", name="carol")
    card.get_by_text("Keys").click()
    card.get_by_label("Label of the new key of carol").fill("laptop")
    card.get_by_role("button", name="New key").click()
    expect(page.get_by_label("The key of carol")).not_to_have_value(first)
    second = page.get_by_label("The key of carol").input_value()
    # the list is rebuilt, with its open questions
    expect(card.locator("li").filter(has_text="laptop")).to_be_visible()
    card.get_by_role("button", name="Revoke first", exact=True).click()
    expect(card.get_by_role("button", name="Keep")).to_be_focused()
    card.get_by_role("button", name="Revoke first for good").click()
    expect(card.locator("li").filter(has_text="first")).to_contain_text("revoked")

    def answer(key: str) -> int:
        with server.client(key) as client:
            return client.get("/api/v1/me").status_code

    assert (answer(first), answer(second)) == (401, 200)
    page.reload()
    expect(card).to_be_visible()
    assert second not in page.content()
