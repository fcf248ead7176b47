"""The frame of the page: an address that leads nowhere, and another language."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from scripts.dashboard_messages import collect, template
from tests.acceptance.dashboard.test_views import views

__all__ = ["views"]

pytestmark = pytest.mark.one_database
NewPage = Callable[..., Page]
REMEMBER_ANSWERS = """
    window.answers = [];
    let open = 0;
    let changed = performance.now();
    const note = (step) => ((open += step), (changed = performance.now()));
    window.isQuiet = () => open === 0 && performance.now() - changed > 300;
    const original = window.fetch;
    window.fetch = async (...call) => {
      note(1);
      try {
        const answer = await original(...call);
        window.answers.push(await answer.clone().text());
        return answer;
      } finally {
        note(-1);
      }
    };
"""
"""Keeps what the service answered, and knows whether the page waits for more."""
VISIBLE_TEXTS = """() => {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const texts = [];
    while (walker.nextNode()) {
      const parent = walker.currentNode.parentElement;
      if (parent.closest("script, noscript, pre, .brand") || !parent.checkVisibility()) continue;
      texts.push(walker.currentNode.data);
    }
    return [...new Set(texts)];
  }"""
TRANSLATED = re.compile(r"⟦[^⟦⟧]*⟧")
NUMBERS = re.compile(r"[\d.,:%+–−∅↵\s]+(?:KiB|MiB|GiB|TiB|B|ms|s|min|h)?\b|\b(?:AM|PM)\b")
DATES = re.compile(
    r"\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec|Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b"
)
NAMES = frozenset({"parquet"})
"""Names of formats, which are the same in every language."""
PARTS = re.compile(r"[·|;()]|, |: |→")


def test_an_unknown_address_says_so_and_leads_back(new_page: NewPage) -> None:
    page = new_page()
    answer = page.goto("/reports/today")
    assert answer is not None
    assert answer.status == 404
    expect(page.get_by_role("heading", name="There is nothing here")).to_be_visible()
    expect(page).to_have_title("Not found · Granula")
    page.goto("/#/shelves")
    expect(page.get_by_role("main")).to_contain_text("/shelves")
    page.get_by_role("link", name="To the jobs", exact=True).click()
    expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()
    expect(page).to_have_title("Jobs · Granula")
    page.go_back()
    expect(page.get_by_role("heading", name="There is nothing here")).to_be_visible()


def marked(translation: object) -> object:
    """Return a translation in the pseudo-language: the English text between brackets."""
    if isinstance(translation, dict):
        return {name: marked(variant) for name, variant in translation.items()}
    return f"⟦{translation}⟧"


def without_translations(text: str) -> str:
    """Return what is left of a text without translations, also within each other, and dates."""
    before = ""
    while before != text:
        before, text = text, TRANSLATED.sub(" · ", text)
    return DATES.sub(" ", text)


def test_every_text_of_every_view_comes_from_the_catalogue_or_the_data(
    new_page: NewPage, views: dict[str, str]
) -> None:
    """The page is shown in a language whose texts are bracketed. What is not bracketed must be in
    an answer of the service.
    """
    texts, _ = collect()
    catalogue = {key: marked(translation) for key, translation in template(texts).items()}
    page = new_page(locale="eo", bypass_csp=True)

    def with_language(route: Route) -> None:
        answer = route.fetch()
        body = answer.text().replace('data-languages=""', 'data-languages="eo"')
        route.fulfill(response=answer, body=body)

    page.route(re.compile(r"^http://[^/]+/$"), with_language)
    page.route("**/messages/eo.json", lambda route: route.fulfill(json=catalogue))
    page.add_init_script(REMEMBER_ANSWERS)
    foreign: list[str] = []
    for name, path in views.items():
        page.goto("about:blank")
        page.goto(f"/#/{path}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.get_by_text("⟦Loading …⟧")).to_have_count(0)
        page.wait_for_function("window.isQuiet()")
        data = "\n".join(page.evaluate("window.answers")).lower()
        for text in page.evaluate(VISIBLE_TEXTS):
            for part in PARTS.split(without_translations(text)):
                words = NUMBERS.sub(" ", part).strip(" .…-–/+×✓")
                is_data = part.strip().lower() in data or words.lower() in data
                is_data = is_data or words.lower() in NAMES
                if len(words) > 1 and not is_data:
                    foreign.append(f"{name}: {part.strip()}")
    assert not foreign, "\n".join(dict.fromkeys(foreign))
