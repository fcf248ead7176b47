"""The repository follows docs/style.md, and the check finds each kind of violation."""

from __future__ import annotations

import pytest

from scripts.check_style import check_module, check_page, check_tree


def test_the_repository_follows_the_style() -> None:
    assert not check_tree()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ('"""Of the file."""', "a docstring begins with 'Of'"),
        ('class A:\n    b: int\n    """Those that wait."""', "a docstring begins with 'Those'"),
        ('def f():\n    """Return it; the job goes on."""', "'goes on' is a private metaphor"),
        ("a = 1  # behind the door", "'door' is a private metaphor"),
        ("found = 1", "the name 'found' says nothing"),
        ("def f(given): ...", "the name 'given' says nothing"),
    ],
)
def test_each_kind_of_finding_is_reported(source: str, message: str) -> None:
    assert [finding.message for finding in check_module("app/a.py", source)] == [message]


def test_plain_words_give_no_finding() -> None:
    source = '"""Return the column `door`."""\nrows = [1]  # the job continues\n'
    assert not list(check_module("app/a.py", source))


def test_code_in_a_page_is_ignored() -> None:
    page = "The upload continues.\n\n```\nprint('goes on')\n```\nThe service is told.\n"
    assert [finding.line for finding in check_page("a.md", page)] == [6]
