"""The texts of the dashboard: every one is found for a translation, and a wrong one is reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.dashboard_messages import (
    NotAText,
    Text,
    check_catalogue,
    collect,
    template,
    texts_of,
)

MODULE = """
// t("in a comment") is not shown
button(t("Save"), () => t('Say "yes"', { count: f(1, 2) }));
plural(rows.length, "row");
plural(count({ a: [1, 2] }), "entry was", "entries were");
tCount(n, count(n), "{count} of one", "{count} of many");
h("input", { placeholder: "s3://bucket/2026/*.csv" });
const quote = /["'`]/g;
row.at("not a text"); format("nor this");
h("p", {}, t(
  // why it is so, isn't it
  "{a} and {b}", { a, b }));
"""


def test_texts_are_found_wherever_they_are_written() -> None:
    assert list(texts_of(MODULE)) == [
        Text("Save", is_plural=False),
        Text('Say "yes"', is_plural=False),
        Text("{count} rows", is_plural=True),
        Text("{count} entries were", is_plural=True),
        Text("{count} of many", is_plural=True),
        Text("{a} and {b}", is_plural=False),
    ]


@pytest.mark.parametrize("call", ["t(name)", "t(`${a} rows`)", 't("a" + b)', "plural(n, word)"])
def test_a_text_that_is_put_together_is_refused(call: str) -> None:
    with pytest.raises(NotAText):
        list(texts_of(call))


def test_every_text_of_the_page_can_be_translated() -> None:
    texts, complaints = collect()
    assert complaints == []
    assert len(texts) > 200
    assert list(check_catalogue(template(texts), texts)) == []


def test_a_wrong_translation_is_reported() -> None:
    texts = {"{count} rows": Text("{count} rows", True), "Save": Text("Save", False)}
    assert list(check_catalogue({"Save": "Sichern"}, texts)) == []
    assert list(check_catalogue({"Open": "Offnen"}, texts)) == ["'Open' is no text of the page"]
    (wrong,) = check_catalogue({"{count} rows": {"one": "Zeile", "other": "{n} Zeilen"}}, texts)
    assert "{n} Zeilen" in wrong
    (missing,) = check_catalogue({"{count} rows": {"one": "{count} Zeile"}}, texts)
    assert "other" in missing


def test_the_modules_of_a_folder_are_read(tmp_path: Path) -> None:
    (tmp_path / "js" / "views").mkdir(parents=True)
    (tmp_path / "js" / "views" / "a.js").write_text('t("One");\n')
    (tmp_path / "js" / "b.js").write_text("t(two);\n")
    texts, complaints = collect(tmp_path)
    assert set(texts) == {"One"}
    assert complaints == ["js/b.js: two is no text"]
