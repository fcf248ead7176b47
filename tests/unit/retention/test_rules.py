"""The setting becomes one rule for each kind."""

from __future__ import annotations

import pytest

from app.config import load_settings
from app.errors import SettingsInvalid
from app.features.retention.rules import Days, Kind, rules_of


def test_processors_have_days_of_their_own() -> None:
    rules = rules_of({"rows": 30, "my.processor.rows": 2, "sentiment.jobs": 0.5})
    assert rules[Kind.ROWS] == Days(30, {"my.processor": 2})
    assert rules[Kind.JOBS] == Days(None, {"sentiment": 0.5})
    assert rules[Kind.BYTES].is_off
    assert rules[Kind.REJECTS].is_off


def test_labels_have_days_of_their_own() -> None:
    rules = rules_of({"label:a b.rows": 3, "label:v1.2.rows": 4, "label.rows": 5})
    assert rules[Kind.ROWS] == Days(None, {"label": 5}, {"a b": 3, "v1.2": 4})
    assert not rules[Kind.ROWS].is_off


@pytest.mark.parametrize(
    "setting", ["7", '{"row": 7}', '{"rows": 0}', '{"rows": "x"}', '{"sentiment.": 7}', "{rows: 7}"]
)
def test_a_wrong_rule_is_refused_at_the_start(
    setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETENTION", setting)
    with pytest.raises(SettingsInvalid, match="RETENTION"):
        load_settings()
